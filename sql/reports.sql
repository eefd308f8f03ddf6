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

CREATE FUNCTION @extschema@.visible_users() RETURNS SETOF @user_id@
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED ROWS 1000
BEGIN ATOMIC
    SELECT me.user_id
      FROM (SELECT @extschema@.current_user_id() AS user_id) AS me
     WHERE me.user_id IS NOT NULL AND NOT (SELECT @extschema@._sees_all_users())
     UNION ALL
    SELECT s.user_id
      FROM @extschema@.user_subscriptions AS s
     WHERE (SELECT @extschema@._sees_all_users());
END;
COMMENT ON FUNCTION @extschema@.visible_users() IS
'The users whose usage the caller may see: himself, or for admins and servers everybody; to build views on';

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
           pg_catalog.trim_scale(e.input_cost_left), pg_catalog.trim_scale(e.output_cost_left),
           CASE WHEN e.priced THEN pg_catalog.trim_scale(e.cost_left) END, e.priced,
           e.duration_ms, e.status, e.error_code, e.error_message, e.campaign_id, e.ip, e.user_agent, e.occurred_at
      FROM (SELECT v.id, v.usage_type, v.provider, v.model, v.endpoint, v.request_id, v.input_tokens, v.output_tokens,
                   v.cache_read_tokens, v.cache_write_tokens, v.tokens, v.quantity, v.duration_ms, v.status, v.error_code,
                   v.error_message, v.campaign_id, v.ip, v.user_agent, v.occurred_at,
                   pg_catalog.sum(v.cost) OVER call AS cost_left,
                   pg_catalog.sum(v.input_cost) OVER call AS input_cost_left,
                   pg_catalog.sum(v.output_cost) OVER call AS output_cost_left,
                   v.cost IS NOT NULL OR pg_catalog.count(v.price_id) FILTER (WHERE v.corrects IS NOT NULL) OVER call > 0 AS priced
              FROM @extschema@.usage_events AS v
             WHERE v.user_id = $1 AND (v.provider IS NOT NULL OR v.model IS NOT NULL)
            WINDOW call AS (PARTITION BY COALESCE(v.corrects, v.id))) AS e
     WHERE e.status <> 'correction';
END;
COMMENT ON FUNCTION @extschema@._recorded_calls(@user_id@) IS
'Internal: every call of an API of one user, for _calls_of_user()';

/* ROWS is low because api_usage is planned as if it might show all users: at many
 * times their number every query of one user would be compiled (jit). */
CREATE FUNCTION @extschema@._calls_of_user(
    user_id @user_id@,
    OUT id bigint, OUT service_type text, OUT provider text, OUT model text, OUT endpoint text, OUT request_id text,
    OUT input_tokens bigint, OUT output_tokens bigint, OUT cache_read_tokens bigint, OUT cache_write_tokens bigint,
    OUT total_tokens bigint, OUT quantity numeric, OUT input_cost numeric, OUT output_cost numeric,
    OUT total_cost numeric, OUT priced boolean, OUT latency_ms bigint, OUT status text, OUT error_code text,
    OUT error_message text, OUT campaign_id text, OUT ip_address inet, OUT user_agent text,
    OUT created_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1
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

/* ---- what was used ----
 *
 * Each question has two functions: one for those who ask, in C, which decides
 * whether they may (src/reports_usage.c), and one with the answer, for the owner.
 * Days are in the zone of the sums; "at" is the present instant. */

CREATE FUNCTION @extschema@._get_user_usage(
    user_id @user_id@, first_day date, last_day date, at timestamptz,
    OUT usage_type text, OUT events bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric,
    OUT input_tokens numeric, OUT output_tokens numeric, OUT cost numeric, OUT unpriced bigint,
    OUT duration_ms_mean numeric, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT d.usage_type, pg_catalog.sum(d.events)::bigint,
           COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status <> 'success'), 0)::bigint,
           pg_catalog.sum(d.quantity), pg_catalog.sum(d.tokens), pg_catalog.sum(d.input_tokens), pg_catalog.sum(d.output_tokens),
           pg_catalog.sum(d.cost), pg_catalog.sum(d.unpriced)::bigint,
           CASE WHEN pg_catalog.sum(d.duration_count) > 0
                THEN pg_catalog.round(pg_catalog.sum(d.duration_ms_sum) / pg_catalog.sum(d.duration_count), 3) END,
           pg_catalog.max(d.duration_ms_max)
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL @extschema@._days_of_user($1,
           COALESCE($2, pg_catalog.date_trunc('month', at AT TIME ZONE p.zone)::date),
           COALESCE($3, (at AT TIME ZONE p.zone)::date)) AS d
     GROUP BY d.usage_type ORDER BY d.usage_type;
END;
COMMENT ON FUNCTION @extschema@._get_user_usage(@user_id@, date, date, timestamptz) IS
'Internal: the answer of get_user_usage()';

CREATE FUNCTION @extschema@.get_user_usage(
    user_id @user_id@, first_day date DEFAULT NULL, last_day date DEFAULT NULL,
    OUT usage_type text, OUT events bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric,
    OUT input_tokens numeric, OUT output_tokens numeric, OUT cost numeric, OUT unpriced bigint,
    OUT duration_ms_mean numeric, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 10
AS 'MODULE_PATHNAME', 'ut_get_user_usage';
COMMENT ON FUNCTION @extschema@.get_user_usage(@user_id@, date, date) IS
'What a user used of each type, from one day to another; by default this month';

/* Retention keeps the cost of what it drops in usage_carried, since before there
 * were sums by day. */
CREATE FUNCTION @extschema@._get_user_costs(
    user_id @user_id@, at timestamptz, OUT this_month numeric, OUT lifetime numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT COALESCE(s.this_month, 0),
           COALESCE(s.lifetime, 0) + COALESCE((SELECT pg_catalog.sum(c.cost) FROM @extschema@.usage_carried AS c
                                                WHERE c.user_id = $1 AND c.limit_id = 0), 0),
           COALESCE(s.unpriced, 0)
      FROM (SELECT pg_catalog.sum(d.cost) FILTER (WHERE d.day >= m.first_day
                                                    AND d.day < (m.first_day + '1 month'::interval)::date) AS this_month,
                   pg_catalog.sum(d.cost) FILTER (WHERE NOT d.is_final) AS lifetime,
                   pg_catalog.sum(d.unpriced)::bigint AS unpriced
              FROM @extschema@._rollup_progress() AS p
             CROSS JOIN LATERAL (SELECT pg_catalog.date_trunc('month', at AT TIME ZONE p.zone)::date) AS m (first_day)
             CROSS JOIN LATERAL @extschema@._days_of_user($1, '4000-01-01 BC', '290000-01-01') AS d) AS s;
END;
COMMENT ON FUNCTION @extschema@._get_user_costs(@user_id@, timestamptz) IS
'Internal: the answer of get_user_costs()';

CREATE FUNCTION @extschema@.get_user_costs(
    user_id @user_id@, OUT this_month numeric, OUT lifetime numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1
AS 'MODULE_PATHNAME', 'ut_get_user_costs';
COMMENT ON FUNCTION @extschema@.get_user_costs(@user_id@) IS
'What a user cost this month and ever, and how many of his uses have no price; one row';

CREATE FUNCTION @extschema@._get_user_usage_history(
    user_id @user_id@, before_time timestamptz, before_id bigint, max_rows integer,
    OUT id bigint, OUT occurred_at timestamptz, OUT usage_type text, OUT event_subtype text, OUT status text,
    OUT quantity numeric, OUT tokens bigint, OUT cost numeric, OUT provider text, OUT model text, OUT endpoint text,
    OUT request_id text, OUT input_tokens bigint, OUT output_tokens bigint, OUT cache_read_tokens bigint,
    OUT cache_write_tokens bigint, OUT input_cost numeric, OUT output_cost numeric, OUT duration_ms bigint,
    OUT error_code text, OUT error_message text, OUT resource_type text, OUT resource_id text, OUT campaign_id text,
    OUT corrects bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT e.id, e.occurred_at, e.usage_type, e.event_subtype, e.status, e.quantity, e.tokens, e.cost, e.provider, e.model,
           e.endpoint, e.request_id, e.input_tokens, e.output_tokens, e.cache_read_tokens, e.cache_write_tokens, e.input_cost,
           e.output_cost, e.duration_ms, e.error_code, e.error_message, e.resource_type, e.resource_id, e.campaign_id, e.corrects
      FROM @extschema@.usage_events AS e
     WHERE e.user_id = $1 AND e.occurred_at <= $2 AND (e.occurred_at, e.id) < ($2, $3)
     ORDER BY e.occurred_at DESC, e.id DESC LIMIT $4;
END;
COMMENT ON FUNCTION @extschema@._get_user_usage_history(@user_id@, timestamptz, bigint, integer) IS
'Internal: the answer of get_user_usage_history()';

CREATE FUNCTION @extschema@.get_user_usage_history(
    user_id @user_id@, before_time timestamptz DEFAULT NULL, before_id bigint DEFAULT NULL, max_rows integer DEFAULT 50,
    OUT id bigint, OUT occurred_at timestamptz, OUT usage_type text, OUT event_subtype text, OUT status text,
    OUT quantity numeric, OUT tokens bigint, OUT cost numeric, OUT provider text, OUT model text, OUT endpoint text,
    OUT request_id text, OUT input_tokens bigint, OUT output_tokens bigint, OUT cache_read_tokens bigint,
    OUT cache_write_tokens bigint, OUT input_cost numeric, OUT output_cost numeric, OUT duration_ms bigint,
    OUT error_code text, OUT error_message text, OUT resource_type text, OUT resource_id text, OUT campaign_id text,
    OUT corrects bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 50
AS 'MODULE_PATHNAME', 'ut_get_user_usage_history';
COMMENT ON FUNCTION @extschema@.get_user_usage_history(@user_id@, timestamptz, bigint, integer) IS
'A user''s events, the latest first; occurred_at and id of the last row ask for the next page';

CREATE FUNCTION @extschema@._get_user_aggregations(
    user_id @user_id@, granularity text, first_day date, last_day date, at timestamptz,
    OUT period date, OUT usage_type text, OUT provider text, OUT model text, OUT campaign_id text, OUT status text,
    OUT events bigint, OUT quantity numeric, OUT tokens numeric, OUT input_tokens numeric, OUT output_tokens numeric,
    OUT cost numeric, OUT unpriced bigint, OUT duration_ms_mean numeric, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT pg_catalog.date_trunc($2, (d.day + '00:00'::time))::date AS period, d.usage_type, NULLIF(d.provider, ''),
           NULLIF(d.model, ''), NULLIF(d.campaign_id, ''), d.status, pg_catalog.sum(d.events)::bigint, pg_catalog.sum(d.quantity),
           pg_catalog.sum(d.tokens), pg_catalog.sum(d.input_tokens), pg_catalog.sum(d.output_tokens), pg_catalog.sum(d.cost),
           pg_catalog.sum(d.unpriced)::bigint,
           CASE WHEN pg_catalog.sum(d.duration_count) > 0
                THEN pg_catalog.round(pg_catalog.sum(d.duration_ms_sum) / pg_catalog.sum(d.duration_count), 3) END,
           pg_catalog.max(d.duration_ms_max)
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL @extschema@._days_of_user($1, COALESCE($3, (at AT TIME ZONE p.zone)::date - 29),
                                                  COALESCE($4, (at AT TIME ZONE p.zone)::date)) AS d
     GROUP BY pg_catalog.date_trunc($2, (d.day + '00:00'::time))::date, d.usage_type, d.provider, d.model, d.campaign_id, d.status
     ORDER BY period, d.usage_type, d.provider, d.model, d.campaign_id, d.status;
END;
COMMENT ON FUNCTION @extschema@._get_user_aggregations(@user_id@, text, date, date, timestamptz) IS
'Internal: the answer of get_user_aggregations()';

CREATE FUNCTION @extschema@.get_user_aggregations(
    user_id @user_id@, granularity text DEFAULT 'day', first_day date DEFAULT NULL, last_day date DEFAULT NULL,
    OUT period date, OUT usage_type text, OUT provider text, OUT model text, OUT campaign_id text, OUT status text,
    OUT events bigint, OUT quantity numeric, OUT tokens numeric, OUT input_tokens numeric, OUT output_tokens numeric,
    OUT cost numeric, OUT unpriced bigint, OUT duration_ms_mean numeric, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 100
AS 'MODULE_PATHNAME', 'ut_get_user_aggregations';
COMMENT ON FUNCTION @extschema@.get_user_aggregations(@user_id@, text, date, date) IS
'What a user used by day, week or month, type, provider, model, campaign and status; by default the last 30 days';

CREATE FUNCTION @extschema@._get_usage_totals(
    first_day date, last_day date, granularity text, at timestamptz,
    OUT period date, OUT usage_type text, OUT provider text, OUT model text, OUT status text,
    OUT events bigint, OUT quantity numeric, OUT tokens numeric, OUT input_tokens numeric, OUT output_tokens numeric,
    OUT cost numeric, OUT unpriced bigint, OUT duration_ms_mean numeric, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT pg_catalog.date_trunc($3, (d.day + '00:00'::time))::date AS period, d.usage_type, NULLIF(d.provider, ''),
           NULLIF(d.model, ''), d.status, pg_catalog.sum(d.events)::bigint, pg_catalog.sum(d.quantity),
           pg_catalog.sum(d.tokens), pg_catalog.sum(d.input_tokens), pg_catalog.sum(d.output_tokens), pg_catalog.sum(d.cost),
           pg_catalog.sum(d.unpriced)::bigint,
           CASE WHEN pg_catalog.sum(d.duration_count) > 0
                THEN pg_catalog.round(pg_catalog.sum(d.duration_ms_sum) / pg_catalog.sum(d.duration_count), 3) END,
           pg_catalog.max(d.duration_ms_max)
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL @extschema@._days_of_all(COALESCE($1, (at AT TIME ZONE p.zone)::date - 29),
                                                 COALESCE($2, (at AT TIME ZONE p.zone)::date)) AS d
     GROUP BY pg_catalog.date_trunc($3, (d.day + '00:00'::time))::date, d.usage_type, d.provider, d.model, d.status
     ORDER BY period, d.usage_type, d.provider, d.model, d.status;
END;
COMMENT ON FUNCTION @extschema@._get_usage_totals(date, date, text, timestamptz) IS
'Internal: the answer of get_usage_totals()';

CREATE FUNCTION @extschema@.get_usage_totals(
    first_day date DEFAULT NULL, last_day date DEFAULT NULL, granularity text DEFAULT 'day',
    OUT period date, OUT usage_type text, OUT provider text, OUT model text, OUT status text,
    OUT events bigint, OUT quantity numeric, OUT tokens numeric, OUT input_tokens numeric, OUT output_tokens numeric,
    OUT cost numeric, OUT unpriced bigint, OUT duration_ms_mean numeric, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1000
AS 'MODULE_PATHNAME', 'ut_get_usage_totals';
COMMENT ON FUNCTION @extschema@.get_usage_totals(date, date, text) IS
'What all users together used, by day, week or month, type, provider, model and status; for admins and servers';

CREATE FUNCTION @extschema@._get_user_stats(user_id @user_id@, days integer, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH used AS MATERIALIZED (
        SELECT d.day, d.usage_type, pg_catalog.sum(d.events) AS events
          FROM @extschema@._rollup_progress() AS p
         CROSS JOIN LATERAL @extschema@._days_of_user($1, (at AT TIME ZONE p.zone)::date - days,
                                                      (at AT TIME ZONE p.zone)::date) AS d
         GROUP BY d.day, d.usage_type
    ), recent AS (
        SELECT h.* FROM @extschema@._get_user_usage_history($1, 'infinity', 0, 100) AS h
         WHERE h.occurred_at >= at - pg_catalog.make_interval(days => days)
    )
    SELECT pg_catalog.jsonb_build_object(
        'daily', COALESCE((SELECT pg_catalog.jsonb_object_agg(d.day, d.types)
                             FROM (SELECT pg_catalog.to_char((u.day + '00:00'::time), 'YYYY-MM-DD') AS day,
                                          pg_catalog.jsonb_object_agg(u.usage_type, u.events) AS types
                                     FROM used AS u GROUP BY u.day) AS d), '{}'),
        'totals', COALESCE((SELECT pg_catalog.jsonb_object_agg(t.usage_type, t.events)
                              FROM (SELECT u.usage_type, pg_catalog.sum(u.events) AS events
                                      FROM used AS u GROUP BY u.usage_type) AS t), '{}'),
        'recentEvents', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(r) ORDER BY r.occurred_at DESC, r.id DESC)
                                    FROM recent AS r), '[]'));
END;
COMMENT ON FUNCTION @extschema@._get_user_stats(@user_id@, integer, timestamptz) IS
'Internal: the answer of get_user_stats()';

CREATE FUNCTION @extschema@.get_user_stats(user_id @user_id@, days integer DEFAULT 30) RETURNS jsonb
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_get_user_stats';
COMMENT ON FUNCTION @extschema@.get_user_stats(@user_id@, integer) IS
'A user''s events by day and type, their totals, and the last 100 of them, as one JSON object';

/* Those that were defined, and those that events name. */
CREATE FUNCTION @extschema@._get_campaigns(
    user_id @user_id@,
    OUT campaign_id text, OUT name text, OUT description text, OUT budget numeric,
    OUT events bigint, OUT tokens numeric, OUT cost numeric, OUT unpriced bigint, OUT percent numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH used AS (
        SELECT d.campaign_id, pg_catalog.sum(d.events)::bigint AS events, pg_catalog.sum(d.tokens) AS tokens,
               pg_catalog.sum(d.cost) AS cost, pg_catalog.sum(d.unpriced)::bigint AS unpriced
          FROM @extschema@._days_of_user($1, '0001-01-01', '9999-12-31') AS d
         WHERE d.campaign_id <> ''
         GROUP BY d.campaign_id
    ), defined AS (
        SELECT c.campaign_id, c.name, c.description, c.budget FROM @extschema@.campaigns AS c WHERE c.user_id = $1
    )
    SELECT campaign_id, d.name, d.description, d.budget, COALESCE(u.events, 0), COALESCE(u.tokens, 0),
           pg_catalog.trim_scale(COALESCE(u.cost, 0)), COALESCE(u.unpriced, 0),
           CASE WHEN d.budget > 0 THEN pg_catalog.round(COALESCE(u.cost, 0) * 100 / d.budget, 1)
                WHEN d.budget = 0 THEN 100.0 END
      FROM defined AS d FULL JOIN used AS u USING (campaign_id)
     ORDER BY campaign_id;
END;
COMMENT ON FUNCTION @extschema@._get_campaigns(@user_id@) IS
'Internal: the answer of get_campaigns()';

CREATE FUNCTION @extschema@.get_campaigns(
    user_id @user_id@,
    OUT campaign_id text, OUT name text, OUT description text, OUT budget numeric,
    OUT events bigint, OUT tokens numeric, OUT cost numeric, OUT unpriced bigint, OUT percent numeric) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 10
AS 'MODULE_PATHNAME', 'ut_get_campaigns';
COMMENT ON FUNCTION @extschema@.get_campaigns(@user_id@) IS
'A user''s campaigns with what they used and cost, of all times, and how much of their budget that is';

/* ---- what a payment service is told ---- */

/* A use once it succeeded, and what was taken back of one; adjustments of a single
 * limit are no use. */
CREATE FUNCTION @extschema@._stripe_meter_events(
    since timestamptz, after_id bigint, max_rows integer,
    OUT event_name text, OUT identifier text, OUT "timestamp" bigint, OUT payload jsonb,
    OUT recorded_at timestamptz, OUT id bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT e.usage_type, e.id::text, pg_catalog.floor(EXTRACT(epoch FROM e.occurred_at))::bigint,
           pg_catalog.jsonb_build_object('stripe_customer_id', s.stripe_customer_id,
                                         'value', pg_catalog.trim_scale(e.quantity)::text),
           e.recorded_at, e.id
      FROM @extschema@.usage_events AS e
      JOIN @extschema@.user_subscriptions AS s ON s.user_id = e.user_id AND s.stripe_customer_id IS NOT NULL
     WHERE e.recorded_at >= $1 AND ($2 IS NULL OR (e.recorded_at, e.id) > ($1, $2)) AND e.quantity <> 0
       AND (e.status = 'success'
            OR (e.status = 'correction' AND e.corrects IS NOT NULL AND e.corrected_status = 'success'))
     ORDER BY e.recorded_at, e.id LIMIT $3;
END;
COMMENT ON FUNCTION @extschema@._stripe_meter_events(timestamptz, bigint, integer) IS
'Internal: the answer of stripe_meter_events()';

CREATE FUNCTION @extschema@.stripe_meter_events(
    since timestamptz, after_id bigint DEFAULT NULL, max_rows integer DEFAULT 1000,
    OUT event_name text, OUT identifier text, OUT "timestamp" bigint, OUT payload jsonb,
    OUT recorded_at timestamptz, OUT id bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1000
AS 'MODULE_PATHNAME', 'ut_stripe_meter_events';
COMMENT ON FUNCTION @extschema@.stripe_meter_events(timestamptz, bigint, integer) IS
'Uses of Stripe''s customers recorded since an instant, as the meter events that Stripe takes';
