/* reports, HTML: the administrators' page. */

CREATE FUNCTION @extschema@._page_user_cell(id text, email text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(@extschema@._html_text(email, 60), @extschema@._html_text(id, 60));
END;
COMMENT ON FUNCTION @extschema@._page_user_cell(text, text) IS
'Internal: a user in a table';

CREATE FUNCTION @extschema@._page_admin_header(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p>All users</p><h1>Usage and costs ' || @extschema@._html_badge('admin', 'Admin') || '</h1>' || @extschema@._page_days(dashboard);
END;
COMMENT ON FUNCTION @extschema@._page_admin_header(jsonb) IS
'Internal: what a page of everybody is about';

CREATE FUNCTION @extschema@._page_admin_tiles(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(@extschema@._html_facts('tiles',
        @extschema@._html_fact('Registered users', @extschema@._html_number(t.registered))
        || @extschema@._html_fact('Active users', @extschema@._html_number(t.active_users))
        || @extschema@._html_fact('Uses', @extschema@._html_number(t.events), @extschema@._html_number(t.failed) || ' failed')
        || @extschema@._html_fact('Tokens', @extschema@._html_number(t.tokens))
        || @extschema@._html_fact('Cost', @extschema@._html_money(t.cost, dashboard ->> 'currency'),
               CASE WHEN t.unpriced > 0 THEN @extschema@._html_number(t.unpriced) || ' uses without a price' END)), '')
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'totals') WHEN 'object' THEN dashboard -> 'totals' ELSE '{}' END)
           AS t (registered numeric, active_users numeric, events numeric, failed numeric, tokens numeric, cost numeric, unpriced numeric);
END;
COMMENT ON FUNCTION @extschema@._page_admin_tiles(jsonb) IS
'Internal: sums over all users';

CREATE FUNCTION @extschema@._page_forecast(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('forecast', 'Forecast' || COALESCE(' for ' || pg_catalog.to_char(f.month, 'FMMonth YYYY'), ''),
        COALESCE('<p class="amount"><span><strong>' || @extschema@._html_money(f.forecast, dashboard ->> 'currency') || '</strong> at the end of the month</span></p>',
                 '<p class="empty">Too early to say.</p>')
        || COALESCE(@extschema@._html_meter('Elapsed share of the month', f.elapsed_share * 100, 'ok'), '')
        || @extschema@._html_facts('facts',
               @extschema@._html_fact('So far', @extschema@._html_money(f.month_to_date, dashboard ->> 'currency'))
               || @extschema@._html_fact('Elapsed share of the month', @extschema@._html_data(f.elapsed_share, @extschema@._text_percent(f.elapsed_share * 100)))))
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'forecast') WHEN 'object' THEN dashboard -> 'forecast' ELSE '{}' END)
           AS f (month date, month_to_date numeric, elapsed_share numeric, forecast numeric);
END;
COMMENT ON FUNCTION @extschema@._page_forecast(jsonb) IS
'Internal: the section of what the month will cost';

CREATE FUNCTION @extschema@._page_funnel(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('funnel-of', 'Conversion',
        CASE WHEN l.funnel = '[]' THEN '<p class="empty">Nothing yet.</p>'
             ELSE '<ol class="funnel">'
                  || (SELECT pg_catalog.string_agg(
                                 '<li><div class="amount"><h3>' || @extschema@._html_text(COALESCE(f.name, 'Step ' || f.step), 60) || '</h3><span><strong>'
                                 || COALESCE(@extschema@._html_number(f.users), '&#8211;') || '</strong></span></div>' || COALESCE(@extschema@._html_bar(f.percent, 'ok'), '')
                                 || COALESCE('<p class="below">' || @extschema@._html_percent(f.percent) || ' of all'
                                             || COALESCE(CASE WHEN f.place > 1 THEN ', ' || @extschema@._html_percent(f.percent_of_previous) || ' of the step before' END, '')
                                             || '</p>', '') || '</li>', '' ORDER BY f.place)
                        FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.funnel) AS (
                                 step integer, name text, users numeric, percent numeric, percent_of_previous numeric))
                             WITH ORDINALITY AS f (step, name, users, percent, percent_of_previous, place)) || '</ol>' END)
      FROM (SELECT @extschema@._page_list(dashboard, 'funnel') AS funnel) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_funnel(jsonb) IS
'Internal: the section of how many users came how far';

CREATE FUNCTION @extschema@._page_errors(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('errors', 'Error rates',
        CASE WHEN l.errors IS NOT NULL THEN @extschema@._html_table('How often calls went wrong; few calls say little',
            '{Type,Model,Uses,Failed,"Rate limited",Cancelled,"Error rate","","Mean time"}', 'ttnnnnnbn',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        @extschema@._html_text(e.usage_type, 60),
                        COALESCE(@extschema@._html_text(e.model) || COALESCE('<small>' || @extschema@._html_text(e.provider) || '</small>', ''),
                                 @extschema@._html_text(e.provider)),
                        @extschema@._html_number(e.events), @extschema@._html_number(e.failed), @extschema@._html_number(e.rate_limited),
                        @extschema@._html_number(e.cancelled),
                        @extschema@._html_percent(e.error_rate) || CASE WHEN e.is_small_sample THEN ' <small>few</small>' ELSE '' END,
                        @extschema@._html_bar(e.error_rate, 'reached'),
                        @extschema@._html_data(e.duration_ms_mean, @extschema@._text_duration(e.duration_ms_mean))) ORDER BY e.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.errors) AS (
                        usage_type text, provider text, model text, events numeric, failed numeric, cancelled numeric, rate_limited numeric,
                        error_rate numeric, is_small_sample boolean, duration_ms_mean numeric))
                    WITH ORDINALITY AS e (usage_type, provider, model, events, failed, cancelled, rate_limited,
                                          error_rate, is_small_sample, duration_ms_mean, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'error_rates') AS errors) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_errors(jsonb) IS
'Internal: the section of error rates';

CREATE FUNCTION @extschema@._page_top_users(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('top', 'Top users',
        CASE WHEN l.users IS NOT NULL THEN @extschema@._html_table('Who used most', '{User,Uses,Quantity,Tokens,Cost,"Last use"}', 'wnnnnd',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        @extschema@._page_user_cell(u.user_id, u.email), @extschema@._html_number(u.events), @extschema@._html_number(u.quantity),
                        @extschema@._html_number(u.tokens), @extschema@._html_money(u.cost, dashboard ->> 'currency'),
                        CASE WHEN u.last_used ~ '^\d+-\d\d-\d\d$' THEN @extschema@._text_day(u.last_used::date)
                             ELSE @extschema@._html_time(u.last_used::timestamptz, dashboard ->> 'time_zone') END) ORDER BY u.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.users) AS (
                        user_id text, email text, events numeric, quantity numeric, tokens numeric, cost numeric, last_used text))
                    WITH ORDINALITY AS u (user_id, email, events, quantity, tokens, cost, last_used, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'top_users') AS users) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_top_users(jsonb) IS
'Internal: the section of users who used most';

CREATE FUNCTION @extschema@._page_near_limits(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('near', 'Near their limits',
        CASE WHEN l.users IS NOT NULL THEN @extschema@._html_table('Who has used most of a limit',
            '{User,Limit,Plan,Used,Of,Share,"",State,Resets}', 'wttnnnbtd',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        @extschema@._page_user_cell(u.user_id, u.email), @extschema@._html_text(u.limit_type, 63), @extschema@._html_text(u.plan, 63),
                        @extschema@._html_amount(u.used, u.measure, dashboard ->> 'currency'),
                        @extschema@._html_amount(u.max_usage, u.measure, dashboard ->> 'currency'), @extschema@._html_percent(u.percent),
                        @extschema@._html_bar(u.percent, s.state), @extschema@._html_badge(s.state, @extschema@._text_state_label(s.state)),
                        COALESCE(@extschema@._html_time(u.reset_at, dashboard ->> 'time_zone'), 'never')) ORDER BY u.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.users) AS (
                        user_id text, email text, plan text, limit_type text, measure text, used numeric, max_usage numeric, percent numeric,
                        reset_at timestamptz, state text))
                    WITH ORDINALITY AS u (user_id, email, plan, limit_type, measure, used, max_usage, percent, reset_at, state, place),
                    LATERAL (SELECT @extschema@._text_state(u.state, u.percent) AS state) AS s)) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'near_limits') AS users) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_near_limits(jsonb) IS
'Internal: the section of users who have used most of a limit';

CREATE FUNCTION @extschema@._page_unit_costs(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('unit', 'Unit costs',
        CASE WHEN l.costs IS NOT NULL THEN @extschema@._html_table('What a user, a use and a unit of each type cost',
            '{Type,Users,Uses,Quantity,Cost,"Per user","Per use","Per unit"}', 'tnnnnnnn',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        COALESCE(@extschema@._html_text(u.usage_type, 60), 'all types'), @extschema@._html_number(u.users), @extschema@._html_number(u.events),
                        @extschema@._html_number(u.quantity), @extschema@._html_money(u.cost, dashboard ->> 'currency'),
                        @extschema@._html_money(u.cost_per_user, dashboard ->> 'currency'),
                        @extschema@._html_money(u.cost_per_event, dashboard ->> 'currency'),
                        @extschema@._html_money(u.cost_per_unit, dashboard ->> 'currency')) ORDER BY u.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.costs) AS (
                        usage_type text, users numeric, events numeric, quantity numeric, cost numeric, cost_per_user numeric,
                        cost_per_event numeric, cost_per_unit numeric))
                    WITH ORDINALITY AS u (usage_type, users, events, quantity, cost, cost_per_user, cost_per_event, cost_per_unit, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'unit_costs') AS costs) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_unit_costs(jsonb) IS
'Internal: the section of what one costs';

CREATE FUNCTION @extschema@._page_of_admin(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._page('Usage of all users', @extschema@._page_admin_header(dashboard),
        @extschema@._page_admin_tiles(dashboard) || @extschema@._page_funnel(dashboard) || @extschema@._page_forecast(dashboard)
        || @extschema@._page_trends(dashboard, 'trends') || @extschema@._page_near_limits(dashboard) || @extschema@._page_top_users(dashboard)
        || @extschema@._page_models(dashboard) || @extschema@._page_unit_costs(dashboard) || @extschema@._page_errors(dashboard),
        @extschema@._page_footer(dashboard));
END;
COMMENT ON FUNCTION @extschema@._page_of_admin(jsonb) IS
'Internal: the page of the administrators'' dashboard';
