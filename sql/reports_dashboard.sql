/* reports, dashboards: what a page shows of a user, or of everybody, as one JSON object.
 *
 * Days, and the month of costs, are those of the sums by day; "at" is the present
 * instant.  Who may see it is decided in src/reports_dashboard.c.
 */

/* How a limit stands, in one word: for a colour that is not only a colour. */
CREATE FUNCTION @extschema@._limit_state(used numeric, max_usage numeric, percent numeric) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN used IS NULL THEN 'uncounted' WHEN max_usage = -1 THEN 'unlimited' WHEN percent >= 100 THEN 'reached'
                WHEN percent >= 80 THEN 'near' ELSE 'ok' END;
END;
COMMENT ON FUNCTION @extschema@._limit_state(numeric, numeric, numeric) IS
'Internal: ok, near (80 percent), reached, unlimited, or uncounted';

CREATE FUNCTION @extschema@._limits_to_show(user_id @user_id@, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
               'limit_type', w.limit_type, 'description', l.description, 'usage_type', w.usage_type, 'measure', w.measure,
               'used', w.used, 'held', w.held, 'max_usage', w.max_usage, 'remaining', w.remaining, 'percent', w.percent,
               'state', @extschema@._limit_state(w.used, w.max_usage, w.percent),
               'window_start', w.window_start, 'reset_at', w.reset_at,
               'reset_in', CASE WHEN w.reset_at > at THEN pg_catalog.ceil(EXTRACT(epoch FROM w.reset_at - at))::bigint END,
               'enforcement', w.enforcement, 'is_enforced', w.is_enforced) ORDER BY w.limit_type), '[]')
      FROM @extschema@._usage_of_user($1) AS w
      JOIN @extschema@.usage_limits AS l ON l.limit_type = w.limit_type;
END;
COMMENT ON FUNCTION @extschema@._limits_to_show(@user_id@, timestamptz) IS
'Internal: every limit of a user as it stands, for user_dashboard()';

CREATE FUNCTION @extschema@._days_to_show(user_id @user_id@, first_day date, last_day date) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH used AS MATERIALIZED (
        SELECT d.day, d.usage_type, NULLIF(d.provider, '') AS provider, NULLIF(d.model, '') AS model,
               d.events, d.quantity, d.tokens, d.cost, d.unpriced
          FROM @extschema@._days_of_user($1, $2, $3) AS d
    )
    SELECT pg_catalog.jsonb_build_object(
        'days', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(d) ORDER BY d.day, d.usage_type)
                            FROM (SELECT u.day, u.usage_type, pg_catalog.sum(u.events) AS events, pg_catalog.sum(u.quantity) AS quantity,
                                         pg_catalog.sum(u.tokens) AS tokens, pg_catalog.trim_scale(pg_catalog.sum(u.cost)) AS cost
                                    FROM used AS u GROUP BY u.day, u.usage_type) AS d), '[]'),
        'models', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(m) ORDER BY m.cost DESC, m.events DESC, m.provider, m.model)
                              FROM (SELECT u.provider, u.model, pg_catalog.sum(u.events) AS events, pg_catalog.sum(u.tokens) AS tokens,
                                           pg_catalog.trim_scale(pg_catalog.sum(u.cost)) AS cost,
                                           @extschema@._ratio(pg_catalog.sum(u.cost) * 100,
                                                              pg_catalog.sum(pg_catalog.sum(u.cost)) OVER (), 1) AS percent,
                                           pg_catalog.sum(u.unpriced) AS unpriced
                                      FROM used AS u WHERE u.provider IS NOT NULL OR u.model IS NOT NULL
                                     GROUP BY u.provider, u.model) AS m), '[]'));
END;
COMMENT ON FUNCTION @extschema@._days_to_show(@user_id@, date, date) IS
'Internal: what a user used by day and type, and by model, for user_dashboard()';

CREATE FUNCTION @extschema@._events_to_show(user_id @user_id@, max_rows integer) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
               'id', h.id, 'occurred_at', h.occurred_at, 'usage_type', h.usage_type, 'event_subtype', h.event_subtype,
               'status', h.status, 'provider', h.provider, 'model', h.model, 'quantity', pg_catalog.trim_scale(h.quantity),
               'tokens', h.tokens, 'cost', pg_catalog.trim_scale(h.cost), 'duration_ms', h.duration_ms,
               'error_message', h.error_message) ORDER BY h.occurred_at DESC, h.id DESC), '[]')
      FROM @extschema@._get_user_usage_history($1, 'infinity', 0, $2) AS h;
END;
COMMENT ON FUNCTION @extschema@._events_to_show(@user_id@, integer) IS
'Internal: the last events of a user, for user_dashboard()';

/* Of what was reached in the present windows and is still, the most of each limit. */
CREATE FUNCTION @extschema@._alerts_to_show(user_id @user_id@, at timestamptz, first_day date) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) ORDER BY s.id DESC), '[]')
      FROM (SELECT DISTINCT ON (a.limit_type, a.usage_type) a.*
              FROM @extschema@.get_usage_alerts($1, true, NULL, 100) AS a
              LEFT JOIN @extschema@._usage_of_user($1) AS w ON w.limit_type = a.limit_type
             WHERE CASE a.kind WHEN 'threshold' THEN a.window_end > at AND a.threshold <= w.percent ELSE a.day >= first_day END
             ORDER BY a.limit_type, a.usage_type, a.threshold DESC, a.id DESC) AS s;
END;
COMMENT ON FUNCTION @extschema@._alerts_to_show(@user_id@, timestamptz, date) IS
'Internal: what a user should know, for user_dashboard()';

/* The emoji needs a server that can write it. */
CREATE FUNCTION @extschema@._notice_of_plan(plan text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN pg_catalog.current_setting('server_encoding') = 'UTF8' THEN pg_catalog.chr(127881) || ' ' ELSE '' END
        || 'Demo Mode: You have unlimited access to all features. Usage tracking is enabled for analytics purposes.'
     WHERE $1 = 'demo';
END;
COMMENT ON FUNCTION @extschema@._notice_of_plan(text) IS
'Internal: what users on a plan are told, NULL for nothing';

CREATE FUNCTION @extschema@._user_dashboard(user_id @user_id@, plan text, zone text, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT pg_catalog.jsonb_build_object(
        'kind', 'user', 'generated_at', at, 'time_zone', $3, 'first_day', r.first_day, 'last_day', r.last_day,
        'user', pg_catalog.jsonb_build_object('id', $1::text, 'email', @extschema@._email_of($1), 'is_admin', @extschema@.is_admin($1)),
        'plan', (SELECT pg_catalog.jsonb_build_object(
                            'plan', $2, 'name', COALESCE(p.name, $2), 'description', p.description,
                            'status', COALESCE(s.status, 'active'), 'started_at', s.started_at, 'expires_at', s.expires_at,
                            'billing_period_start', s.billing_period_start, 'billing_period_end', s.billing_period_end)
                   FROM (VALUES (1)) AS one (row)
                   LEFT JOIN @extschema@.plans AS p ON p.plan = $2
                   LEFT JOIN @extschema@.user_subscriptions AS s ON s.user_id = $1),
        'notice', @extschema@._notice_of_plan($2),
        'limits', @extschema@._limits_to_show($1, at),
        'costs', (SELECT pg_catalog.jsonb_build_object('this_month', pg_catalog.trim_scale(c.this_month),
                                                       'lifetime', pg_catalog.trim_scale(c.lifetime), 'unpriced', c.unpriced)
                    FROM @extschema@._get_user_costs($1, at) AS c),
        'credits', (SELECT pg_catalog.jsonb_build_object('balance', c.balance, 'held', c.held, 'lifetime_earned', c.lifetime_earned,
                                                         'lifetime_spent', c.lifetime_spent, 'next_refill_at', c.next_refill_at)
                      FROM @extschema@._credits_of_user($1) AS c
                     WHERE c.lifetime_earned <> 0 OR c.balance <> 0 OR c.next_refill_at IS NOT NULL),
        'runs', CASE WHEN EXISTS (SELECT FROM @extschema@.usage_runs AS n WHERE n.user_id = $1 AND n.usage_type = 'run')
                     THEN @extschema@.run_usage($1, 'run') END,
        'usage', (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                             'usage_type', u.usage_type, 'events', u.events, 'failed', u.failed, 'quantity', pg_catalog.trim_scale(u.quantity),
                             'tokens', u.tokens, 'cost', pg_catalog.trim_scale(u.cost), 'unpriced', u.unpriced) ORDER BY u.usage_type), '[]')
                    FROM @extschema@._get_user_usage($1, NULL, NULL, at) AS u),
        'recent', @extschema@._events_to_show($1, 10),
        'alerts', @extschema@._alerts_to_show($1, at, r.last_day - 6))
        || @extschema@._days_to_show($1, r.first_day, r.last_day)
      FROM @extschema@._last_days(30, NULL, at) AS r;
END;
COMMENT ON FUNCTION @extschema@._user_dashboard(@user_id@, text, text, timestamptz) IS
'Internal: the answer of user_dashboard()';

CREATE FUNCTION @extschema@.user_dashboard(user_id @user_id@ DEFAULT @extschema@.current_user_id()) RETURNS jsonb
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
AS 'MODULE_PATHNAME', 'ut_user_dashboard';
COMMENT ON FUNCTION @extschema@.user_dashboard(@user_id@) IS
'What to show a user of his usage: plan, limits, costs, credits, runs, days, models, last events and alerts, as one JSON object';

CREATE FUNCTION @extschema@._admin_dashboard(days integer, steps text[], at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH trends AS MATERIALIZED (
        SELECT t.* FROM @extschema@._get_usage_trends($1, NULL, at) AS t
    ), models AS MATERIALIZED (
        SELECT m.* FROM @extschema@._get_cost_breakdown('model', $1, NULL, 20, at) AS m
    ), units AS MATERIALIZED (
        SELECT u.* FROM @extschema@._get_unit_costs($1, NULL, at) AS u
    ), funnel AS MATERIALIZED (
        SELECT f.* FROM @extschema@._get_conversion_funnel($2, $1, NULL, at) AS f
    ), everything AS (
        SELECT COALESCE(pg_catalog.sum(t.events), 0) AS events, COALESCE(pg_catalog.sum(t.failed), 0) AS failed,
               COALESCE(pg_catalog.sum(t.tokens), 0) AS tokens, pg_catalog.trim_scale(COALESCE(pg_catalog.sum(t.cost), 0)) AS cost
          FROM trends AS t
    )
    SELECT pg_catalog.jsonb_build_object(
        'kind', 'admin', 'generated_at', at, 'time_zone', r.zone, 'days', $1, 'first_day', r.first_day, 'last_day', r.last_day,
        'totals', pg_catalog.jsonb_build_object(
            'registered', (SELECT f.users FROM funnel AS f WHERE f.step = 0),
            'active_users', COALESCE((SELECT u.users FROM units AS u WHERE u.usage_type IS NULL), 0),
            'events', e.events, 'failed', e.failed, 'tokens', e.tokens, 'cost', e.cost,
            'unpriced', COALESCE((SELECT u.unpriced FROM units AS u WHERE u.usage_type IS NULL), 0)),
        'forecast', (SELECT pg_catalog.to_jsonb(f) FROM @extschema@._get_cost_forecast(at) AS f),
        'funnel', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(f) ORDER BY f.step) FROM funnel AS f),
        'trends', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                'day', t.day, 'usage_type', t.usage_type, 'events', t.events, 'quantity', t.quantity,
                                'tokens', t.tokens, 'cost', t.cost, 'users', t.unique_users) ORDER BY t.day, t.usage_type)
                              FROM trends AS t), '[]'),
        'models', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                'provider', m.provider, 'model', m.model, 'events', m.events, 'tokens', m.tokens, 'cost', m.cost,
                                'percent', m.percent, 'unpriced', m.unpriced) ORDER BY m.cost DESC, m.events DESC, m.provider, m.model)
                              FROM models AS m WHERE m.provider IS NOT NULL OR m.model IS NOT NULL OR m.cost <> 0), '[]'),
        'error_rates', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(x) - 'event_subtype' ORDER BY x.events DESC, x.usage_type,
                                                             x.provider, x.model)
                                   FROM (SELECT w.* FROM @extschema@._get_error_rates($1, 'model', NULL, at) AS w LIMIT 20) AS x), '[]'),
        'top_users', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                'user_id', u.user_id::text, 'email', @extschema@._email_of(u.user_id), 'events', u.uses + u.failed,
                                'uses', u.uses, 'failed', u.failed, 'quantity', u.quantity, 'tokens', u.tokens, 'cost', u.cost,
                                'last_used', u.last_used) ORDER BY u.uses DESC, u.user_id)
                              FROM @extschema@._get_top_users(NULL, $1, 'uses', 10, NULL, NULL, NULL, at) AS u), '[]'),
        'near_limits', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                'user_id', n.user_id::text, 'email', @extschema@._email_of(n.user_id), 'plan', n.plan, 'limit_type', n.limit_type,
                                'description', (SELECT l.description FROM @extschema@.usage_limits AS l WHERE l.limit_type = n.limit_type),
                                'measure', n.measure, 'used', n.used, 'max_usage', n.max_usage, 'percent', n.percent_used,
                                'reset_at', n.reset_at, 'state', @extschema@._limit_state(n.used, n.max_usage, n.percent_used))
                                ORDER BY n.percent_used DESC, n.user_id, n.limit_type)
                              FROM @extschema@._get_users_near_limit(80, 20, at) AS n), '[]'),
        'unit_costs', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(u) ORDER BY u.usage_type NULLS FIRST) FROM units AS u), '[]'))
      FROM @extschema@._last_days($1, NULL, at) AS r CROSS JOIN everything AS e;
END;
COMMENT ON FUNCTION @extschema@._admin_dashboard(integer, text[], timestamptz) IS
'Internal: the answer of admin_dashboard()';

CREATE FUNCTION @extschema@.admin_dashboard(days integer DEFAULT 30) RETURNS jsonb
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000
AS 'MODULE_PATHNAME', 'ut_admin_dashboard';
COMMENT ON FUNCTION @extschema@.admin_dashboard(integer) IS
'What to show an administrator of the last days of all users, as one JSON object; for admins and servers';
