/* limits: how much may they?
 *
 * How limits come to be and change, and where their windows lie.  What they
 * decide is told in usage.
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
BEGIN;
SELECT install_default_plans();

-- Defining registers the type and fills in the defaults
SELECT define_usage_limit('videos_daily', 'video', 5);
SELECT * FROM usage_types;
SELECT usage_type, max_usage, window_kind, period, measure, enforcement, time_zone, is_active, description, statuses
  FROM usage_limits;

-- The same definition again changes nothing; another changes what it says
SELECT xmin AS before FROM usage_limits \gset
SELECT define_usage_limit('videos_daily', 'video', 5.0);
SELECT xmin = :before AS untouched FROM usage_limits;
SELECT define_usage_limit('videos_daily', 'video', 7, enforcement => 'soft', is_active => false, description => 'per day');
SELECT max_usage, enforcement, is_active, description FROM usage_limits;
SELECT define_usage_limit('videos_total', NULL, -1, window_kind => 'lifetime', period => '1 week', time_zone => 'asia/kolkata');
SELECT define_usage_limit('videos_billed', 'video', 3, window_kind => 'billing', period => '2 days');
SELECT limit_type, usage_type, max_usage, window_kind, period, time_zone FROM usage_limits WHERE limit_type <> 'videos_daily' ORDER BY limit_type;
DELETE FROM usage_limits WHERE limit_type = 'videos_billed';

-- A limit is numbered anew when something else is counted, and only then
CREATE FUNCTION pg_temp.renumbers(change text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    before bigint := limit_id FROM usage_limits WHERE limit_type = 'videos_daily';
BEGIN
    EXECUTE 'UPDATE usage_limits SET ' || change || ' WHERE limit_type = ''videos_daily''';
    RETURN before <> limit_id FROM usage_limits WHERE limit_type = 'videos_daily';
END $$;
INSERT INTO usage_types VALUES ('film');
SELECT change, pg_temp.renumbers(change) FROM (VALUES
    ('max_usage = 8'), ('enforcement = ''hard'''), ('is_active = true'), ('description = NULL'),
    ('usage_type = ''video'''), ('usage_type = ''film'''), ('usage_type = NULL'), ('measure = ''events'''),
    ('period = ''1 week'''), ('period = ''7 days'''), ('window_kind = ''anchored'''), ('time_zone = ''Asia/Tokyo'''),
    ('time_zone = ''asia/tokyo'''), ('statuses = ''{failed}'''), ('window_kind = ''lifetime'', period = NULL')) AS v (change);

-- What a plan and what a user may: set, changed, taken back
SELECT set_plan_limit('pro', 'videos_daily', 50);
SELECT set_plan_limit('pro', 'videos_daily', 60);
SELECT set_plan_limit('team', 'videos_daily', -1);
SELECT set_plan_limit('team', 'videos_total', 0);
SELECT * FROM plan_limits ORDER BY plan, limit_type;
SELECT set_plan_limit('team', 'videos_daily', NULL);
SELECT set_plan_limit('team', 'videos_daily', NULL);
SELECT * FROM plan_limits ORDER BY plan, limit_type;
SELECT set_user_limit(:'ann', 'videos_daily', 99, '2026-04-01 00:00+00', 'beta tester');
SELECT set_user_limit(:'ann', 'videos_total', 7);
SELECT limit_type, max_usage, expires_at, reason FROM user_limits ORDER BY limit_type;
SELECT set_user_limit(:'ann', 'videos_daily', 100);
SELECT set_user_limit(:'ann', 'videos_total', NULL);
SELECT limit_type, max_usage, expires_at, reason FROM user_limits ORDER BY limit_type;
SELECT set_plan_limit('gold', 'videos_daily', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT set_plan_limit('pro', 'video_daily', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT set_user_limit(:'ann', 'video', 1);
\echo :LAST_ERROR_SQLSTATE

-- The setting limit_overrides comes between what a user and what his plan has; the name ends at the last dot
SELECT define_usage_limit('videos.daily', 'video', 3);
SELECT define_usage_limit('videos', 'film', 4);
SELECT set_plan_limit('pro', 'videos.daily', 30);
SELECT set_user_plan(:'bob', 'pro');
SET usage_tracking.limit_overrides = 'videos.daily.pro=20.50, videos.daily.free=-1', 'nothing.gold = 7';
SHOW usage_tracking.limit_overrides;
SELECT right(user_id::text, 1), limit_type, plan, max_usage, remaining
  FROM (VALUES (:'bob'::uuid), (:'cat')) AS users (user_id), _usage_of_user(user_id) WHERE limit_type IN ('videos', 'videos.daily');
SELECT allowed, reason, max_usage FROM check_usage_limit(:'bob', 'video', 20.5);
SELECT allowed, reason, limit_type, max_usage FROM check_usage_limit(:'bob', 'video', 20.500000001);
SELECT set_user_limit(:'bob', 'videos.daily', 21);
SELECT allowed, reason, max_usage FROM check_usage_limit(:'bob', 'videos.daily', 21);
SET usage_tracking.limit_overrides = 'videos.daily.pro=5000';
SELECT max_usage FROM check_usage_limit(:'bob', 'videos.daily');
SELECT set_user_limit(:'bob', 'videos.daily', NULL);
SELECT max_usage FROM check_usage_limit(:'bob', 'videos.daily');
UPDATE user_subscriptions SET status = 'unpaid';
SELECT max_usage FROM check_usage_limit(:'bob', 'videos.daily');
UPDATE user_subscriptions SET status = 'active';
SET usage_tracking.limit_overrides = 'videos.daily.pro=5000, videos.pro';
SET usage_tracking.limit_overrides = 'videos.daily.pro=5000, videos.daily.pro=5000';
SHOW usage_tracking.limit_overrides;
RESET usage_tracking.limit_overrides;
SELECT max_usage FROM check_usage_limit(:'bob', 'videos.daily');
DELETE FROM usage_limits WHERE limit_type = ANY ('{videos,videos.daily}');

-- A temporary limit holds between two instants and ends by itself: for a plan, or for everybody
SELECT set_temporary_limit('videos_daily', 80, '2026-03-10 12:00+00', '2026-03-10 18:00+00', 'pro', 'happy hours');
SELECT set_temporary_limit('videos_daily', 20, '2026-03-10 00:00+00', '2026-03-12 00:00+00');
SELECT set_temporary_limit('videos_daily', -1, '2026-03-10 16:00+00', '2026-03-10 17:00+00', 'pro');
SELECT set_temporary_limit('videos_daily', 25, '2026-03-11 00:00+00', '2026-03-11 12:00+00', reason => 'launch');
SELECT xmin AS before FROM temporary_limits WHERE max_usage = 25 \gset
SELECT set_temporary_limit('videos_daily', 25.0, '2026-03-11 00:00+00', '2026-03-11 12:00+00', reason => 'launch');
SELECT xmin = :before AS untouched FROM temporary_limits WHERE max_usage = 25;
SELECT limit_type, plan, starts_at, ends_at, max_usage, reason FROM temporary_limits ORDER BY limit_type, plan, starts_at;
SELECT set_plan_limit('team', 'videos_daily', 40);
SELECT set_user_plan('00000000-0000-0000-0000-00000000000d', 'team');
SELECT set_user_limit('00000000-0000-0000-0000-00000000000e', 'videos_daily', 5);
CREATE FUNCTION pg_temp.maxima(at text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('usage_tracking.clock', at, false);
    RETURN (SELECT string_agg(max_usage::text, ' ' ORDER BY n)
              FROM (VALUES (1, '00000000-0000-0000-0000-00000000000b'::uuid), (2, '00000000-0000-0000-0000-00000000000c'),
                           (3, '00000000-0000-0000-0000-00000000000d'), (4, '00000000-0000-0000-0000-00000000000e')) AS users (n, id),
                   check_usage_limit(id, 'videos_daily'));
END $$;
-- on pro, on free, on team, with an override; forwards and backwards in time
SELECT at, pg_temp.maxima(at) FROM unnest('{2026-03-09 23:59:59.999999+00,2026-03-10 00:00+00,2026-03-10 11:59+00,2026-03-10 12:00+00,2026-03-10 16:00+00,
    2026-03-10 17:00+00,2026-03-10 18:00+00,2026-03-11 00:00+00,2026-03-11 12:00+00,2026-03-12 00:00+00,2026-03-11 00:00+00,2026-03-10 16:30+00}'::text[]) AS at;
SET usage_tracking.clock = '2026-03-20 12:00+00';
UPDATE usage_types SET description = 'read when all of them were over';
SELECT pg_temp.maxima('2026-03-20 12:00+00');
SELECT pg_temp.maxima('2026-03-10 16:30+00');
SET usage_tracking.limit_overrides = 'videos_daily.pro=1, videos_daily.free=2';
SELECT pg_temp.maxima('2026-03-10 16:30+00');
RESET usage_tracking.limit_overrides;
SET usage_tracking.default_plan = 'pro';
SELECT pg_temp.maxima('2026-03-10 16:30+00');
RESET usage_tracking.default_plan;
SELECT set_temporary_limit('videos_daily', 2, '2026-03-10 16:00+00', '2026-03-10 17:30+00', 'pro');
SELECT pg_temp.maxima('2026-03-10 17:00+00');
SELECT set_temporary_limit('videos_daily', NULL, '2026-03-10 16:00+00', NULL, 'pro');
SELECT set_temporary_limit('videos_daily', NULL, '2026-03-10 16:00+00', NULL);
SELECT pg_temp.maxima('2026-03-10 17:00+00');
SELECT set_temporary_limit('videos_daily', NULL, '2026-03-10 00:00+00', NULL);
SELECT pg_temp.maxima('2026-03-10 17:00+00');
UPDATE temporary_limits SET max_usage = 33 WHERE plan = 'pro';
SELECT pg_temp.maxima('2026-03-10 17:00+00');
SELECT starts_at, plan, max_usage FROM temporary_limits ORDER BY starts_at;
SET usage_tracking.clock = '2026-03-10 12:00+00';
SELECT set_temporary_limit('videos_daily', 1, '2026-03-11', '2026-03-11');
\echo :LAST_ERROR_SQLSTATE
SELECT set_temporary_limit('videos_daily', 1, '2026-03-11', NULL);
SELECT set_temporary_limit('videos_dayly', 1, '2026-03-11', '2026-03-12');
\echo :LAST_ERROR_SQLSTATE
SELECT set_temporary_limit('videos_daily', 1, '2026-03-11', '2026-03-12', 'gold');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
INSERT INTO temporary_limits VALUES ('videos_daily', NULL, '2026-03-11 00:00+00', '2026-03-12', 1);
INSERT INTO temporary_limits VALUES ('videos_daily', NULL, '2026-03-12', '2026-03-12', 1);
INSERT INTO temporary_limits VALUES ('videos_daily', NULL, '2026-03-12', 'infinity', 1);
INSERT INTO temporary_limits VALUES ('videos_daily', NULL, '2026-03-12', '2026-03-13', 'NaN');
INSERT INTO temporary_limits VALUES ('videos_dayly', NULL, '2026-03-12', '2026-03-13', 1);
\set VERBOSITY default

-- Renamed, a limit takes its plans and users along, and so does a plan; deleted, they go with it
UPDATE plans SET plan = 'team_of_5' WHERE plan = 'team';
UPDATE plans SET plan = 'professional' WHERE plan = 'pro';
UPDATE usage_limits SET limit_type = 'films' WHERE limit_type = 'videos_daily';
SELECT plan, limit_type FROM plan_limits UNION ALL SELECT right(user_id::text, 1), limit_type FROM user_limits
 UNION ALL SELECT coalesce(plan, 'all') || ' for now', limit_type FROM temporary_limits ORDER BY plan;
DELETE FROM usage_limits WHERE limit_type = 'films';
SELECT plan, limit_type FROM plan_limits UNION ALL SELECT right(user_id::text, 1), limit_type FROM user_limits
 UNION ALL SELECT coalesce(plan, 'all') || ' for now', limit_type FROM temporary_limits ORDER BY plan;

-- A gauge has a level, and no use counts; a sliding window is told in limits_sliding
SELECT define_usage_limit('space_mb', 'space', 100, window_kind => 'gauge', period => '1 day');
SELECT define_usage_limit('calls_lately', 'call', 2, window_kind => 'sliding', period => '90 minutes');
SELECT limit_type, window_kind, period, is_active FROM usage_limits WHERE limit_type = ANY ('{space_mb,calls_lately}') ORDER BY limit_type;
SELECT * FROM check_usage_limit(:'ann', 'space_mb', 1000);
SELECT * FROM check_usage_limit(:'ann', 'calls_lately');
SELECT * FROM check_usage_limit(:'ann', 'space_mb', 0);
SELECT allowed, reason, limit_type, used, max_usage FROM check_usage_limit(:'ann', 'call', 1000);
SELECT limit_type, used, held, max_usage, remaining, percent, window_start, reset_at, is_enforced
  FROM _usage_of_user(:'ann') WHERE limit_type = ANY ('{space_mb,calls_lately}');
DELETE FROM usage_limits WHERE limit_type = ANY ('{space_mb,calls_lately}');

-- The default limits: those missing, with their types and plans; what is there stays as it is
SELECT define_usage_limit('exports_daily', 'movie', 1, enforcement => 'soft');
SELECT set_plan_limit('free', 'exports_daily', 2);
SELECT define_usage_type('export', 'Ours');
DELETE FROM plans WHERE plan = 'demo';
SELECT xmin AS before FROM usage_limits WHERE limit_type = 'exports_daily' \gset
SELECT install_default_limits();
SELECT install_default_limits();
SELECT l.limit_type, l.usage_type, l.max_usage, l.window_kind, l.period, l.measure, l.enforcement, l.is_active,
       (SELECT string_agg(p.plan || ' ' || p.max_usage, ', ' ORDER BY p.plan) FROM plan_limits AS p WHERE p.limit_type = l.limit_type)
  FROM usage_limits AS l WHERE l.limit_type <> 'videos_total' ORDER BY l.limit_type;
SELECT xmin = :before AS untouched FROM usage_limits WHERE limit_type = 'exports_daily';
SELECT * FROM usage_types WHERE usage_type <> ALL ('{call,film,space,video}') ORDER BY usage_type;
SELECT count(*) FROM plans WHERE plan = 'demo';
UPDATE usage_limits SET max_usage = 11 WHERE limit_type = 'prompts_daily';
UPDATE plan_limits SET max_usage = 12 WHERE limit_type = 'prompts_daily' AND plan = 'free';
DELETE FROM plan_limits WHERE limit_type = 'prompts_daily' AND plan = 'pro';
DELETE FROM usage_limits WHERE limit_type = 'storage_mb';
SELECT install_default_limits();
SELECT max_usage, (SELECT string_agg(p.plan || ' ' || p.max_usage, ', ' ORDER BY p.plan) FROM plan_limits AS p WHERE p.limit_type = l.limit_type)
  FROM usage_limits AS l WHERE limit_type = ANY ('{prompts_daily,storage_mb}') ORDER BY limit_type;
DELETE FROM usage_limits WHERE limit_type <> 'videos_total';
DELETE FROM usage_types WHERE usage_type = 'prompt';
SELECT define_usage_limit('prompt', 'movie', 1);
SELECT install_default_limits();
\echo :LAST_ERROR_SQLSTATE
SELECT limit_type FROM usage_limits ORDER BY limit_type;
DELETE FROM usage_limits WHERE limit_type = 'prompt';

-- What is refused, by the function and by hand
SELECT define_usage_limit('x', 'video', -2);
SELECT define_usage_limit('x', 'video', 1, window_kind => 'daily');
SELECT define_usage_limit('x', 'video', 1, period => '2 days');
\echo :LAST_ERROR_SQLSTATE
SELECT define_usage_limit('x', 'video', 1, window_kind => 'anchored', period => '1 month 1 day');
\echo :LAST_ERROR_SQLSTATE
SELECT define_usage_limit('x', 'video', 1, period => NULL);
SELECT define_usage_limit('x', 'video', 1, time_zone => 'CEST');
SELECT define_usage_limit('x', 'video', 1, statuses => '{}');
SELECT define_usage_limit('x', 'video', 1, statuses => '{success,error}');
\set VERBOSITY sqlstate
INSERT INTO usage_limits (limit_type, usage_type, max_usage) VALUES ('x', 'video', 'NaN');
INSERT INTO usage_limits (limit_type, usage_type, max_usage) VALUES ('x', 'video', 'Infinity');
INSERT INTO usage_limits (limit_type, usage_type, max_usage) VALUES ('x', 'video', -0.5);
INSERT INTO usage_limits (limit_type, usage_type, max_usage) VALUES ('x', 'vidoe', 1);
INSERT INTO usage_limits (limit_type, usage_type, max_usage, period) VALUES ('x', 'video', 1, '1 month -30 days');
INSERT INTO usage_limits (limit_type, usage_type, max_usage, time_zone) VALUES ('x', 'video', 1, '%s');
INSERT INTO usage_limits (limit_type, usage_type, max_usage, statuses) VALUES ('x', 'video', 1, '{success,NULL}');
INSERT INTO usage_limits (limit_type, usage_type, max_usage, window_kind, period) VALUES ('x', 'video', 1, 'sliding', '1 month 1 day');
INSERT INTO usage_limits (limit_type, usage_type, max_usage, window_kind, period) VALUES ('x', 'video', 1, 'sliding', NULL);
INSERT INTO usage_limits (limit_type, usage_type, max_usage, window_kind) VALUES ('x', 'video', 1, 'level');
INSERT INTO user_limits (user_id, limit_type, max_usage) VALUES (:'ann', 'videos_total', 'NaN');
INSERT INTO plan_limits (plan, limit_type, max_usage) VALUES ('pro', 'videos_total', '-Infinity');
\set VERBOSITY default
SELECT count(*) FROM usage_limits WHERE limit_type = 'x';

-- Which periods suit which kind
SELECT p, a.* FROM unnest('{1 second,90 minutes,30 days,100 years}'::text[]) AS p,
       _usage_window('anchored', p::interval, 'UTC', '2026-01-31', '2026-03-10 12:00+00') AS a;
CREATE FUNCTION pg_temp.suits(kind text, period text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM _usage_window(kind, period::interval, 'UTC', '2026-01-31', '2026-03-10');
    RETURN 'fits';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT p, pg_temp.suits('calendar', p) AS calendar, pg_temp.suits('anchored', p) AS anchored, pg_temp.suits('sliding', p) AS sliding
  FROM unnest('{1 hour,1 day,1 week,1 month,3 months,1 year,1 second,36 hours,2 days,2 months,10 years,
                0,-1 day,-1 month,1 day -1 hour,1 month 1 day,1 month -30 days,0.5 seconds,101 years,100000 days}'::text[]) AS p;

-- A calendar window is the one of its zone, not of the session
CREATE FUNCTION pg_temp.span(kind text, period interval, zone text, anchor timestamptz, at timestamptz) RETURNS text
LANGUAGE sql AS $$
    SELECT format('%s to %s, %s', window_start AT TIME ZONE zone, window_end AT TIME ZONE zone, window_end - window_start)
      FROM _usage_window(kind, period, zone, anchor, at) $$;
SET TimeZone = 'Asia/Tokyo';
SELECT zone, p, pg_temp.span('calendar', p::interval, zone, '2000-01-01', '2026-03-01 02:30+00')
  FROM unnest('{UTC,America/Los_Angeles,Asia/Kolkata}'::text[]) AS zone,
       unnest('{1 hour,1 day,1 week,1 month,3 months,1 year}'::text[]) AS p;
SET TimeZone = 'UTC';

-- Days on which the clock is changed have 23 and 25 hours; the hour that comes twice is two hours
SELECT at, p, pg_temp.span('calendar', p::interval, 'Europe/Berlin', '2000-01-01', at)
  FROM unnest('{2026-03-29 00:30+00,2026-03-29 01:30+00,2026-10-25 00:30+00,2026-10-25 01:30+00}'::timestamptz[]) AS at,
       unnest('{1 hour,1 day}'::text[]) AS p;

-- Anchored months clamp to the length of the month and do not drift; days keep their local time
SELECT k, pg_temp.span('anchored', '1 month', 'UTC', '2026-01-31 10:00+00', date '2026-01-31' + time '10:00' + k * interval '1 month')
  FROM generate_series(-2, 4) AS k;
SELECT pg_temp.span('anchored', '1 year', 'UTC', '2024-02-29 00:00+00', at)
  FROM unnest('{2026-02-27 12:00+00,2026-02-28 12:00+00,2028-02-28 12:00+00,2028-02-29 12:00+00}'::timestamptz[]) AS at;
SELECT pg_temp.span('anchored', '1 day', 'Europe/Berlin', '2026-01-01 08:00+00', at)
  FROM unnest('{2026-03-28 12:00+00,2026-03-29 12:00+00}'::timestamptz[]) AS at;
SELECT pg_temp.span('anchored', '24 hours', 'Europe/Berlin', '2026-01-01 08:00+00', '2026-03-29 12:00+00');
SELECT * FROM _usage_window('lifetime', '1 day', 'UTC', '2026-01-01', '2026-03-10');

-- A billing period is followed by others like it: of months, if it is of months, else of its length
CREATE FUNCTION pg_temp.billed(first text, next text, at text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s to %s', window_start AT TIME ZONE 'UTC', window_end AT TIME ZONE 'UTC')
      FROM _billing_window(first::timestamptz, next::timestamptz, 'UTC', at::timestamptz) $$;
SELECT first, next, at, pg_temp.billed(first, next, at) FROM (VALUES
    ('2026-01-31', '2026-02-28', '2026-03-31'), ('2026-02-28', '2026-03-31', '2026-03-31'), ('2026-01-31', '2026-02-28', '2026-01-30'),
    ('2026-03-10', '2026-04-09', '2026-06-01'), ('2024-02-29', '2025-02-28', '2028-03-01')) AS v (first, next, at);
SELECT _billing_window('2026-03-10', '2026-03-10', 'UTC', '2026-03-10');
\echo :LAST_ERROR_SQLSTATE

-- The demo plan: its limits for whoever is on it; the day it ends, it ends for old users and new
SELECT install_demo_plan();
SELECT install_demo_plan();
SELECT name, description FROM plans WHERE plan = 'demo';
SET usage_tracking.default_plan = 'demo';
SELECT set_user_plan('00000000-0000-0000-0000-0000000000d1', 'pro');
SELECT set_user_plan('00000000-0000-0000-0000-0000000000d2', 'demo', '2026-03-10 12:00+00'::timestamptz + '1 year',
                     '2026-03-10 12:00+00', '2027-03-10 12:00+00');
SELECT consume_usage('00000000-0000-0000-0000-0000000000d3', 'content') \g /dev/null
SELECT right(user_id::text, 2) AS who, plan, limit_type, used, max_usage, reset_at FROM user_usage
 WHERE limit_type IN ('content_generations', 'chat_messages') AND user_id >= '00000000-0000-0000-0000-0000000000d1' ORDER BY 1, 3;
SET usage_tracking.default_plan = 'free';
SELECT consume_usage('00000000-0000-0000-0000-0000000000d4', 'content') \g /dev/null
SELECT right(user_id::text, 2) AS who, plan, limit_type, used, max_usage, reset_at FROM user_usage
 WHERE limit_type = 'content_generations' AND user_id >= '00000000-0000-0000-0000-0000000000d1' ORDER BY 1;
SET usage_tracking.clock = '2027-03-10 12:00+00';
SELECT plan, max_usage FROM user_usage WHERE limit_type = 'content_generations' AND user_id = '00000000-0000-0000-0000-0000000000d2';
ROLLBACK;
