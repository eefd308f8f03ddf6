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
