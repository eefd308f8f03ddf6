/* usage: the door.
 *
 * The only writer of events and counters.  check_* looks, consume_* takes or
 * says no, require_* takes or raises, track_* records a fact.
 */
CREATE TYPE @extschema@.usage_decision AS (
    allowed     boolean,
    reason      text,
    id          bigint,
    limit_type  text,
    used        numeric,
    max_usage   numeric,
    remaining   numeric,
    reset_at    timestamptz,
    retry_after integer
);
COMMENT ON TYPE @extschema@.usage_decision IS
'The answer to a request for permission: allowed = true always means "may proceed"';

CREATE FUNCTION @extschema@.check_usage_limit(
    user_id @user_id@, name text, quantity numeric DEFAULT 1,
    tokens bigint DEFAULT 0, cost numeric DEFAULT 0) RETURNS @extschema@.usage_decision
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 50
AS 'MODULE_PATHNAME', 'ut_check_usage_limit';
COMMENT ON FUNCTION @extschema@.check_usage_limit(@user_id@, text, numeric, bigint, numeric) IS
'Whether a use of this type, or under this limit, would be allowed now; takes nothing';

CREATE FUNCTION @extschema@.consume_usage(
    user_id @user_id@, usage_type text, quantity numeric DEFAULT 1,
    tokens bigint DEFAULT 0, cost numeric DEFAULT 0, idempotency_key text DEFAULT NULL,
    event_subtype text DEFAULT NULL, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL,
    metadata jsonb DEFAULT NULL) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_consume_usage';
COMMENT ON FUNCTION @extschema@.consume_usage(@user_id@, text, numeric, bigint, numeric, text, text, text, text, jsonb) IS
'Takes the use from every limit that binds it and records it, or answers why not and records nothing';

CREATE FUNCTION @extschema@.require_usage(
    user_id @user_id@, usage_type text, quantity numeric DEFAULT 1,
    tokens bigint DEFAULT 0, cost numeric DEFAULT 0, idempotency_key text DEFAULT NULL,
    event_subtype text DEFAULT NULL, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL,
    metadata jsonb DEFAULT NULL) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_require_usage';
COMMENT ON FUNCTION @extschema@.require_usage(@user_id@, text, numeric, bigint, numeric, text, text, text, text, jsonb) IS
'Like consume_usage, but a refusal is an error (UT001)';

CREATE FUNCTION @extschema@.track_usage(
    user_id @user_id@, usage_type text, quantity numeric DEFAULT 1,
    tokens bigint DEFAULT 0, cost numeric DEFAULT 0, status text DEFAULT 'success',
    event_subtype text DEFAULT NULL, duration_ms bigint DEFAULT NULL, error_message text DEFAULT NULL,
    resource_type text DEFAULT NULL, resource_id text DEFAULT NULL, parent_resource_id text DEFAULT NULL,
    metadata jsonb DEFAULT NULL, occurred_at timestamptz DEFAULT NULL,
    idempotency_key text DEFAULT NULL) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_track_usage';
COMMENT ON FUNCTION @extschema@.track_usage(@user_id@, text, numeric, bigint, numeric, text, text, bigint, text, text, text, text, jsonb, timestamptz, text) IS
'Records a fact, whatever the limits say, and returns its event id; what does not fit is marked as overage';
