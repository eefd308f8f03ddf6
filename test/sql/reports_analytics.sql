/* reports, what administrators ask: who uses most, what comes of it, what it costs.
 *
 * The zone is New York, where noon on 10 March is 16:00 UTC: days and months begin
 * there.  Everything is asked three times in one way: before any event is counted in
 * the sums by day, when some are, and when all are; the answers are the same.
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET usage_tracking.time_zone = 'America/New_York';
SET usage_tracking.clock = '2026-03-10 16:00+00';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
\set dan '00000000-0000-0000-0000-00000000000d'
CREATE TABLE people (id uuid PRIMARY KEY, email text);
INSERT INTO people VALUES (:'ann', 'ann@example.com'), (:'bob', 'bob@example.com'), (:'cat', 'cat@example.com'), (:'dan', 'dan@example.com'),
    ('00000000-0000-0000-0000-00000000000e', 'eve@example.com');
CREATE ROLE analyst;
CREATE ROLE analytics_server;
SELECT grant_usage_access('analyst'), grant_usage_access('analytics_server', server => true);
BEGIN;
SELECT attach_users('people');
SELECT define_usage_type('project_create'), define_usage_type('prompt'), define_usage_type('export');
SELECT import_model_prices('{"m-1": {"litellm_provider": "p", "mode": "chat", "input_cost_per_token": 0.01, "output_cost_per_token": 0.02},
                             "m-2": {"litellm_provider": "p", "mode": "chat", "input_cost_per_token": 0.03, "output_cost_per_token": 0.04}}', '2025-01-01');
-- Ann goes the whole way; Bob prompts before he has a project, and after; Cat exports before she prompts; Dan fails
SELECT count(*) FROM (VALUES
    (:'ann'::uuid, 'project_create', '2026-03-02 15:00+00'::timestamptz, 'success'), (:'ann', 'export', '2026-03-09 15:00+00', 'success'),
    (:'bob', 'project_create', '2026-03-05 15:00+00', 'success'), (:'cat', 'project_create', '2026-03-01 15:00+00', 'success'),
    (:'cat', 'export', '2026-03-03 15:00+00', 'success'), (:'dan', 'project_create', '2026-03-03 15:00+00', 'failed'))
    AS u (who, what, at, status), LATERAL track_usage(u.who, u.what, 1, status => u.status, occurred_at => u.at, event_subtype => 'web', duration_ms => 100) OFFSET 0;
SELECT count(*) FROM (VALUES
    (:'ann'::uuid, 'm-1', 10, 5, '2026-03-03 04:59+00'::timestamptz, 'success', NULL),  -- 2 March in New York
    (:'ann', 'm-1', 20, 0, '2026-03-10 15:00+00', 'success', 'spring'), (:'ann', 'm-2', 1, 1, '2026-03-10 15:30+00', 'failed', 'spring'),
    (:'bob', 'm-2', 10, 0, '2026-03-04 15:00+00', 'success', NULL), (:'bob', 'm-2', 10, 0, '2026-03-06 15:00+00', 'success', 'autumn'),
    (:'cat', 'unknown', 7, 7, '2026-03-08 15:00+00', 'success', NULL), (:'cat', 'm-1', 1, 0, '2026-02-20 15:00+00', 'success', NULL))
    AS c (who, model, input, output, at, status, campaign),
    LATERAL track_api_usage(c.who, 'prompt', 'p', c.model, input_tokens => c.input, output_tokens => c.output, status => c.status, duration_ms => 1000, campaign_id => c.campaign,
                            occurred_at => c.at) OFFSET 0;
SELECT track_usage(:'dan', 'export', 30, occurred_at => '2026-03-07 15:00+00', resource_type => 'video', resource_id => 'v1') \gset to_reverse_
SELECT reverse_usage(:'dan', :to_reverse_track_usage, 29);
COMMIT;

-- The questions
PREPARE trends AS SELECT * FROM get_usage_trends(9);
PREPARE top AS SELECT right(user_id::text, 1), uses, failed, quantity, tokens, cost, last_used FROM get_top_users('prompt', 19);
PREPARE dearest AS SELECT right(user_id::text, 1), uses, cost, last_used FROM get_top_users(NULL, 30, 'cost', 2, '2026-03-09');
PREPARE of_resource AS SELECT right(user_id::text, 1), uses, quantity, last_used FROM get_top_users(resource_type => 'video', resource_id => 'v1');
PREPARE funnel AS SELECT * FROM get_conversion_funnel('{project_create,prompt,export}');
PREPARE failures AS SELECT * FROM get_error_rates(10);
PREPARE failures_of_types AS SELECT usage_type, events, failed, error_rate, is_small_sample FROM get_error_rates(10, 'type');
PREPARE failures_of_subtypes AS SELECT usage_type, event_subtype, events, failed, error_rate, duration_ms_mean FROM get_error_rates(10, 'subtype');
PREPARE models AS SELECT provider, model, events, tokens, cost, percent, unpriced FROM get_cost_breakdown();
PREPARE providers AS SELECT * FROM get_cost_breakdown('provider', 3);
PREPARE types AS SELECT usage_type, cost, percent FROM get_cost_breakdown('type', max_rows => 2);
PREPARE campaigns AS SELECT right(user_id::text, 1), campaign_id, events, cost, percent FROM get_cost_breakdown('campaign');
PREPARE units AS SELECT * FROM get_unit_costs();
PREPARE forecast AS SELECT * FROM get_cost_forecast();
EXECUTE trends;
EXECUTE top;
EXECUTE dearest;
EXECUTE of_resource;
EXECUTE funnel;
EXECUTE failures;
EXECUTE failures_of_types;
EXECUTE failures_of_subtypes;
EXECUTE models;
EXECUTE providers;
EXECUTE types;
EXECUTE campaigns;
EXECUTE units;
EXECUTE forecast;

-- The same when some events, and when all, are in the sums by day
CREATE TABLE answers (n integer, answer text);
CREATE PROCEDURE answer_all(n integer) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO answers
    SELECT n, t::text FROM get_usage_trends(9) AS t UNION ALL SELECT n, t::text FROM get_top_users('prompt', 19) AS t
    UNION ALL SELECT n, t::text FROM get_top_users(NULL, 30, 'cost', 2, '2026-03-09') AS t
    UNION ALL SELECT n, t::text FROM get_conversion_funnel('{project_create,prompt,export}') AS t
    UNION ALL SELECT n, t::text FROM get_error_rates(10) AS t UNION ALL SELECT n, t::text FROM get_cost_breakdown() AS t
    UNION ALL SELECT n, t::text FROM get_cost_breakdown('campaign') AS t UNION ALL SELECT n, t::text FROM get_unit_costs() AS t
    UNION ALL SELECT n, t::text FROM get_cost_forecast() AS t
    UNION ALL SELECT n, admin_dashboard(12)::text;
END
$$;
CALL answer_all(1);
SELECT done > 0, "left" > 0 FROM refresh_usage_aggregations((SELECT max(id) - 8 FROM usage_events));
CALL answer_all(2);
SELECT "left" FROM refresh_usage_aggregations();
SELECT count(*) > 0 FROM usage_user_months;
CALL answer_all(3);
SELECT n, count(*) > 20, md5(string_agg(answer, ' ' ORDER BY answer)) = (SELECT md5(string_agg(answer, ' ' ORDER BY answer)) FROM answers WHERE n = 1) AS same FROM answers GROUP BY n ORDER BY n;
SELECT * FROM reconcile_usage();

-- What was wrong in such a system: the last use is the last one, not the day's first (D2-15)
SELECT last_used FROM get_top_users('prompt') WHERE user_id = :'ann';
-- ... who registered is known, and the steps have an order (D2-15)
SELECT name, users FROM get_conversion_funnel('{export,prompt}');
SELECT name, users FROM get_conversion_funnel('{}');
-- ... and operations with few events are shown, as such (D2-15)
SELECT count(*) FILTER (WHERE is_small_sample), count(*) FROM get_error_rates(10);
-- The steps by the setting
SET usage_tracking.funnel_steps = 'project_create, export';
SELECT step, name, users, percent, percent_of_previous FROM get_conversion_funnel();
RESET usage_tracking.funnel_steps;
-- Where no table is attached, who has a subscription is registered
BEGIN;
SELECT detach_users();
SELECT name, users FROM get_conversion_funnel('{export}');
ROLLBACK;
-- The first instant of a month, when nothing of it is over
SET usage_tracking.clock = '2026-04-01 04:00+00';
SELECT * FROM get_cost_forecast();
-- ... and the month in which the clocks change has 743 hours
SET usage_tracking.clock = '2026-03-31 16:00+00';
SELECT month, elapsed_share, round(731.0 / 743, 6) FROM get_cost_forecast();
SET usage_tracking.clock = '2026-03-10 16:00+00';

-- Who is near a limit: of his own, of his plan, for some time, by setting, of a level, with what is reserved
SELECT * FROM get_users_near_limit();
BEGIN;
SELECT define_usage_limit('prompts', 'prompt', 100, period => '1 month'), define_usage_limit('seats', 'seat', 10, window_kind => 'gauge'),
       define_usage_limit('ever', NULL, -1, window_kind => 'lifetime'), define_usage_limit('off', 'export', 1, is_active => false, period => '1 month');
\set near 'SELECT right(user_id::text, 1) AS who, plan, limit_type, measure, used, max_usage, percent_used, reset_at FROM get_users_near_limit()'
:near;
SELECT set_user_limit(:'ann', 'prompts', 2);
SELECT set_plan_limit('pro', 'prompts', 2), set_user_plan(:'bob', 'pro');
SELECT set_usage_level(:'cat', 'seats', 8);
SELECT allowed FROM reserve_usage(:'dan', 'export', 1);
:near;
SELECT set_temporary_limit('prompts', 1, starts_at => '2026-03-10', ends_at => '2026-03-11');
:near;
SELECT set_usage_level(:'cat', 'seats', 7);
SELECT ends_at FROM temporary_limits; DELETE FROM temporary_limits;
SET LOCAL usage_tracking.limit_overrides = 'prompts.free=1';
:near;
SELECT count(*) FROM get_users_near_limit(1, 1);
-- ... which is what user_usage says, only faster
SELECT count(*) FROM (SELECT user_id, plan, limit_type, measure, used, max_usage, percent, reset_at FROM user_usage WHERE percent >= 30 AND used > 0
                      EXCEPT ALL SELECT * FROM get_users_near_limit(30)) AS difference;
SELECT right(user_id::text, 1), percent_used FROM get_users_near_limit(200);
ROLLBACK;
-- ... also when his windows were moved since he used it, and what was counted is of one that is no longer his
BEGIN;
SELECT define_usage_limit('seats_daily', 'seat', 10, time_zone => NULL), define_usage_limit('seats_period', 'seat', 20, window_kind => 'anchored', period => '1 month');
SELECT count(track_usage(:'dan', 'seat', 5, occurred_at => at)) FROM (VALUES ('2026-03-10 03:00+00'::timestamptz), ('2026-03-10 15:00+00')) AS u (at);
SELECT adjust_usage(:'dan', 'seats_period', 15);
:near;
SELECT set_user_clock(:'dan', time_zone => 'UTC');
:near;
SELECT set_user_clock(:'dan', time_zone => 'Pacific/Honolulu', anchor => '2026-03-09 12:00+00');
:near;
ROLLBACK;

-- Who may ask: nobody but admins and servers
SET usage_tracking.user_id = :'ann';
SET ROLE analyst;
SELECT * FROM get_top_users();
SELECT * FROM get_usage_trends();
SELECT * FROM get_conversion_funnel();
SELECT * FROM get_error_rates();
SELECT * FROM get_cost_breakdown();
SELECT * FROM get_unit_costs();
SELECT * FROM get_cost_forecast();
SELECT * FROM get_users_near_limit();
SELECT * FROM usage_user_months;
SELECT * FROM _get_cost_forecast(now());
RESET ROLE;
SELECT grant_role(:'ann', 'admin');
SET ROLE analyst;
SELECT forecast FROM get_cost_forecast();
RESET ROLE;
RESET usage_tracking.user_id;
SET ROLE analytics_server;
SELECT forecast FROM get_cost_forecast();
RESET ROLE;
-- ... and nobody at all where it is switched off
SET usage_tracking.analytics_enabled = off;
SELECT * FROM get_cost_forecast();
SELECT * FROM get_top_users();
SELECT admin_dashboard();
RESET usage_tracking.analytics_enabled;

-- What cannot be asked
SELECT * FROM get_top_users('promt');
SELECT * FROM get_top_users('Prompt');
SELECT * FROM get_top_users(days => 0);
SELECT * FROM get_top_users(days => 3661);
SELECT * FROM get_top_users(days => NULL);
SELECT * FROM get_top_users(measure => 'events');
SELECT * FROM get_top_users(max_rows => 1001);
SELECT * FROM get_top_users(last_day => 'infinity');
SELECT * FROM get_top_users(last_day => '0001-01-01 BC');
SELECT * FROM get_top_users(resource_type => '');
SELECT * FROM get_conversion_funnel('{prompt,promt}');
SELECT * FROM get_conversion_funnel('{prompt,NULL}');
SELECT * FROM get_conversion_funnel(array_fill('prompt'::text, '{21}'));
SELECT * FROM get_error_rates(detail => 'endpoint');
SELECT * FROM get_cost_breakdown('user');
SELECT * FROM get_cost_breakdown(NULL);
SELECT * FROM get_users_near_limit(-1);
SELECT * FROM get_users_near_limit(NULL);
SELECT * FROM get_users_near_limit(80, 0);
SET usage_tracking.funnel_steps = 'a b';
SET usage_tracking.funnel_steps = 'promt';
SELECT * FROM get_conversion_funnel();
SELECT admin_dashboard();
RESET usage_tracking.funnel_steps;
-- The ends of time are only empty
SELECT count(*) FROM get_usage_trends(3660, '0001-01-01');
SELECT count(*) FROM get_usage_trends(3660, '9999-12-31');
SELECT count(*) FROM get_top_users(NULL, 3660, 'uses', 10, '9999-12-31');
SELECT count(*) FROM get_error_rates(1, 'subtype', '9999-12-31');

-- ---- sums by month, of which the answers are made ----

-- Which days of a month are in a window
SELECT first_day, last_day, _days_of_month('2026-02-01', first_day::date, last_day::date)::bit(31) FROM (VALUES
    ('2026-01-15', '2026-03-01'), ('2026-02-01', '2026-02-01'), ('2026-02-28', '2026-03-05'), ('2026-01-31', '2026-02-02'), ('2026-02-27', '2026-02-28'),
    ('2026-01-01', '2026-01-31'), ('2026-03-05', '2026-03-06')) AS w (first_day, last_day);
SELECT _days_of_month('2026-03-01', '2026-03-31', '2026-03-31') = _day_bit('2026-03-31'), _days_of_month('2026-03-01', '2026-03-01', '9999-12-31') = 2147483647;
SELECT _count_days(ARRAY[_day_bit('2026-03-01') | _day_bit('2026-03-31'), _day_bit('2026-03-31'), 0, _day_bit('2026-03-30')]), _count_days('{}') = array_fill(0::bigint, '{31}');
-- Steps in their order: on one day, from month to month, a second time, not before
SELECT step, _funnel_depth(s, m, d) FROM (VALUES
    ('same day', ARRAY[1, 2], '{2026-03-01,2026-03-01}'::date[], ARRAY[4, 4]), ('too early', '{1,2}', '{2026-03-01,2026-03-01}', '{4,2}'),
    ('and late', '{1,2}', '{2026-03-01,2026-03-01}', '{4,10}'), ('next month', '{2,1}', '{2026-04-01,2026-03-01}', ARRAY[1, 1 << 30]),
    ('the month before', '{2,1}', '{2026-02-01,2026-03-01}', ARRAY[1 << 27, 1]), ('not the first', '{2,3}', '{2026-03-01,2026-03-01}', '{1,1}'),
    ('none', '{}', '{}', '{}'), ('again', '{1,2,3}', '{2026-03-01,2026-03-01,2026-03-01}', '{1,2,6}')) AS f (step, s, m, d);
-- Which months are taken whole
SELECT first_day, last_day, w.* FROM (VALUES
    ('2026-02-09', '2026-03-10'), ('2026-02-20', '2026-03-10'), ('2026-01-17', '2026-02-14'), ('2026-01-16', '2026-01-20'), ('2025-12-20', '2026-02-20')) AS v (first_day, last_day),
    LATERAL _whole_months(first_day::date, last_day::date, '2026-03-10') AS w;

-- A sum by month that is wrong is found
BEGIN;
UPDATE usage_user_months SET success_days = 0 WHERE user_id = :'ann' AND usage_type = 'prompt';
DELETE FROM usage_user_months WHERE user_id = :'bob' AND usage_type = 'project_create';
INSERT INTO usage_user_months VALUES (:'dan', 'prompt', '2026-01-01', 1, 0, 1, 0, 0, 0, 1, 1);
SELECT right(user_id::text, 1), window_start, counted, recorded FROM reconcile_usage() ORDER BY 1;
ROLLBACK;

SELECT detach_users();
SELECT erase_user(id) FROM people;
SELECT count(*), sum(uses) FROM usage_user_months WHERE user_id IN (SELECT id FROM people);
SELECT * FROM reconcile_usage();
RESET usage_tracking.time_zone;
SELECT "left" FROM refresh_usage_aggregations();  -- begins again in UTC
DROP TABLE people, answers;
DROP OWNED BY analyst, analytics_server;
DROP ROLE analyst, analytics_server;
