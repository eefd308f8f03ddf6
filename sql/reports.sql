/* reports: what do I show?
 *
 * Views run with the rights of whoever asks.  Over users they have two
 * branches, because a policy "own or admin" alone could not use an index.
 */
CREATE FUNCTION @extschema@._usage_of_user(
    user_id @user_id@,
    OUT limit_type text, OUT usage_type text, OUT measure text, OUT used numeric, OUT held numeric, OUT max_usage numeric,
    OUT remaining numeric, OUT percent numeric, OUT window_start timestamptz, OUT reset_at timestamptz,
    OUT enforcement text, OUT is_enforced boolean, OUT plan text) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 10
AS 'MODULE_PATHNAME', 'ut_usage_of_user';
COMMENT ON FUNCTION @extschema@._usage_of_user(@user_id@) IS
'Internal: every limit of one user as it stands; read view user_usage instead';

CREATE VIEW @extschema@.user_usage WITH (security_invoker = true, security_barrier = true) AS
    SELECT u.user_id, w.limit_type, w.usage_type, w.measure, w.used, w.held, w.max_usage, w.remaining, w.percent,
           w.window_start, w.reset_at, w.enforcement, w.is_enforced, w.plan
      FROM (SELECT me.user_id
              FROM (SELECT @extschema@.current_user_id() AS user_id) AS me
             WHERE me.user_id IS NOT NULL AND NOT (SELECT @extschema@._sees_all_users())
             UNION ALL
            SELECT s.user_id
              FROM @extschema@.user_subscriptions AS s
             WHERE (SELECT @extschema@._sees_all_users())) AS u
     CROSS JOIN LATERAL @extschema@._usage_of_user(u.user_id) AS w;
COMMENT ON VIEW @extschema@.user_usage IS
'Every limit of every user you may see, as it stands at this moment';
COMMENT ON COLUMN @extschema@.user_usage.held IS 'How much of "used" is only reserved';
COMMENT ON COLUMN @extschema@.user_usage.max_usage IS '-1 is unlimited';
COMMENT ON COLUMN @extschema@.user_usage.remaining IS 'NULL if unlimited, or of a kind that is not counted';
COMMENT ON COLUMN @extschema@.user_usage.reset_at IS 'NULL if never';

/* What a seed's UPDATE of the view means.  Who may not is told so first, also
 * where he would reach no row. */
CREATE FUNCTION @extschema@._may_update_usage() RETURNS trigger
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT @extschema@._sees_all_users() THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'must be an admin or a server role to do this';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._may_update_usage() IS
'Internal: lets only admins and servers update view user_usage';
CREATE TRIGGER may_update_usage BEFORE UPDATE ON @extschema@.user_usage
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._may_update_usage();

CREATE FUNCTION @extschema@._update_usage() RETURNS trigger
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted numeric;  -- of what is used, what is not only reserved
BEGIN
    IF to_jsonb(NEW) - '{used,max_usage}'::text[] <> to_jsonb(OLD) - '{used,max_usage}'::text[] THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = 'only columns "used" and "max_usage" of view "user_usage" can be updated',
            HINT = 'Limits are changed by define_usage_limit(), plans by set_user_plan(), windows by set_user_clock().';
    END IF;
    IF NEW.max_usage IS DISTINCT FROM OLD.max_usage THEN
        PERFORM @extschema@.set_user_limit(OLD.user_id, OLD.limit_type, NEW.max_usage, NULL::timestamptz, NULL::text);
    END IF;
    IF NEW.used IS DISTINCT FROM OLD.used THEN
        counted := NEW.used - COALESCE(OLD.held, 0);
        PERFORM @extschema@.adjust_usage(OLD.user_id, OLD.limit_type,
                                         CASE WHEN NEW.used >= 0 AND counted < 0 THEN 0 ELSE counted END,
                                         NULL::timestamptz, NULL::text);
    END IF;
    SELECT w.* INTO NEW FROM @extschema@.user_usage AS w
     WHERE w.user_id = OLD.user_id AND w.limit_type = OLD.limit_type;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._update_usage() IS
'Internal: an UPDATE of view user_usage sets the user''s own maximum, or adjusts what he used';
CREATE TRIGGER update_usage INSTEAD OF UPDATE ON @extschema@.user_usage
    FOR EACH ROW EXECUTE FUNCTION @extschema@._update_usage();

/* The calls of an API under the names that applications know them by.  What was
 * corrected counts; the columns of costs say what is left of them. */
CREATE FUNCTION @extschema@._recorded_calls(
    user_id @user_id@,
    OUT id bigint, OUT service_type text, OUT provider text, OUT model text, OUT endpoint text, OUT request_id text,
    OUT input_tokens bigint, OUT output_tokens bigint, OUT cache_read_tokens bigint, OUT cache_write_tokens bigint,
    OUT total_tokens bigint, OUT quantity numeric, OUT input_cost numeric, OUT output_cost numeric,
    OUT total_cost numeric, OUT priced boolean, OUT latency_ms bigint, OUT status text, OUT error_code text,
    OUT error_message text, OUT campaign_id text, OUT ip_address inet, OUT user_agent text,
    OUT created_at timestamptz) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT e.id, e.usage_type, e.provider, e.model, e.endpoint, e.request_id,
           COALESCE(e.input_tokens, 0), COALESCE(e.output_tokens, 0),
           COALESCE(e.cache_read_tokens, 0), COALESCE(e.cache_write_tokens, 0), e.tokens, e.quantity,
           pg_catalog.trim_scale(COALESCE(e.input_cost + c.input_cost, e.input_cost, c.input_cost)),
           pg_catalog.trim_scale(COALESCE(e.output_cost + c.output_cost, e.output_cost, c.output_cost)),
           pg_catalog.trim_scale(COALESCE(e.cost + c.cost, e.cost, CASE WHEN c.priced THEN c.cost END)),
           e.cost IS NOT NULL OR COALESCE(c.priced, false),
           e.duration_ms, e.status, e.error_code, e.error_message, e.campaign_id, e.ip, e.user_agent, e.occurred_at
      FROM @extschema@.usage_events AS e
      LEFT JOIN LATERAL (
           SELECT pg_catalog.sum(v.cost) AS cost, pg_catalog.sum(v.input_cost) AS input_cost,
                  pg_catalog.sum(v.output_cost) AS output_cost, pg_catalog.count(v.price_id) > 0 AS priced
             FROM @extschema@.usage_events AS v
            WHERE v.user_id = $1 AND v.occurred_at = e.occurred_at AND v.corrects = e.id) AS c ON true
     WHERE e.user_id = $1 AND e.status <> 'correction' AND (e.provider IS NOT NULL OR e.model IS NOT NULL);
END;
COMMENT ON FUNCTION @extschema@._recorded_calls(@user_id@) IS
'Internal: every call of an API of one user, for _calls_of_user()';

CREATE FUNCTION @extschema@._calls_of_user(
    user_id @user_id@,
    OUT id bigint, OUT service_type text, OUT provider text, OUT model text, OUT endpoint text, OUT request_id text,
    OUT input_tokens bigint, OUT output_tokens bigint, OUT cache_read_tokens bigint, OUT cache_write_tokens bigint,
    OUT total_tokens bigint, OUT quantity numeric, OUT input_cost numeric, OUT output_cost numeric,
    OUT total_cost numeric, OUT priced boolean, OUT latency_ms bigint, OUT status text, OUT error_code text,
    OUT error_message text, OUT campaign_id text, OUT ip_address inet, OUT user_agent text,
    OUT created_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1000
AS 'MODULE_PATHNAME', 'ut_calls_of_user';
COMMENT ON FUNCTION @extschema@._calls_of_user(@user_id@) IS
'Internal: every call of an API of one user; read view api_usage instead';

CREATE VIEW @extschema@.api_usage WITH (security_invoker = true, security_barrier = true) AS
    SELECT c.id, u.user_id, c.service_type, c.provider, c.model, c.endpoint, c.request_id,
           c.input_tokens, c.output_tokens, c.cache_read_tokens, c.cache_write_tokens, c.total_tokens, c.quantity,
           c.input_cost, c.output_cost, c.total_cost, c.priced, c.latency_ms, c.status, c.error_code, c.error_message,
           c.campaign_id, c.ip_address, c.user_agent, c.created_at
      FROM (SELECT me.user_id
              FROM (SELECT @extschema@.current_user_id() AS user_id) AS me
             WHERE me.user_id IS NOT NULL AND NOT (SELECT @extschema@._sees_all_users())
             UNION ALL
            SELECT s.user_id
              FROM @extschema@.user_subscriptions AS s
             WHERE (SELECT @extschema@._sees_all_users())) AS u
     CROSS JOIN LATERAL @extschema@._calls_of_user(u.user_id) AS c;
COMMENT ON VIEW @extschema@.api_usage IS
'Every call of an API you may see, with what it cost';
COMMENT ON COLUMN @extschema@.api_usage.total_cost IS 'NULL if nobody knows';
