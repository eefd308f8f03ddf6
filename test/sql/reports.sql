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
ROLLBACK;
