/* reports, HTML: the page of a user. */

CREATE FUNCTION @extschema@._page_user_name(dashboard jsonb) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(dashboard #>> '{user,email}', dashboard #>> '{user,id}', 'one user');
END;
COMMENT ON FUNCTION @extschema@._page_user_name(jsonb) IS
'Internal: what a page calls its user';

CREATE FUNCTION @extschema@._page_user_header(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p>Usage and costs</p><h1>' || @extschema@._html_text(@extschema@._page_user_name(dashboard))
           || CASE WHEN dashboard #> '{user,is_admin}' = 'true' THEN ' ' || @extschema@._html_badge('admin', 'Admin') ELSE '' END || '</h1>'
           || @extschema@._page_days(dashboard);
END;
COMMENT ON FUNCTION @extschema@._page_user_header(jsonb) IS
'Internal: whose page this is';

CREATE FUNCTION @extschema@._page_notices(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE('<p class="notice">' || @extschema@._html_text(dashboard ->> 'notice', 500) || '</p>', '')
           || COALESCE((SELECT '<p class="alerts">' || pg_catalog.string_agg(
                                   CASE WHEN a.kind = 'unusual'
                                        THEN 'Unusually much use of ' || COALESCE(@extschema@._html_text(a.usage_type), 'something') || '.'
                                        ELSE 'Limit ' || COALESCE(@extschema@._html_text(a.limit_type), 'of usage') || ' has reached '
                                             || COALESCE(@extschema@._html_percent(a.threshold), 'a threshold') || '.' END,
                                   '<br/>' ORDER BY a.place) || '</p>'
                          FROM ROWS FROM (pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'alerts'))
                                   AS (kind text, limit_type text, threshold numeric, usage_type text))
                               WITH ORDINALITY AS a (kind, limit_type, threshold, usage_type, place)), '');
END;
COMMENT ON FUNCTION @extschema@._page_notices(jsonb) IS
'Internal: what a user should read first';

CREATE FUNCTION @extschema@._page_user_tiles(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(@extschema@._html_facts('tiles',
        @extschema@._html_fact('Plan', @extschema@._html_text(COALESCE(dashboard #>> '{plan,name}', dashboard #>> '{plan,plan}'), 60))
        || @extschema@._html_fact('Cost this month', @extschema@._html_money(c.this_month, dashboard ->> 'currency'))
        || @extschema@._html_fact('Cost, lifetime', @extschema@._html_money(c.lifetime, dashboard ->> 'currency'),
               CASE WHEN c.unpriced > 0 THEN @extschema@._html_number(c.unpriced) || ' uses without a price' END)
        || @extschema@._html_fact('Credits', @extschema@._html_number(CASE pg_catalog.jsonb_typeof(dashboard #> '{credits,balance}')
                                                                        WHEN 'number' THEN (dashboard #>> '{credits,balance}')::numeric END))), '')
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'costs') WHEN 'object' THEN dashboard -> 'costs' ELSE '{}' END)
           AS c (this_month numeric, lifetime numeric, unpriced numeric);
END;
COMMENT ON FUNCTION @extschema@._page_user_tiles(jsonb) IS
'Internal: a user''s plan, costs and credits';

CREATE FUNCTION @extschema@._page_reset(seconds numeric, at timestamptz, zone text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN seconds IS NOT NULL
                THEN 'Resets in ' || @extschema@._text_span(seconds) || COALESCE(' (' || @extschema@._html_time(at, zone) || ')', '')
                ELSE 'Resets on ' || @extschema@._html_time(at, zone) END;
END;
COMMENT ON FUNCTION @extschema@._page_reset(numeric, timestamptz, text) IS
'Internal: when a limit begins anew';

/* What is to be said of a limit below its bar. */
CREATE FUNCTION @extschema@._page_limit_notes(a_limit jsonb, currency text, zone text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p class="below">' || pg_catalog.string_agg(n.note, ' &#183; ' ORDER BY n.place) || '</p>'
      FROM pg_catalog.jsonb_to_record(a_limit)
           AS l (measure text, remaining numeric, held numeric, reset_in numeric, reset_at timestamptz, enforcement text, is_enforced boolean),
           pg_catalog.unnest(ARRAY[
               @extschema@._html_amount(l.remaining, l.measure, currency) || ' left',
               CASE WHEN l.held > 0 THEN @extschema@._html_amount(l.held, l.measure, currency) || ' reserved' END,
               @extschema@._page_reset(l.reset_in, l.reset_at, zone),
               CASE l.enforcement WHEN 'soft' THEN 'Never refuses' END,
               CASE WHEN NOT l.is_enforced THEN 'Not enforced' END]) WITH ORDINALITY AS n (note, place);
END;
COMMENT ON FUNCTION @extschema@._page_limit_notes(jsonb, text, text) IS
'Internal: what is left of a limit, and until when';

CREATE FUNCTION @extschema@._page_limit(a_limit jsonb, currency text, zone text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<li><div class="head"><h3>' || @extschema@._html_text(l.name, 80) || '</h3>'
           || CASE WHEN s.state <> 'ok' THEN @extschema@._html_badge(CASE WHEN s.state = ANY ('{near,reached}') THEN s.state ELSE 'quiet' END,
                                                                     @extschema@._text_state_label(s.state)) ELSE '' END || '</div>'
           || COALESCE('<p class="amount"><span><strong>' || @extschema@._html_amount(l.used, l.measure, currency) || '</strong>'
                       || COALESCE(' of ' || @extschema@._html_amount(CASE WHEN l.max_usage >= 0 THEN l.max_usage END, l.measure, currency), '')
                       || CASE l.measure WHEN 'tokens' THEN ' tokens' ELSE '' END || '</span>'
                       || COALESCE('<span>' || @extschema@._html_percent(l.percent) || '</span>', '') || '</p>', '')
           || COALESCE(@extschema@._html_meter('Used of ' || l.name, l.percent, s.state), '')
           || COALESCE(@extschema@._page_limit_notes(a_limit, currency, zone), '') || '</li>'
      FROM (SELECT r.*, COALESCE(r.description, r.limit_type, 'A limit') AS name
              FROM pg_catalog.jsonb_to_record(a_limit) AS r (limit_type text, description text, measure text, used numeric, max_usage numeric,
                                                             percent numeric, state text)) AS l,
           LATERAL (SELECT @extschema@._text_state(l.state, l.percent) AS state) AS s;
END;
COMMENT ON FUNCTION @extschema@._page_limit(jsonb, text, text) IS
'Internal: one limit of a user, with a bar';

CREATE FUNCTION @extschema@._page_limits(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('limits', 'Limits',
        CASE WHEN l.limits = '[]' THEN '<p class="empty">Nothing is limited.</p>'
             ELSE '<ul class="cards">'
                  || (SELECT pg_catalog.string_agg(@extschema@._page_limit(e.a_limit, dashboard ->> 'currency', dashboard ->> 'time_zone'), '' ORDER BY e.place)
                        FROM pg_catalog.jsonb_array_elements(l.limits) WITH ORDINALITY AS e (a_limit, place)) || '</ul>' END)
      FROM (SELECT @extschema@._page_list(dashboard, 'limits') AS limits) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_limits(jsonb) IS
'Internal: the section of a user''s limits';

CREATE FUNCTION @extschema@._page_plan(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('plan', 'Plan', @extschema@._html_facts('facts',
        @extschema@._html_fact('Name', @extschema@._html_text(COALESCE(p.name, p.plan)), @extschema@._html_text(p.description, 300))
        || @extschema@._html_fact('Status', @extschema@._html_text(p.status, 30))
        || @extschema@._html_fact('Expires', @extschema@._html_time(p.expires_at, dashboard ->> 'time_zone'))
        || @extschema@._html_fact('Billing period', @extschema@._html_time(p.billing_period_start, dashboard ->> 'time_zone') || ' to '
                                                    || @extschema@._html_time(p.billing_period_end, dashboard ->> 'time_zone'))))
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'plan') WHEN 'object' THEN dashboard -> 'plan' ELSE '{}' END)
           AS p (plan text, name text, description text, status text, expires_at timestamptz,
                 billing_period_start timestamptz, billing_period_end timestamptz);
END;
COMMENT ON FUNCTION @extschema@._page_plan(jsonb) IS
'Internal: the section of a user''s plan';

CREATE FUNCTION @extschema@._page_run_meter(used numeric, max_usage numeric, may_run boolean) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p class="amount"><span><strong>' || @extschema@._html_number(used) || '</strong>'
           || COALESCE(' of ' || @extschema@._html_number(CASE WHEN max_usage >= 0 THEN max_usage END), '') || ' runs this month</span>'
           || CASE WHEN NOT may_run THEN @extschema@._html_badge('reached', 'No more this month')
                   WHEN s.state = 'near' THEN @extschema@._html_badge('near', 'Near the limit') ELSE '' END || '</p>'
           || COALESCE(@extschema@._html_meter('Runs this month', s.percent, s.state), '')
           || COALESCE('<p class="below">' || @extschema@._html_number(GREATEST(CASE WHEN max_usage >= 0 THEN max_usage - used END, 0)) || ' left</p>', '')
      FROM (SELECT p.percent, @extschema@._text_state(CASE WHEN NOT may_run THEN 'reached' END, p.percent) AS state
              FROM (SELECT CASE WHEN max_usage > 0 THEN pg_catalog.round(used * 100 / max_usage, 1)
                                WHEN max_usage = 0 THEN 100 END AS percent) AS p) AS s;
END;
COMMENT ON FUNCTION @extschema@._page_run_meter(numeric, numeric, boolean) IS
'Internal: how many runs of a month are used, with a bar';

CREATE FUNCTION @extschema@._page_runs(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('runs', 'Runs',
        @extschema@._page_run_meter(COALESCE(m.total_runs, 0), r."monthlyLimit", r."canRunMore")
        || @extschema@._html_facts('facts',
               @extschema@._html_fact('Successful', @extschema@._html_number(COALESCE(m.successful_runs, 0)))
               || @extschema@._html_fact('Failed', @extschema@._html_number(COALESCE(m.failed_runs, 0)))
               || @extschema@._html_fact('Tokens', @extschema@._html_number(m.total_tokens))
               || @extschema@._html_fact('Cost', @extschema@._html_cost(m.total_cost_usd, m.unpriced_runs, dashboard ->> 'currency'))
               || @extschema@._html_fact('Last run', @extschema@._html_time(m.last_run_at, dashboard ->> 'time_zone'))))
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'runs') WHEN 'object' THEN dashboard -> 'runs' END)
           AS r ("monthlyUsage" jsonb, "canRunMore" boolean, "monthlyLimit" numeric),
           pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(r."monthlyUsage") WHEN 'object' THEN r."monthlyUsage" ELSE '{}' END)
           AS m (total_runs numeric, successful_runs numeric, failed_runs numeric, total_tokens numeric, total_cost_usd numeric,
                 unpriced_runs numeric, last_run_at timestamptz)
     WHERE pg_catalog.jsonb_typeof(dashboard -> 'runs') = 'object';
END;
COMMENT ON FUNCTION @extschema@._page_runs(jsonb) IS
'Internal: the section of a user''s runs';

CREATE FUNCTION @extschema@._page_usage(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('usage', 'Usage',
        CASE WHEN l.usage IS NOT NULL THEN @extschema@._html_table('What was used, by type', '{Type,Uses,Failed,Quantity,Tokens,Cost}', 'tnnnnn',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        @extschema@._html_text(u.usage_type, 60), @extschema@._html_number(u.events), @extschema@._html_number(u.failed),
                        @extschema@._html_number(u.quantity), @extschema@._html_number(u.tokens),
                        @extschema@._html_cost(u.cost, u.unpriced, dashboard ->> 'currency')) ORDER BY u.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.usage) AS (
                        usage_type text, events numeric, failed numeric, quantity numeric, tokens numeric, cost numeric, unpriced numeric))
                    WITH ORDINALITY AS u (usage_type, events, failed, quantity, tokens, cost, unpriced, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'usage') AS usage) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_usage(jsonb) IS
'Internal: the section of what a user used of each type';

/* Status of a use, and what went wrong. */
CREATE FUNCTION @extschema@._page_status(status text, error_message text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE status WHEN 'success' THEN 'Success'
                       WHEN 'failed' THEN @extschema@._html_badge('reached', 'Failed')
                       WHEN 'rate_limited' THEN @extschema@._html_badge('near', 'Rate limited')
                       WHEN 'cancelled' THEN @extschema@._html_badge('quiet', 'Cancelled')
                       WHEN 'correction' THEN @extschema@._html_badge('quiet', 'Correction')
                       ELSE @extschema@._html_text(status, 30) END
           || COALESCE('<small>' || @extschema@._html_text(error_message, 200) || '</small>', '');
END;
COMMENT ON FUNCTION @extschema@._page_status(text, text) IS
'Internal: how a use went';

CREATE FUNCTION @extschema@._page_recent(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('recent', 'Recent activity',
        CASE WHEN l.recent IS NOT NULL THEN @extschema@._html_table('The latest uses', '{When,What,Model,Status,Quantity,Tokens,Cost,Took}', 'dttwnnnn',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        @extschema@._html_time(e.occurred_at, dashboard ->> 'time_zone'),
                        @extschema@._html_text(e.usage_type, 60) || COALESCE('<small>' || @extschema@._html_text(e.event_subtype, 60) || '</small>', ''),
                        COALESCE(@extschema@._html_text(e.model) || COALESCE('<small>' || @extschema@._html_text(e.provider) || '</small>', ''),
                                 @extschema@._html_text(e.provider)),
                        @extschema@._page_status(e.status, e.error_message), @extschema@._html_number(e.quantity), @extschema@._html_number(e.tokens),
                        @extschema@._html_money(e.cost, dashboard ->> 'currency'),
                        @extschema@._html_data(e.duration_ms, @extschema@._text_duration(e.duration_ms))) ORDER BY e.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.recent) AS (
                        occurred_at timestamptz, usage_type text, event_subtype text, status text, provider text, model text,
                        quantity numeric, tokens numeric, cost numeric, duration_ms numeric, error_message text))
                    WITH ORDINALITY AS e (occurred_at, usage_type, event_subtype, status, provider, model,
                                          quantity, tokens, cost, duration_ms, error_message, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'recent') AS recent) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_recent(jsonb) IS
'Internal: the section of a user''s latest uses';

CREATE FUNCTION @extschema@._page_of_user(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._page(@extschema@._text_plain('Usage of ' || @extschema@._page_user_name(dashboard), 100),
        @extschema@._page_user_header(dashboard),
        @extschema@._page_notices(dashboard) || @extschema@._page_user_tiles(dashboard) || @extschema@._page_limits(dashboard)
        || @extschema@._page_trends(dashboard, 'days') || @extschema@._page_usage(dashboard)
        || COALESCE(@extschema@._page_runs(dashboard), '') || @extschema@._page_plan(dashboard)
        || @extschema@._page_models(dashboard) || @extschema@._page_recent(dashboard),
        @extschema@._page_footer(dashboard));
END;
COMMENT ON FUNCTION @extschema@._page_of_user(jsonb) IS
'Internal: the page of a user''s dashboard';
