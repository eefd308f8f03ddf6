/* reports, dashboards: what a page shows, as one JSON object.
 *
 * The clock stands at noon on 10 May 2026, UTC: no other test comes near.
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET usage_tracking.clock = '2026-05-10 12:00+00';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
CREATE ROLE onlooker;
SELECT grant_usage_access('onlooker');
BEGIN;
CREATE TABLE people (id uuid PRIMARY KEY, email text);
INSERT INTO people VALUES (:'ann', 'ann@example.com');
SELECT attach_users('people'), install_seed_prices();
SELECT define_usage_limit('a_near', 'video', 10, description => 'Videos <a day>'), define_usage_limit('b_reached', 'video', 8, enforcement => 'soft'),
       define_usage_limit('c_unlimited', NULL, -1, window_kind => 'lifetime'), define_usage_limit('d_lately', 'video', 3, window_kind => 'sliding', period => '1 hour'),
       define_usage_limit('e_ok', 'prompt', 0.5, measure => 'cost', period => '1 month');

-- Of somebody nobody knows there is nothing
SELECT jsonb_pretty(user_dashboard(:'bob') - 'limits');
SELECT l ->> 'limit_type', l -> 'used', l -> 'state' FROM jsonb_array_elements(user_dashboard(:'bob') -> 'limits') AS l;

-- All there is to show
SELECT count(track_usage(:'ann', 'video', 1, status => CASE n WHEN 3 THEN 'failed' ELSE 'success' END, duration_ms => 10 * n, occurred_at => now - n * '5 hours'::interval))
  FROM generate_series(1, 12) AS n, (VALUES ('2026-05-10 15:00+00'::timestamptz)) AS v (now);
SELECT count(track_usage(:'ann', 'video', 6));
SELECT total_cost FROM track_api_usage(:'ann', 'prompt', 'openai', 'gpt-5', input_tokens => 1000, output_tokens => 500, metadata => '{"prompt": "secret"}');
SELECT total_cost FROM track_api_usage(:'ann', 'prompt', 'openai', 'gpt-nobody', input_tokens => 7, status => 'failed', error_message => 'no such model');
SELECT grant_credits(:'ann', 50, reference_id => 'r') > 0;
SELECT define_usage_type('run'), set_user_clock(:'ann', 'Europe/Berlin', NULL);
SELECT (start_run(:'ann')).id AS run \gset
SELECT status FROM succeed_run(:'ann', :run);
SELECT set_user_plan(:'ann', 'demo', billing_period_start => '2026-05-01', billing_period_end => '2026-06-01');
SELECT grant_role(:'ann', 'admin');
SELECT jsonb_pretty(jsonb_set(user_dashboard(:'ann'), '{recent}', (SELECT jsonb_agg(r.value - 'id') FROM jsonb_array_elements(user_dashboard(:'ann') -> 'recent') AS r))
                    #- '{plan,started_at}' #- '{alerts}' #- '{notice}');
SELECT replace(user_dashboard(:'ann') ->> 'notice', chr(127881), '!');
SELECT a ->> 'limit_type', a -> 'threshold' FROM jsonb_array_elements(user_dashboard(:'ann') -> 'alerts') AS a;

-- The figures are those of the functions
SELECT d -> 'usage' = (SELECT jsonb_agg(jsonb_build_object('usage_type', u.usage_type, 'events', u.events, 'failed', u.failed, 'quantity', trim_scale(u.quantity),
                              'tokens', u.tokens, 'cost', trim_scale(u.cost), 'unpriced', u.unpriced)) FROM get_user_usage(:'ann') AS u) AS same_usage,
       d -> 'costs' = (SELECT jsonb_build_object('this_month', this_month, 'lifetime', lifetime, 'unpriced', unpriced) FROM get_user_costs(:'ann')) AS same_costs,
       d -> 'runs' = run_usage(:'ann') AS same_runs,
       (SELECT sum((x ->> 'events')::bigint) FROM jsonb_array_elements(d -> 'days') AS x) = (SELECT sum(events) FROM get_user_aggregations(:'ann')) AS same_days
  FROM user_dashboard(:'ann') AS d;

-- Everybody
SET LOCAL usage_tracking.funnel_steps = 'prompt,video';
SELECT jsonb_pretty(admin_dashboard(2) #- '{top_users,0,last_used}');
SELECT d -> 'trends' = (SELECT jsonb_agg(jsonb_build_object('day', t.day, 'usage_type', t.usage_type, 'events', t.events, 'quantity', t.quantity, 'tokens', t.tokens,
                               'cost', t.cost, 'users', t.unique_users)) FROM get_usage_trends(30) AS t) AS same_trends,
       d -> 'unit_costs' = (SELECT jsonb_agg(u) FROM get_unit_costs(30) AS u) AS same_units,
       d -> 'forecast' = (SELECT to_jsonb(f) FROM get_cost_forecast() AS f) AS same_forecast,
       d -> 'funnel' = (SELECT jsonb_agg(f) FROM get_conversion_funnel() AS f) AS same_funnel
  FROM admin_dashboard() AS d;
SELECT string_agg(key, ' ' ORDER BY key) FROM jsonb_each(admin_dashboard());

-- Who may see: each himself, an admin and a server everybody
SET LOCAL usage_tracking.user_id = :'bob';
SET LOCAL ROLE onlooker;
SELECT user_dashboard() -> 'user';
SELECT user_dashboard(:'ann');
SELECT admin_dashboard();
SELECT _user_dashboard(:'ann', 'free', 'UTC', now());
SELECT _email_of(:'ann');
SELECT _registered_users();
RESET ROLE;
SET LOCAL usage_tracking.user_id = :'ann';
SET LOCAL ROLE onlooker;
SELECT user_dashboard() -> 'user';
SELECT user_dashboard(:'bob') -> 'user';
SELECT admin_dashboard() -> 'totals' -> 'registered';
RESET ROLE;
SET LOCAL usage_tracking.user_id = '';
SET LOCAL ROLE onlooker;
SELECT user_dashboard();
RESET ROLE;

-- What cannot be asked
SELECT user_dashboard(NULL);
SELECT admin_dashboard(0);
SELECT admin_dashboard(NULL);
SELECT admin_dashboard(3661);

-- An address that is not there, a column that is not, a table that is not
SELECT _email_of(:'bob'), _email_of(NULL);
ALTER TABLE people RENAME email TO mail;
SELECT _email_of(:'ann');
ALTER TABLE people RENAME mail TO email;
SELECT detach_users();
SELECT _email_of(:'ann'), _registered_users();
ROLLBACK;
DROP OWNED BY onlooker;
DROP ROLE onlooker;
