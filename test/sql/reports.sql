/* reports: what do I show?
 *
 * View user_usage shows what a decision would rest on at this moment, to a user
 * his own, to the owner, to servers and to admins everybody's.
 *   user | limit | type | measure | used | maximum | remaining | percent | since | reset | enforcement | enforced | plan
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
\set usage 'SELECT right(user_id::text, 1), limit_type, usage_type, measure, used, max_usage, remaining, trim_scale(percent), window_start, reset_at, enforcement, is_enforced, plan FROM user_usage ORDER BY user_id, limit_type'
BEGIN;
SELECT install_default_plans();
SELECT define_usage_limit('a_daily', 'video', 3);
SELECT define_usage_limit('b_soft', 'video', 0.5, window_kind => 'anchored', period => '30 days', enforcement => 'soft');
SELECT define_usage_limit('c_total', NULL, -1, window_kind => 'lifetime', measure => 'tokens');
SELECT define_usage_limit('d_none', 'video', 0, measure => 'events', is_active => false);
SELECT define_usage_limit('e_level', 'video', 9, window_kind => 'gauge');
SELECT set_plan_limit('pro', 'a_daily', 6);

-- No user, no row; a row for each limit of each user with a subscription, used or not
:usage;
SELECT set_user_plan(:'ann', 'pro');
SELECT set_user_plan(:'bob', 'team', '2026-03-10 12:00+00');
SELECT reason FROM consume_usage(:'ann', 'video', 1, tokens => 5);
:usage;

-- It is what a decision rests on
SELECT count(*) AS rows, count(*) FILTER (WHERE ROW(v.used, v.max_usage, v.remaining, v.reset_at) IS NOT DISTINCT FROM ROW(d.used, d.max_usage, d.remaining, d.reset_at)) AS agree
  FROM user_usage AS v CROSS JOIN LATERAL check_usage_limit(v.user_id, v.limit_type, 0) AS d;

-- At the moment of reading: in the next window, with an override, without enforcement
SET usage_tracking.clock = '2026-03-11 12:00+00';
SELECT set_user_limit(:'ann', 'a_daily', 1000);
SET usage_tracking.enforce_limits = off;
:usage;
RESET usage_tracking.enforce_limits;

-- A user sees himself, with or without a subscription, and nobody is nobody
CREATE ROLE regress_ut_user;
SELECT grant_usage_access('regress_ut_user');
SET LOCAL ROLE regress_ut_user;
:usage;
RESET ROLE;
SET usage_tracking.user_id = :'cat';
SET LOCAL ROLE regress_ut_user;
:usage;
RESET ROLE;
SET usage_tracking.user_id = :'bob';
SET LOCAL ROLE regress_ut_user;
SELECT DISTINCT right(user_id::text, 1) FROM user_usage;
SELECT limit_type FROM user_usage WHERE user_id = :'ann';
SELECT limit_type FROM _usage_of_user(:'ann'::uuid);
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
UPDATE user_usage SET used = 0;
\set VERBOSITY default

-- An admin sees all
RESET ROLE;
SELECT grant_role(:'bob', 'admin');
SET LOCAL ROLE regress_ut_user;
SELECT right(user_id::text, 1), count(*) FROM user_usage GROUP BY user_id ORDER BY user_id;
SELECT count(*) FROM user_usage WHERE user_id = :'ann';

-- An admin updates it: a maximum is the user's own, NULL takes that back, the same is no change
UPDATE user_usage SET max_usage = 50 WHERE user_id = :'ann' AND limit_type = 'a_daily' RETURNING used, max_usage, remaining, percent;
-- What is used becomes that much; what is reserved stays
UPDATE user_usage SET used = 2.5 WHERE user_id = :'ann' AND limit_type = 'a_daily' RETURNING used, held, remaining;
RESET ROLE;
SELECT reason FROM reserve_usage(:'ann', 'video', 1.5);
SET LOCAL ROLE regress_ut_user;
UPDATE user_usage SET used = used - 1 WHERE user_id = :'ann' AND limit_type = 'a_daily' RETURNING used, held, remaining;
UPDATE user_usage SET used = 0 WHERE user_id = :'ann' AND limit_type = 'a_daily' RETURNING used, held, remaining;
UPDATE user_usage SET used = 0, max_usage = 51 WHERE user_id = :'ann' AND limit_type = 'a_daily' RETURNING used, held, remaining;
RESET ROLE;
SELECT * FROM reconcile_usage();
SET LOCAL ROLE regress_ut_user;
\set VERBOSITY sqlstate
UPDATE user_usage SET used = -1 WHERE user_id = :'ann' AND limit_type = 'a_daily';
UPDATE user_usage SET used = NULL WHERE user_id = :'ann' AND limit_type = 'a_daily';
UPDATE user_usage SET used = 'NaN' WHERE user_id = :'ann' AND limit_type = 'a_daily';
UPDATE user_usage SET used = 1 WHERE user_id = :'ann' AND limit_type = 'e_level';
UPDATE user_usage SET held = 0;
\set VERBOSITY default
UPDATE user_usage SET max_usage = max_usage + 0.5, used = used WHERE max_usage >= 0 RETURNING right(user_id::text, 1), limit_type, max_usage;
UPDATE user_usage SET used = used, max_usage = max_usage, plan = plan WHERE user_id = :'bob';
RESET ROLE;
SELECT right(user_id::text, 1), limit_type, max_usage FROM user_limits ORDER BY 1, 2;
SET LOCAL ROLE regress_ut_user;
UPDATE user_usage SET max_usage = NULL RETURNING right(user_id::text, 1), limit_type, max_usage;
UPDATE user_usage SET max_usage = 1 WHERE user_id = :'cat';
\set VERBOSITY sqlstate
UPDATE user_usage SET max_usage = -2;
UPDATE user_usage SET max_usage = 'NaN' WHERE limit_type = 'd_none';
UPDATE user_usage SET plan = 'free' WHERE user_id = :'ann';
UPDATE user_usage SET remaining = 1;
UPDATE user_usage SET user_id = :'bob' WHERE user_id = :'ann';
UPDATE user_usage SET max_usage = 9, reset_at = NULL;
DELETE FROM user_usage;
INSERT INTO user_usage (user_id, limit_type, max_usage) VALUES (:'ann', 'a_daily', 7);
RESET ROLE;
SELECT count(*) FROM user_limits;

-- A server too; a user not, whatever he would change and reach
SELECT grant_usage_access('regress_ut_user', server => true), set_config('usage_tracking.user_id', '', true);
SET LOCAL ROLE regress_ut_user;
UPDATE user_usage SET max_usage = 8 WHERE user_id = :'ann' AND limit_type = 'a_daily' RETURNING remaining;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION act_for_any_user() FROM regress_ut_user;
SET usage_tracking.user_id = :'ann';
SET LOCAL ROLE regress_ut_user;
UPDATE user_usage SET max_usage = 1000;
UPDATE user_usage SET used = used;
UPDATE user_usage SET plan = 'pro';
UPDATE user_usage SET max_usage = 1 WHERE user_id = :'bob';
UPDATE user_usage SET max_usage = 1 WHERE false;
SELECT max_usage FROM user_usage WHERE limit_type = 'a_daily';
ROLLBACK;

-- ---- what was used ----
BEGIN;
ALTER SEQUENCE usage_events_id_seq RESTART;
CREATE ROLE regress_ut_reader;
SELECT grant_usage_access('regress_ut_reader');
SELECT define_usage_type('video'), define_usage_type('clip');
SELECT track_usage(:'ann', 'video', 2, 10, 0.5, duration_ms => 100), track_usage(:'ann', 'clip', 1, occurred_at => '2026-03-08 12:00+00', status => 'failed'),
       track_usage(:'ann', 'video', 3, occurred_at => '2026-02-10 12:00+00'), track_usage(:'bob', 'video', 4, occurred_at => '2026-03-09 12:00+00');
SELECT usage_type, events, failed, quantity, tokens, trim_scale(cost), duration_ms_mean FROM get_user_usage(:'ann');
SELECT usage_type, events, quantity FROM get_user_usage(:'ann', '2026-02-10', '2026-02-10');
-- Weeks begin on Monday
SELECT period, usage_type, status, events, quantity FROM get_user_aggregations(:'ann', 'week');
SELECT period, usage_type, status, events, quantity FROM get_user_aggregations(:'ann', 'month');
SELECT period, usage_type, status, events, quantity FROM get_usage_totals(granularity => 'month');
SELECT period, usage_type, status, events, quantity FROM get_usage_totals('2026-03-09', '2026-03-09');
-- Pages
SELECT id, occurred_at, usage_type, status, quantity FROM get_user_usage_history(:'ann', max_rows => 2);
SELECT id, occurred_at, usage_type, status, quantity FROM get_user_usage_history(:'ann', '2026-03-08 12:00+00', 2);
SELECT id FROM get_user_usage_history(:'ann', '2026-03-08 12:00+00', 3);
SELECT count(*) FROM get_user_usage_history(:'ann', '2026-03-10 12:00+00');
SELECT get_user_usage_history(:'ann', NULL, 5);
-- As JSON
SELECT s -> 'daily', s -> 'totals', jsonb_path_query_array(s, '$.recentEvents[*].quantity') FROM get_user_stats(:'ann') AS s;
SELECT get_user_stats(:'cat');
-- For himself
SET usage_tracking.user_id = :'ann';
SET ROLE regress_ut_reader;
SELECT count(*) FROM get_user_usage(:'ann');
SELECT trim_scale(this_month), trim_scale(lifetime), unpriced FROM get_user_costs(:'ann');
SELECT get_user_usage(:'bob');
SELECT get_user_costs(:'bob');
SELECT get_user_usage_history(:'bob');
SELECT get_user_aggregations(:'bob');
SELECT get_user_stats(:'bob');
SELECT get_usage_totals();
TABLE usage_aggregations;
SELECT _get_user_usage(:'ann', NULL, NULL, now());
-- An admin, for all
RESET ROLE;
SELECT grant_role(:'ann', 'admin');
SET ROLE regress_ut_reader;
SELECT usage_type, quantity FROM get_user_usage(:'bob');
SELECT usage_type, status, sum(quantity) FROM get_usage_totals() GROUP BY 1, 2 ORDER BY 1, 2;

-- Campaigns, defined or only named; what was taken back costs nothing, what is counted by day is counted once
RESET ROLE;
SELECT install_seed_prices() > 0 AS prices, define_campaign(:'ann', 'spring', 'Spring', 0.02), define_campaign(:'ann', 'idle', budget => 0) \g /dev/null
SELECT track_api_usage(:'ann', 'video', 'openai', 'gpt-5', input_tokens => 1000, output_tokens => n, campaign_id => CASE n WHEN 3 THEN 'unheard of' ELSE 'spring' END)
  FROM generate_series(1, 4) AS n \g /dev/null
SELECT track_api_usage(:'ann', 'video', 'openai', 'gpt-unknown', input_tokens => 7, campaign_id => 'spring'), define_campaign(:'bob', 'spring', 'Of Bob') \g /dev/null
SELECT * FROM get_campaigns(:'ann');
SELECT done > 0 AS counted FROM refresh_usage_aggregations();
SELECT reverse_usage(:'ann', max(id)) FROM usage_events WHERE tokens = 1004;
SELECT * FROM get_campaigns(:'ann');
SELECT * FROM get_campaigns(:'cat');
SELECT get_campaigns(NULL);
ROLLBACK;
