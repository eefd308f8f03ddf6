/* tallies: how often was this row used?
 *
 * A tally keeps a column of one table of the application (the target) equal to
 * the number of rows of another (the source) that name it.  Our triggers on the
 * source are all there is of it.
 *
 * None of this is for users but the reports, which run with the rights of whoever
 * calls them: a tally's tables are the application's.  A role that owns such
 * tables and not the extension can be granted the others.
 */
CREATE FUNCTION @extschema@._count_tally() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_count_tally';
COMMENT ON FUNCTION @extschema@._count_tally() IS
'Trigger of attach_usage_tally(): counts what a statement changed, as the owner of the tables';

CREATE FUNCTION @extschema@.attach_usage_tally(
    target regclass, key name, count_column name, source regclass, source_key name,
    last_used_column name DEFAULT NULL, used_at_column name DEFAULT NULL, user_column name DEFAULT NULL) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_attach_usage_tally';
COMMENT ON FUNCTION @extschema@.attach_usage_tally(regclass, name, name, regclass, name, name, name, name) IS
'Keeps a column equal to the number of rows of another table that name its row; returns how many were not';

CREATE FUNCTION @extschema@.detach_usage_tally(target regclass, count_column name) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_detach_usage_tally';
COMMENT ON FUNCTION @extschema@.detach_usage_tally(regclass, name) IS
'Takes the triggers of a tally off its source; counts stay';

CREATE FUNCTION @extschema@.detach_usage_tallies(source regclass) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_detach_usage_tallies';
COMMENT ON FUNCTION @extschema@.detach_usage_tallies(regclass) IS
'Takes the triggers of all tallies off a table, also of those whose target was renamed or dropped; returns how many tallies';

CREATE FUNCTION @extschema@.sync_usage_tally(target regclass, count_column name) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_sync_usage_tally';
COMMENT ON FUNCTION @extschema@.sync_usage_tally(regclass, name) IS
'Counts the source and corrects what is displayed; returns how many rows were wrong';

CREATE FUNCTION @extschema@.verify_usage_tally(
    target regclass, count_column name, OUT key text, OUT displayed numeric, OUT actual bigint,
    OUT displayed_last_used timestamptz, OUT actual_last_used timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_verify_usage_tally';
COMMENT ON FUNCTION @extschema@.verify_usage_tally(regclass, name) IS
'The rows of a tally''s target that display something else than its source has';

/* ---- reports ---- */

CREATE FUNCTION @extschema@._usage_tally(
    target regclass, count_column name, OUT source regclass, OUT key name, OUT source_key name,
    OUT last_used_column name, OUT used_at_column name, OUT user_column name, OUT has_zone boolean) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_usage_tally';
COMMENT ON FUNCTION @extschema@._usage_tally(regclass, name) IS
'Internal: what a tally counts, by which columns';

CREATE FUNCTION @extschema@._check_max_rows(max_rows integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF max_rows IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "max_rows" must not be null';
    ELSIF max_rows < 1 OR max_rows > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'argument "max_rows" must be from 1 to 1000';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._check_max_rows(integer) IS
'Internal: refuses a number of rows that cannot be';

/* Rows "key, user_id, used_at" of the source, as text and with a zone, to be put
 * into a query; of one key, if it is given, which an index can find. */
CREATE FUNCTION @extschema@._tally_uses(
    target regclass, count_column name, resource_key text, needs_user boolean, needs_time boolean) RETURNS text
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tally record;
BEGIN
    SELECT * INTO tally FROM @extschema@._usage_tally(target, count_column);
    IF needs_user AND tally.user_column IS NULL OR needs_time AND tally.used_at_column IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the tally of column "%s" of table "%s" has no %s', count_column,
                             (SELECT c.relname FROM pg_class AS c WHERE c.oid = target),
                             CASE WHEN needs_user AND tally.user_column IS NULL THEN 'user_column' ELSE 'used_at_column' END),
            HINT = 'Call detach_usage_tally(), and attach_usage_tally() with it.';
    END IF;
    RETURN format('(SELECT s.%1$I::text AS key, %2$s AS user_id, %3$s AS used_at FROM %4$s AS s WHERE s.%1$I %5$s) AS u',
                  tally.source_key, CASE WHEN tally.user_column IS NULL THEN 'NULL::text' ELSE format('s.%I::text', tally.user_column) END,
                  CASE WHEN tally.used_at_column IS NULL THEN 'NULL::timestamptz'
                       WHEN tally.has_zone THEN format('s.%I::timestamptz', tally.used_at_column)
                       ELSE format('timezone(''UTC'', s.%I)', tally.used_at_column) END,
                  tally.source, CASE WHEN resource_key IS NULL THEN 'IS NOT NULL' ELSE format('= %L', resource_key) END);
END
$$;
COMMENT ON FUNCTION @extschema@._tally_uses(regclass, name, text, boolean, boolean) IS
'Internal: a sub-select for the uses that a tally counts';

CREATE FUNCTION @extschema@.popular_resources(
    target regclass, count_column name, max_rows integer DEFAULT 10,
    OUT key text, OUT uses numeric, OUT last_used timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tally record;
BEGIN
    PERFORM @extschema@._check_max_rows(max_rows);
    SELECT * INTO tally FROM @extschema@._usage_tally(target, count_column);
    RETURN QUERY EXECUTE format(
        'SELECT t.%1$I::text, t.%2$I::numeric, %3$s FROM %4$s AS t WHERE t.%2$I > 0 ORDER BY t.%2$I DESC, t.%1$I LIMIT $1',
        tally.key, count_column,
        CASE WHEN tally.last_used_column IS NULL THEN 'NULL::timestamptz'
             WHEN tally.has_zone THEN format('t.%I::timestamptz', tally.last_used_column)
             ELSE format('timezone(''UTC'', t.%I)', tally.last_used_column) END, target) USING max_rows;
END
$$;
COMMENT ON FUNCTION @extschema@.popular_resources(regclass, name, integer) IS
'The rows of a tally''s target that were used most';

/* One user gives a resource one point at most, however often he uses it. Times
 * to come would give more than one, so they count only when they are there. */
CREATE FUNCTION @extschema@.trending_resources(
    target regclass, count_column name, half_life interval DEFAULT '7 days', max_rows integer DEFAULT 10,
    OUT key text, OUT score numeric, OUT users bigint, OUT uses bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._check_max_rows(max_rows);
    IF half_life IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "half_life" must not be null';
    ELSIF half_life < '1 second' OR half_life > '10 years' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'argument "half_life" must be from a second to 10 years';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT l.key, round(sum(power(2::numeric, - extract(epoch FROM $1 - l.used_at) / extract(epoch FROM $2))), 6) AS score,'
        ' count(*), sum(l.uses)::bigint'
        ' FROM (SELECT u.key, u.user_id, max(u.used_at) AS used_at, count(*) AS uses FROM %s'
        ' WHERE u.user_id IS NOT NULL AND u.used_at <= $1 AND u.used_at > $1 - 20 * $2 GROUP BY u.key, u.user_id) AS l'
        ' GROUP BY l.key ORDER BY score DESC, l.key LIMIT $3',
        @extschema@._tally_uses(target, count_column, NULL, true, true)) USING @extschema@._usage_now(), half_life, max_rows;
END
$$;
COMMENT ON FUNCTION @extschema@.trending_resources(regclass, name, interval, integer) IS
'What many users used lately: the sum, over users, of a point that halves with each half-life since his latest use';

CREATE FUNCTION @extschema@.get_top_resource_users(
    target regclass, count_column name, resource_key text, max_rows integer DEFAULT 10,
    OUT user_id text, OUT uses bigint, OUT last_used timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._check_max_rows(max_rows);
    IF resource_key IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "resource_key" must not be null';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT u.user_id, count(*), max(u.used_at) FROM %s WHERE u.user_id IS NOT NULL'
        ' GROUP BY u.user_id ORDER BY 2 DESC, 1 LIMIT $1',
        @extschema@._tally_uses(target, count_column, resource_key, true, false)) USING max_rows;
END
$$;
COMMENT ON FUNCTION @extschema@.get_top_resource_users(regclass, name, text, integer) IS
'Who used one row of a tally''s target most';

CREATE FUNCTION @extschema@._zone_or_default(time_zone text) RETURNS text
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_zone_or_default';
COMMENT ON FUNCTION @extschema@._zone_or_default(text) IS
'Internal: checks a time zone; the one of the settings if none is given';

/* Every hour of every day of the week is there, also those without uses. */
CREATE FUNCTION @extschema@.get_usage_heatmap(
    target regclass, count_column name, resource_key text DEFAULT NULL, days integer DEFAULT 28, time_zone text DEFAULT NULL,
    OUT weekday integer, OUT hour integer, OUT uses bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF days IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "days" must not be null';
    ELSIF days < 1 OR days > 3660 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'argument "days" must be from 1 to 3660';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT d, h, COALESCE(c.uses, 0) FROM generate_series(1, 7) AS d CROSS JOIN generate_series(0, 23) AS h LEFT JOIN'
        ' (SELECT extract(isodow FROM timezone($1, u.used_at))::integer AS d,'
        ' extract(hour FROM timezone($1, u.used_at))::integer AS h, count(*) AS uses'
        ' FROM %s WHERE u.used_at <= $2 AND u.used_at > $2 - make_interval(days => $3) GROUP BY 1, 2) AS c USING (d, h)'
        ' ORDER BY d, h', @extschema@._tally_uses(target, count_column, resource_key, false, true))
        USING @extschema@._zone_or_default(time_zone), @extschema@._usage_now(), days;
END
$$;
COMMENT ON FUNCTION @extschema@.get_usage_heatmap(regclass, name, text, integer, text) IS
'How often a tally''s target, or one row of it, was used in each hour of each day of the week';
