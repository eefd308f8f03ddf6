/* rates: how fast, how many at once?
 *
 * Levels and leases of gauges stand in room counters, where they are read by
 * whoever asks how much is used.
 */
CREATE FUNCTION @extschema@.set_usage_level(
    user_id @user_id@, limit_type text, level numeric) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_set_usage_level';
COMMENT ON FUNCTION @extschema@.set_usage_level(@user_id@, text, numeric) IS
'Says what the level of a gauge is, whatever its limit';

CREATE FUNCTION @extschema@.add_usage_level(
    user_id @user_id@, limit_type text, delta numeric) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_add_usage_level';
COMMENT ON FUNCTION @extschema@.add_usage_level(@user_id@, text, numeric) IS
'Raises the level of a gauge if its limit allows it, or lowers it';

CREATE FUNCTION @extschema@.acquire_lease(
    user_id @user_id@, limit_type text, expires_in interval DEFAULT '15 minutes',
    idempotency_key text DEFAULT NULL) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_acquire_lease';
COMMENT ON FUNCTION @extschema@.acquire_lease(@user_id@, text, interval, text) IS
'Holds a place of a gauge until it is released or expires, or with NULL as long as this connection, or answers why not';

CREATE FUNCTION @extschema@.renew_lease(
    user_id @user_id@, lease_id bigint, expires_in interval DEFAULT '15 minutes') RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_renew_lease';
COMMENT ON FUNCTION @extschema@.renew_lease(@user_id@, bigint, interval) IS
'Holds a place so much longer from now, unless that lease is over';

CREATE FUNCTION @extschema@.release_lease(user_id @user_id@, lease_id bigint) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_release_lease';
COMMENT ON FUNCTION @extschema@.release_lease(@user_id@, bigint) IS
'Gives a place back';

/* ---- gauges that follow a table of the application ---- */

/* Which they are is known by our triggers on those tables alone, and these by the
 * function that they call. */
CREATE FUNCTION @extschema@.keep_usage_gauge() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_keep_usage_gauge';
COMMENT ON FUNCTION @extschema@.keep_usage_gauge() IS
'Trigger on a table that a gauge follows: adds to levels what a statement changed, or refuses it (UT001)';

CREATE FUNCTION @extschema@._attached_gauges(
    OUT limit_type text, OUT target regclass, OUT tgname name) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.split_part(pg_catalog.encode(t.tgargs, 'escape'), E'\\000', 1), t.tgrelid::regclass, t.tgname
      FROM pg_catalog.pg_depend AS d
      JOIN pg_catalog.pg_trigger AS t ON t.oid = d.objid
     WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
       AND d.refobjid = '@extschema@.keep_usage_gauge()'::regprocedure
       AND d.classid = 'pg_catalog.pg_trigger'::regclass;
END;
COMMENT ON FUNCTION @extschema@._attached_gauges() IS
'Internal: the triggers that keep gauges equal to tables';

CREATE FUNCTION @extschema@.attach_usage_gauge(
    target regclass, limit_type text, user_column name, amount_column name DEFAULT NULL) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_attach_usage_gauge';
COMMENT ON FUNCTION @extschema@.attach_usage_gauge(regclass, text, name, name) IS
'Keeps a gauge equal to the number of each user''s rows of a table, or to the sum of a column; returns of how many users';

CREATE FUNCTION @extschema@.detach_usage_gauge(target regclass, limit_type text) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_detach_usage_gauge';
COMMENT ON FUNCTION @extschema@.detach_usage_gauge(regclass, text) IS
'Takes our triggers off a table that a gauge follows; levels stay as they are';

CREATE FUNCTION @extschema@.verify_usage_gauge(
    limit_type text, OUT user_id @user_id@, OUT level numeric, OUT actual numeric) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000 ROWS 10
AS 'MODULE_PATHNAME', 'ut_verify_usage_gauge';
COMMENT ON FUNCTION @extschema@.verify_usage_gauge(text) IS
'Users whose level differs from what the table that a gauge follows says';

/* The triggers name the limit, so it must not be called otherwise, or go. */
CREATE FUNCTION @extschema@._gauge_stays() RETURNS trigger
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    followed regclass := (SELECT g.target FROM @extschema@._attached_gauges() AS g
                           WHERE g.limit_type = OLD.limit_type LIMIT 1);
BEGIN
    IF followed IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist',
            MESSAGE = format('level of "%s" follows table "%s"', OLD.limit_type, followed),
            HINT = 'Call detach_usage_gauge() first.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION @extschema@._gauge_stays() IS
'Internal: refuses to rename or delete a gauge that follows a table';
CREATE TRIGGER gauge_is_renamed BEFORE UPDATE ON @extschema@.usage_limits
    FOR EACH ROW WHEN (OLD.limit_type <> NEW.limit_type) EXECUTE FUNCTION @extschema@._gauge_stays();
CREATE TRIGGER gauge_goes BEFORE DELETE ON @extschema@.usage_limits
    FOR EACH ROW EXECUTE FUNCTION @extschema@._gauge_stays();
