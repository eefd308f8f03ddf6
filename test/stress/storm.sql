/* storm.sql: the users, the limits, and the questions that must have no answer.
 *
 *   hot    users 0 to 3     maxima raised by the monitor now and then
 *   cold   users 4 to 1003  small maxima
 *   facts  users 1004-1019  facts, late ones too, so these may be over; maxima go up and down
 *   odd    users 1020-1023  the same, and events that somebody inserts: what a row counts
 *                           that counts without memory does not grow by these
 *
 * What a user may is written down twice, for the extension and in storm.people.
 */
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT :'library' <> '' AS other_library \gset
\if :other_library
UPDATE pg_proc SET probin = :'library' WHERE probin = '$libdir/usage_tracking';
\connect
\endif

SELECT usage.usage_maintenance();

/* A day that began an hour or two ago, and does not end during the test. */
SELECT name AS quiet_zone FROM pg_timezone_names
 WHERE name LIKE 'Etc/GMT_%' AND extract(hour FROM now() AT TIME ZONE name) BETWEEN 1 AND 2
 ORDER BY name LIMIT 1 \gset

SELECT usage.define_usage_limit('units_ever', 'unit', 12, 'lifetime', NULL);
SELECT usage.define_usage_limit('calls_daily', 'unit', 12, measure => 'events', time_zone => :'quiet_zone');

CREATE SCHEMA storm;

CREATE FUNCTION storm.user_id(no integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN format('00000000-0000-4000-8000-%s', lpad(no::text, 12, '0'))::uuid;

CREATE TABLE storm.people (
    user_id   uuid PRIMARY KEY,
    no        integer NOT NULL,
    kind      text NOT NULL,
    max_units numeric NOT NULL,
    max_calls numeric NOT NULL
);
INSERT INTO storm.people
SELECT storm.user_id(no), no, CASE WHEN no < 4 THEN 'hot' WHEN no < 1004 THEN 'cold' WHEN no < 1020 THEN 'facts' ELSE 'odd' END, 12, 12
  FROM generate_series(0, 1023) AS no;

/* A use in a subtransaction, which may be rolled back. */
CREATE FUNCTION storm.in_a_block(who uuid, quantity numeric, undone boolean) RETURNS usage.usage_decision
LANGUAGE plpgsql AS $$
DECLARE
    decision usage.usage_decision;
BEGIN
    decision := usage.consume_usage(who, 'unit', quantity);
    IF undone THEN
        RAISE EXCEPTION 'undone';
    END IF;
    RETURN decision;
EXCEPTION WHEN raise_exception THEN
    RETURN decision;
END
$$;

/* A use in each of so many subtransactions, one within the other; each third one is rolled back. */
CREATE FUNCTION storm.deep(who uuid, depth integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM usage.consume_usage(who, 'unit', 0.25);
    IF depth > 1 THEN
        PERFORM storm.deep(who, depth - 1);
    END IF;
    IF depth % 3 = 0 THEN
        RAISE EXCEPTION 'undone';
    END IF;
EXCEPTION WHEN raise_exception THEN
    NULL;
END
$$;

CREATE FUNCTION storm.reverse_one(who uuid) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(usage.reverse_usage(who, e.id))
      FROM (SELECT v.id FROM usage.usage_events AS v WHERE v.user_id = who AND v.quantity > 0
               AND v.corrected_limit IS NULL ORDER BY random() LIMIT 1) AS e
$$;

/* Past every function, by who owns the table. */
CREATE FUNCTION storm.insert_one(who uuid, amount numeric) RETURNS void LANGUAGE sql AS $$
    INSERT INTO usage.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
    VALUES (nextval('usage.usage_events_id_seq'), who, 'unit', 'success', amount, 0, 0, clock_timestamp())
$$;

CREATE FUNCTION storm.raise_maxima() RETURNS bigint LANGUAGE sql AS $$
    UPDATE storm.people SET max_units = max_units + 10, max_calls = max_calls + 6 WHERE kind = 'hot';
    SELECT count(*) FROM (SELECT usage.set_user_limit(p.user_id, 'units_ever', p.max_units),
           usage.set_user_limit(p.user_id, 'calls_daily', p.max_calls) FROM storm.people AS p WHERE p.kind = 'hot' OFFSET 0) AS s
$$;

CREATE VIEW storm.recorded AS
SELECT p.user_id, p.no, p.kind, p.max_units, p.max_calls, e.units, e.calls, e.latest
  FROM storm.people AS p
  JOIN (SELECT v.user_id, sum(v.quantity) FILTER (WHERE coalesce(v.corrected_limit, 0) IN (0, u.id)) AS units,
               coalesce(sum(coalesce(v.corrected_events, 1)) FILTER (WHERE coalesce(v.corrected_limit, 0) IN (0, c.id)), 0) AS calls,
               max(v.id) AS latest
          FROM usage.usage_events AS v
         CROSS JOIN (SELECT limit_id AS id FROM usage.usage_limits WHERE limit_type = 'units_ever') AS u
         CROSS JOIN (SELECT limit_id AS id FROM usage.usage_limits WHERE limit_type = 'calls_daily') AS c
         GROUP BY v.user_id) AS e USING (user_id);

CREATE VIEW storm.over AS
SELECT * FROM storm.recorded WHERE kind IN ('hot', 'cold') AND (units > max_units OR calls > max_calls);

/* While nothing is under way, of those who used something lately.  Late facts are not of today. */
CREATE VIEW storm.mistold AS
SELECT r.no, r.kind, r.units, c.used AS told, r.calls, d.used AS told_calls
  FROM (SELECT * FROM storm.recorded ORDER BY latest DESC LIMIT 40) AS r
 CROSS JOIN LATERAL usage.check_usage_limit(r.user_id, 'units_ever') AS c
 CROSS JOIN LATERAL usage.check_usage_limit(r.user_id, 'calls_daily') AS d
 WHERE r.kind <> 'odd' AND (c.used <> r.units OR (r.kind <> 'facts' AND d.used <> r.calls));

CREATE VIEW storm.miscounted AS
SELECT p.no, p.kind, c.* FROM usage.reconcile_usage() AS c JOIN storm.people AS p USING (user_id) WHERE p.kind <> 'odd';

/* Uses up what is left, bit by bit; tells if that is more or less than it should be. */
CREATE FUNCTION storm.fill_up(who uuid, units numeric) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    could  numeric := 0;
    answer usage.usage_decision;
BEGIN
    PERFORM usage.set_user_limit(who, 'calls_daily', -1);
    LOOP
        answer := usage.consume_usage(who, 'unit', 0.25);
        EXIT WHEN NOT answer.allowed OR could > units;
        could := could + 0.25;
    END LOOP;
    RETURN CASE WHEN could <> units THEN format('%s were left, %s could be used, then %s', units, could, answer.reason) END;
END
$$;

CREATE TABLE storm.not_exact (no integer, fault text);

CREATE VIEW storm.under_way AS
SELECT 'session' AS what, pid::text FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'stress client'
   AND (state <> 'idle' OR backend_xid IS NOT NULL)
 UNION ALL
SELECT 'prepared', gid FROM pg_prepared_xacts WHERE database = current_database();
