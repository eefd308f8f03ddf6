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
CREATE VIEW @extschema@.api_usage WITH (security_invoker = true, security_barrier = true) AS
    SELECT e.id, e.user_id, e.usage_type AS service_type, e.provider, e.model, e.endpoint, e.request_id,
           COALESCE(e.input_tokens, 0) AS input_tokens, COALESCE(e.output_tokens, 0) AS output_tokens,
           COALESCE(e.cache_read_tokens, 0) AS cache_read_tokens, COALESCE(e.cache_write_tokens, 0) AS cache_write_tokens,
           e.tokens AS total_tokens, e.quantity,
           pg_catalog.trim_scale(COALESCE(e.input_cost + c.input_cost, e.input_cost, c.input_cost)) AS input_cost,
           pg_catalog.trim_scale(COALESCE(e.output_cost + c.output_cost, e.output_cost, c.output_cost)) AS output_cost,
           pg_catalog.trim_scale(COALESCE(e.cost + c.cost, e.cost, CASE WHEN c.priced THEN c.cost END)) AS total_cost,
           e.cost IS NOT NULL OR COALESCE(c.priced, false) AS priced,
           e.duration_ms AS latency_ms, e.status, e.error_code, e.error_message, e.campaign_id,
           e.ip AS ip_address, e.user_agent, e.occurred_at AS created_at
      FROM (SELECT mine.id, mine.user_id, mine.usage_type, mine.status, mine.quantity, mine.tokens, mine.cost, mine.duration_ms, mine.error_message,
                   mine.occurred_at, mine.provider, mine.model, mine.endpoint, mine.request_id, mine.input_tokens, mine.output_tokens,
                   mine.cache_read_tokens, mine.cache_write_tokens, mine.input_cost, mine.output_cost, mine.error_code, mine.campaign_id,
                   mine.ip, mine.user_agent
              FROM @extschema@.usage_events AS mine
             WHERE mine.user_id = (SELECT @extschema@.current_user_id()) AND NOT (SELECT @extschema@._sees_all_users())
             UNION ALL
            SELECT every.id, every.user_id, every.usage_type, every.status, every.quantity, every.tokens, every.cost, every.duration_ms, every.error_message,
                   every.occurred_at, every.provider, every.model, every.endpoint, every.request_id, every.input_tokens, every.output_tokens,
                   every.cache_read_tokens, every.cache_write_tokens, every.input_cost, every.output_cost, every.error_code, every.campaign_id,
                   every.ip, every.user_agent
              FROM @extschema@.usage_events AS every
             WHERE (SELECT @extschema@._sees_all_users())) AS e
      LEFT JOIN LATERAL (
           SELECT pg_catalog.sum(v.cost) AS cost, pg_catalog.sum(v.input_cost) AS input_cost,
                  pg_catalog.sum(v.output_cost) AS output_cost, pg_catalog.count(v.price_id) > 0 AS priced
             FROM @extschema@.usage_events AS v
            WHERE v.user_id = e.user_id AND v.occurred_at = e.occurred_at AND v.corrects = e.id) AS c ON true
     WHERE e.status <> 'correction' AND (e.provider IS NOT NULL OR e.model IS NOT NULL);
COMMENT ON VIEW @extschema@.api_usage IS
'Every call of an API you may see, with what it cost';
COMMENT ON COLUMN @extschema@.api_usage.total_cost IS 'NULL if nobody knows';
