/* reports, text: a dashboard as lines for a terminal.
 *
 * The pieces are those of pages (reports_html.sql); what begins with _text_ there has
 * no markup.  Lines are ASCII but for texts of users, so that any client can show
 * them, and have at most 100 characters. */
CREATE FUNCTION @extschema@._text_left(value text, width integer) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.rpad(CASE WHEN pg_catalog.length(t.plain) > width THEN pg_catalog.left(t.plain, width - 2) || '..' ELSE t.plain END, width)
      FROM (SELECT COALESCE(@extschema@._text_plain(value, 200), '-') AS plain) AS t;
END;
COMMENT ON FUNCTION @extschema@._text_left(text, integer) IS
'Internal: a text in a column';

/* A figure is rather too wide than cut. */
CREATE FUNCTION @extschema@._text_right(value text, width integer) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.lpad(COALESCE(value, '-'), GREATEST(width, pg_catalog.length(value)));
END;
COMMENT ON FUNCTION @extschema@._text_right(text, integer) IS
'Internal: a figure in a column';

CREATE FUNCTION @extschema@._text_bar(percent numeric, width integer) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN percent IS NULL THEN pg_catalog.repeat(' ', width + 2)
                ELSE '[' || pg_catalog.rpad(pg_catalog.repeat('#', b.marks), width, '.') || ']' END
      FROM (SELECT GREATEST(0, LEAST(width, CASE WHEN percent > 0 THEN GREATEST(1, pg_catalog.trunc(percent * width / 100)) ELSE 0 END))::integer AS marks) AS b;
END;
COMMENT ON FUNCTION @extschema@._text_bar(numeric, integer) IS
'Internal: a bar of characters';

/* A title and its lines; nothing, if there are none. */
CREATE FUNCTION @extschema@._text_section(title text, lines text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN lines <> '{}' THEN ARRAY['', title] || pg_catalog.array_remove(lines, NULL) ELSE '{}' END;
END;
COMMENT ON FUNCTION @extschema@._text_section(text, text[]) IS
'Internal: a section of a report';

/* ---- both kinds ---- */

CREATE FUNCTION @extschema@._text_trend(dashboard jsonb, key text) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('USES BY DAY', pg_catalog.array_agg(
               '  ' || pg_catalog.rpad(@extschema@._text_day(d.day), 13) || @extschema@._text_bar(100 * d.events / NULLIF(d.most, 0), 30)
               || @extschema@._text_right(@extschema@._text_number(d.events), 14)
               || @extschema@._text_right(@extschema@._text_money(d.cost, dashboard ->> 'currency'), 16) ORDER BY d.day))
      FROM (SELECT r.day, pg_catalog.sum(r.events) AS events, pg_catalog.sum(r.cost) AS cost, pg_catalog.max(pg_catalog.sum(r.events)) OVER () AS most
              FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, key)) AS r (day date, events numeric, cost numeric)
             GROUP BY r.day) AS d;
END;
COMMENT ON FUNCTION @extschema@._text_trend(jsonb, text) IS
'Internal: lines of a report about days';

CREATE FUNCTION @extschema@._text_models(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('COST BY MODEL', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(COALESCE(m.provider || '/', '') || COALESCE(m.model, 'no model'), 30) || ' '
               || @extschema@._text_bar(m.percent, 20) || @extschema@._text_right(@extschema@._text_percent(m.percent), 8)
               || @extschema@._text_right(@extschema@._text_money(m.cost, dashboard ->> 'currency'), 16)
               || @extschema@._text_right(@extschema@._text_number(m.events), 12) || ' uses'))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'models'))
           AS m (provider text, model text, events numeric, cost numeric, percent numeric);
END;
COMMENT ON FUNCTION @extschema@._text_models(jsonb) IS
'Internal: lines of a report about models';

/* ---- of a user ---- */

CREATE FUNCTION @extschema@._text_limits(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('LIMITS', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(l.limit_type, 24) || ' ' || @extschema@._text_bar(l.percent, 20)
               || @extschema@._text_right(@extschema@._text_percent(l.percent), 8) || '  '
               || COALESCE(@extschema@._text_amount(l.used, l.measure, dashboard ->> 'currency')
                           || COALESCE(' of ' || @extschema@._text_amount(CASE WHEN l.max_usage >= 0 THEN l.max_usage END, l.measure,
                                                                          dashboard ->> 'currency'), ''), '-')
               || CASE WHEN s.state = 'ok' THEN '' ELSE ', ' || pg_catalog.lower(@extschema@._text_state_label(s.state)) END
               || COALESCE(', resets in ' || @extschema@._text_span(l.reset_in), '')))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'limits'))
           AS l (limit_type text, measure text, used numeric, max_usage numeric, percent numeric, state text, reset_in numeric),
           LATERAL (SELECT @extschema@._text_state(l.state, l.percent) AS state) AS s;
END;
COMMENT ON FUNCTION @extschema@._text_limits(jsonb) IS
'Internal: lines of a report about a user''s limits';

CREATE FUNCTION @extschema@._text_usage(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('USAGE', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(u.usage_type, 24) || @extschema@._text_right(@extschema@._text_number(u.events), 12) || ' uses'
               || @extschema@._text_right(@extschema@._text_number(u.failed), 8) || ' failed'
               || @extschema@._text_right(@extschema@._text_number(u.tokens), 15) || ' tokens'
               || @extschema@._text_right(@extschema@._text_money(u.cost, dashboard ->> 'currency'), 14)))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'usage'))
           AS u (usage_type text, events numeric, failed numeric, tokens numeric, cost numeric);
END;
COMMENT ON FUNCTION @extschema@._text_usage(jsonb) IS
'Internal: lines of a report about what a user used of each type';

CREATE FUNCTION @extschema@._text_costs(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('COSTS', ARRAY[
               '  this month ' || @extschema@._text_money(c.this_month, dashboard ->> 'currency')
               || COALESCE(', lifetime ' || @extschema@._text_money(c.lifetime, dashboard ->> 'currency'), '')
               || CASE WHEN c.unpriced > 0 THEN ', ' || @extschema@._text_number(c.unpriced) || ' uses without a price' ELSE '' END])
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'costs') WHEN 'object' THEN dashboard -> 'costs' ELSE '{}' END)
           AS c (this_month numeric, lifetime numeric, unpriced numeric)
     WHERE c.this_month IS NOT NULL;
END;
COMMENT ON FUNCTION @extschema@._text_costs(jsonb) IS
'Internal: a line of a report about what a user cost';

CREATE FUNCTION @extschema@._text_runs(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('RUNS THIS MONTH', ARRAY[
               '  ' || pg_catalog.rpad('', 25) || @extschema@._text_bar(CASE WHEN r."monthlyLimit" > 0 THEN 100 * r.used / r."monthlyLimit" END, 20)
               || '  ' || @extschema@._text_number(r.used)
               || COALESCE(' of ' || @extschema@._text_number(CASE WHEN r."monthlyLimit" >= 0 THEN r."monthlyLimit" END), '')
               || CASE WHEN NOT r."canRunMore" THEN ', no more this month' ELSE '' END])
      FROM (SELECT n."monthlyLimit", n."canRunMore",
                   COALESCE(CASE pg_catalog.jsonb_typeof(n."monthlyUsage" -> 'total_runs')
                            WHEN 'number' THEN (n."monthlyUsage" ->> 'total_runs')::numeric END, 0) AS used
              FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'runs') WHEN 'object' THEN dashboard -> 'runs' ELSE '{}' END)
                   AS n ("monthlyUsage" jsonb, "canRunMore" boolean, "monthlyLimit" numeric)
             WHERE pg_catalog.jsonb_typeof(dashboard -> 'runs') = 'object') AS r;
END;
COMMENT ON FUNCTION @extschema@._text_runs(jsonb) IS
'Internal: a line of a report about a user''s runs';

CREATE FUNCTION @extschema@._text_recent(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('RECENT ACTIVITY', pg_catalog.array_agg(
               '  ' || pg_catalog.rpad(COALESCE(@extschema@._text_time(e.occurred_at, dashboard ->> 'time_zone'), '-'), 20)
               || @extschema@._text_left(e.usage_type, 18) || ' ' || @extschema@._text_left(COALESCE(e.provider || '/', '') || COALESCE(e.model, ''), 26) || ' '
               || @extschema@._text_left(e.status, 12) || @extschema@._text_right(@extschema@._text_money(e.cost, dashboard ->> 'currency'), 12)))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'recent'))
           AS e (occurred_at timestamptz, usage_type text, provider text, model text, status text, cost numeric);
END;
COMMENT ON FUNCTION @extschema@._text_recent(jsonb) IS
'Internal: lines of a report about a user''s latest uses';

CREATE FUNCTION @extschema@._text_of_user(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.array_remove(ARRAY[
               'Usage of ' || @extschema@._text_plain(@extschema@._page_user_name(dashboard), 70)
               || CASE WHEN dashboard #> '{user,is_admin}' = 'true' THEN ' (admin)' ELSE '' END,
               'Plan: ' || @extschema@._text_plain(COALESCE(dashboard #>> '{plan,name}', dashboard #>> '{plan,plan}'), 60)
               || COALESCE(', ' || @extschema@._text_plain(dashboard #>> '{plan,status}', 30), ''),
               @extschema@._text_plain(dashboard ->> 'notice', 97)], NULL)
           || @extschema@._text_limits(dashboard) || @extschema@._text_costs(dashboard) || @extschema@._text_runs(dashboard)
           || @extschema@._text_usage(dashboard) || @extschema@._text_trend(dashboard, 'days')
           || @extschema@._text_models(dashboard) || @extschema@._text_recent(dashboard);
END;
COMMENT ON FUNCTION @extschema@._text_of_user(jsonb) IS
'Internal: lines of a user''s report';

/* ---- of everybody ---- */

CREATE FUNCTION @extschema@._text_totals(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('TOTALS', ARRAY[
               '  ' || @extschema@._text_number(t.active_users) || ' active users' || COALESCE(' of ' || @extschema@._text_number(t.registered) || ' registered', ''),
               '  ' || @extschema@._text_number(t.events) || ' uses, ' || @extschema@._text_number(t.failed) || ' failed',
               '  ' || @extschema@._text_number(t.tokens) || ' tokens',
               '  cost ' || @extschema@._text_money(t.cost, dashboard ->> 'currency')
               || CASE WHEN t.unpriced > 0 THEN ', ' || @extschema@._text_number(t.unpriced) || ' uses without a price' ELSE '' END,
               (SELECT '  forecast for the month ' || @extschema@._text_money(f.forecast, dashboard ->> 'currency') || ': '
                       || @extschema@._text_money(f.month_to_date, dashboard ->> 'currency') || ' so far, with '
                       || @extschema@._text_percent(f.elapsed_share * 100) || ' of it over'
                  FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'forecast') WHEN 'object' THEN dashboard -> 'forecast' ELSE '{}' END)
                       AS f (month_to_date numeric, elapsed_share numeric, forecast numeric))])
      FROM pg_catalog.jsonb_to_record(dashboard -> 'totals')
           AS t (registered numeric, active_users numeric, events numeric, failed numeric, tokens numeric, cost numeric, unpriced numeric)
     WHERE pg_catalog.jsonb_typeof(dashboard -> 'totals') = 'object';
END;
COMMENT ON FUNCTION @extschema@._text_totals(jsonb) IS
'Internal: lines of a report about sums over all users';

CREATE FUNCTION @extschema@._text_funnel(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('CONVERSION', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(COALESCE(f.name, f.step::text), 24) || ' ' || @extschema@._text_bar(f.percent, 20)
               || @extschema@._text_right(@extschema@._text_percent(f.percent), 8) || @extschema@._text_right(@extschema@._text_number(f.users), 14) || ' users'))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'funnel')) AS f (step integer, name text, users numeric, percent numeric);
END;
COMMENT ON FUNCTION @extschema@._text_funnel(jsonb) IS
'Internal: lines of a report about how many users came how far';

CREATE FUNCTION @extschema@._text_errors(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('ERROR RATES', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(e.usage_type, 16) || ' ' || @extschema@._text_left(COALESCE(e.provider || '/', '') || COALESCE(e.model, ''), 26) || ' '
               || @extschema@._text_bar(e.error_rate, 14) || @extschema@._text_right(@extschema@._text_percent(e.error_rate), 8)
               || ' of' || @extschema@._text_right(@extschema@._text_number(e.events), 11) || CASE WHEN e.is_small_sample THEN ' (few)' ELSE '' END))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'error_rates'))
           AS e (usage_type text, provider text, model text, events numeric, error_rate numeric, is_small_sample boolean);
END;
COMMENT ON FUNCTION @extschema@._text_errors(jsonb) IS
'Internal: lines of a report about error rates';

CREATE FUNCTION @extschema@._text_near_limits(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('NEAR THEIR LIMITS', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(COALESCE(u.email, u.user_id), 27) || ' ' || @extschema@._text_left(u.limit_type, 18) || ' '
               || @extschema@._text_bar(u.percent, 14) || @extschema@._text_right(@extschema@._text_percent(u.percent), 8) || '  '
               || COALESCE(@extschema@._text_amount(u.used, u.measure, dashboard ->> 'currency') || ' of '
                           || @extschema@._text_amount(u.max_usage, u.measure, dashboard ->> 'currency'), '')))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'near_limits'))
           AS u (user_id text, email text, limit_type text, measure text, used numeric, max_usage numeric, percent numeric);
END;
COMMENT ON FUNCTION @extschema@._text_near_limits(jsonb) IS
'Internal: lines of a report about users who have used most of a limit';

CREATE FUNCTION @extschema@._text_top_users(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('TOP USERS', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(COALESCE(u.email, u.user_id), 40) || @extschema@._text_right(@extschema@._text_number(u.events), 12) || ' uses'
               || @extschema@._text_right(@extschema@._text_number(u.tokens), 16) || ' tokens'
               || @extschema@._text_right(@extschema@._text_money(u.cost, dashboard ->> 'currency'), 14)))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'top_users'))
           AS u (user_id text, email text, events numeric, tokens numeric, cost numeric);
END;
COMMENT ON FUNCTION @extschema@._text_top_users(jsonb) IS
'Internal: lines of a report about users who used most';

CREATE FUNCTION @extschema@._text_unit_costs(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('UNIT COSTS', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(u.usage_type, 24)
               || @extschema@._text_right(@extschema@._text_money(u.cost_per_user, dashboard ->> 'currency'), 14) || ' a user'
               || @extschema@._text_right(@extschema@._text_money(u.cost_per_event, dashboard ->> 'currency'), 14) || ' a use'
               || @extschema@._text_right(@extschema@._text_money(u.cost_per_unit, dashboard ->> 'currency'), 14) || ' a unit'))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'unit_costs'))
           AS u (usage_type text, cost_per_user numeric, cost_per_event numeric, cost_per_unit numeric);
END;
COMMENT ON FUNCTION @extschema@._text_unit_costs(jsonb) IS
'Internal: lines of a report about what one costs';

CREATE FUNCTION @extschema@._text_of_admin(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT ARRAY['Usage of all users'
                 || COALESCE(', ' || @extschema@._text_period((dashboard ->> 'first_day')::date, (dashboard ->> 'last_day')::date), '')]
           || COALESCE(@extschema@._text_totals(dashboard), '{}') || @extschema@._text_funnel(dashboard) || @extschema@._text_trend(dashboard, 'trends')
           || @extschema@._text_near_limits(dashboard) || @extschema@._text_top_users(dashboard) || @extschema@._text_models(dashboard)
           || @extschema@._text_unit_costs(dashboard) || @extschema@._text_errors(dashboard);
END;
COMMENT ON FUNCTION @extschema@._text_of_admin(jsonb) IS
'Internal: lines of the administrators'' report';

CREATE FUNCTION @extschema@._text_report(dashboard jsonb) RETURNS SETOF text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog."left"(r.line, 100)
      FROM pg_catalog.unnest(CASE @extschema@._page_kind(dashboard) WHEN 'user' THEN @extschema@._text_of_user(dashboard)
                                                                    ELSE @extschema@._text_of_admin(dashboard) END
                             || ARRAY['', 'As of ' || @extschema@._text_time((dashboard ->> 'generated_at')::timestamptz, dashboard ->> 'time_zone')
                                          || ', time zone ' || @extschema@._text_plain(COALESCE(dashboard ->> 'time_zone', 'UTC'), 50)])
           WITH ORDINALITY AS r (line, place)
     WHERE r.line IS NOT NULL
     ORDER BY r.place;
END;
COMMENT ON FUNCTION @extschema@._text_report(jsonb) IS
'Internal: a dashboard as lines of text';

CREATE FUNCTION @extschema@.usage_report(user_id @user_id@ DEFAULT NULL, days integer DEFAULT 30) RETURNS SETOF text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT r.line
      FROM @extschema@._text_report(CASE WHEN user_id IS NULL AND @extschema@._sees_all_users() THEN @extschema@.admin_dashboard(days)
                                         ELSE @extschema@.user_dashboard(COALESCE(user_id, @extschema@.current_user_id())) END) AS r (line);
END;
COMMENT ON FUNCTION @extschema@.usage_report(@user_id@, integer) IS
'A dashboard as lines of text, with bars';
