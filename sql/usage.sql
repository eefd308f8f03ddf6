/* usage: the door.
 *
 * The only writer of events and counters.  check_* looks, consume_* takes or
 * says no, require_* takes or raises, track_* records a fact.
 */
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

/* Reads nothing but the clock, so whoever has a decision may ask. */
CREATE FUNCTION @extschema@.describe_decision(decision @extschema@.usage_decision) RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.to_jsonb($1) || pg_catalog.jsonb_build_object(
        'percent', CASE WHEN ($1).max_usage > 0 THEN pg_catalog.round(($1).used * 100 / ($1).max_usage, 1) END,
        'reset_in', CASE WHEN pg_catalog.isfinite(($1).reset_at)
                         THEN GREATEST(pg_catalog.ceil(EXTRACT(epoch FROM ($1).reset_at - n.now)), 0)::bigint END,
        'message', CASE WHEN NOT ($1).allowed THEN
                CASE WHEN ($1).reason = 'expired' THEN 'This is over: it has expired or was settled.'
                     WHEN ($1).limit_type IS NULL THEN pg_catalog.format('You don''t have enough credits (%s left).', ($1).remaining)
                     ELSE pg_catalog.format(CASE WHEN ($1).remaining > 0 THEN 'This is more than your %s limit leaves (%s/%s).'
                                                 ELSE 'You''ve reached your %s limit (%s/%s).' END,
                                            ($1).limit_type, ($1).used, ($1).max_usage) END
                || COALESCE(' Resets at ' || ($1).reset_at || '.', '') END)
      FROM @extschema@._usage_now() AS n (now);
END;
COMMENT ON FUNCTION @extschema@.describe_decision(@extschema@.usage_decision) IS
'A decision as a JSON object for a page or the body of a 429: its fields, the percentage used, seconds to the reset, and what to tell the user';

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

/* Tokens are counted in one class each; usage_from_openai() and its sisters tell them apart. */
CREATE FUNCTION @extschema@.track_api_usage(
    user_id @user_id@, service_type text, provider text, model text,
    endpoint text DEFAULT NULL, request_id text DEFAULT NULL,
    input_tokens bigint DEFAULT 0, output_tokens bigint DEFAULT 0,
    cache_read_tokens bigint DEFAULT 0, cache_write_tokens bigint DEFAULT 0, quantity numeric DEFAULT 1,
    status text DEFAULT 'success', duration_ms bigint DEFAULT NULL, error_message text DEFAULT NULL,
    campaign_id text DEFAULT NULL, ip inet DEFAULT NULL, user_agent text DEFAULT NULL,
    metadata jsonb DEFAULT NULL, occurred_at timestamptz DEFAULT NULL, idempotency_key text DEFAULT NULL,
    error_code text DEFAULT NULL, service_tier text DEFAULT 'standard', cache_write_1h_tokens bigint DEFAULT 0,
    reasoning_tokens bigint DEFAULT 0, audio_input_tokens bigint DEFAULT 0, audio_cache_read_tokens bigint DEFAULT 0,
    audio_output_tokens bigint DEFAULT 0, image_input_tokens bigint DEFAULT 0, image_output_tokens bigint DEFAULT 0,
    event_subtype text DEFAULT NULL, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL,
    OUT event_id bigint, OUT input_cost numeric, OUT output_cost numeric, OUT total_cost numeric, OUT priced boolean)
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_track_api_usage';
COMMENT ON FUNCTION @extschema@.track_api_usage(@user_id@, text, text, text, text, text, bigint, bigint, bigint, bigint, numeric, text, bigint, text, text, inet, text, jsonb, timestamptz, text, text, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, text, text, text) IS
'Records a call of an API with what it cost at the price of its instant, whatever the limits say';

CREATE FUNCTION @extschema@.recost_usage(
    from_time timestamptz, to_time timestamptz,
    OUT checked bigint, OUT corrected bigint, OUT unpriced bigint, OUT difference numeric)
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000
AS 'MODULE_PATHNAME', 'ut_recost_usage';
COMMENT ON FUNCTION @extschema@.recost_usage(timestamptz, timestamptz) IS
'Corrects what calls of that time cost, where prices known now say otherwise; again, it corrects nothing';

CREATE FUNCTION @extschema@.track_usage_batch(
    events jsonb, OUT recorded bigint, OUT replayed bigint, OUT errors jsonb) RETURNS record
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000
AS 'MODULE_PATHNAME', 'ut_track_usage_batch';
COMMENT ON FUNCTION @extschema@.track_usage_batch(jsonb) IS
'Records many facts at once; what is wrong with an element is reported, the others are recorded';

CREATE FUNCTION @extschema@.reserve_usage(
    user_id @user_id@, usage_type text, quantity numeric DEFAULT 1,
    tokens bigint DEFAULT 0, cost numeric DEFAULT 0, expires_in interval DEFAULT '15 minutes',
    idempotency_key text DEFAULT NULL) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_reserve_usage';
COMMENT ON FUNCTION @extschema@.reserve_usage(@user_id@, text, numeric, bigint, numeric, interval, text) IS
'Holds a use under every limit that binds it until it is committed, released or expires, or answers why not';

CREATE FUNCTION @extschema@.commit_usage(
    user_id @user_id@, reservation_id bigint, quantity numeric DEFAULT NULL,
    tokens bigint DEFAULT NULL, cost numeric DEFAULT NULL, metadata jsonb DEFAULT NULL) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_commit_usage';
COMMENT ON FUNCTION @extschema@.commit_usage(@user_id@, bigint, numeric, bigint, numeric, jsonb) IS
'Records what was reserved, or what it came to, at the instant of the reservation; never refused by a limit';

CREATE FUNCTION @extschema@.release_usage(user_id @user_id@, reservation_id bigint) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_release_usage';
COMMENT ON FUNCTION @extschema@.release_usage(@user_id@, bigint) IS
'Gives back what was reserved';

CREATE FUNCTION @extschema@.reverse_usage(
    user_id @user_id@, event_id bigint, quantity numeric DEFAULT NULL, reason text DEFAULT NULL) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_reverse_usage';
COMMENT ON FUNCTION @extschema@.reverse_usage(@user_id@, bigint, numeric, text) IS
'Takes an event back, or a quantity of it, by a correcting event';

CREATE FUNCTION @extschema@.adjust_usage(
    user_id @user_id@, limit_type text, used numeric, at timestamptz DEFAULT NULL, reason text DEFAULT NULL) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_adjust_usage';
COMMENT ON FUNCTION @extschema@.adjust_usage(@user_id@, text, numeric, timestamptz, text) IS
'Makes it that much used of a limit, in the window that holds that instant, by a correcting event';

CREATE FUNCTION @extschema@.reset_user_usage(user_id @user_id@, limit_type text) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_reset_user_usage';
COMMENT ON FUNCTION @extschema@.reset_user_usage(@user_id@, text) IS
'Makes it nothing used of a limit in its present window, by a correcting event';
