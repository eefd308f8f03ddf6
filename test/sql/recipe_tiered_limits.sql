/* recipe_tiered_limits: doc/recipes/tiered-limits.sql makes the system of a design
 * with a limits table of one column a tier, daily counts, events, subscriptions
 * and credits.  Its statements, in their order, and what was wrong with it.
 */
\set ON_ERROR_STOP off
\set SHOW_CONTEXT never
\getenv dir PG_ABS_SRCDIR
\set recipe :dir '/../doc/recipes/tiered-limits.sql'
\set olddb :DBNAME
CREATE ROLE regress_ut_tiers_user;
CREATE ROLE regress_ut_tiers_server;
CREATE DATABASE regress_ut_tiers;
\c regress_ut_tiers
CREATE SCHEMA meter;
CREATE EXTENSION usage_tracking SCHEMA meter;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
\set dan '00000000-0000-0000-0000-00000000000d'
\set project '11112222333344445555666677778888'
CREATE SCHEMA app;
CREATE TABLE app.users (id uuid PRIMARY KEY, email text);
CREATE TABLE app.projects (id integer PRIMARY KEY, user_id uuid REFERENCES app.users ON DELETE CASCADE);
INSERT INTO app.users VALUES (:'ann', 'ann@example.com'), (:'bob', 'bob@example.com'), (:'cat', 'cat@example.com');
\set schema app
\set users app.users
\set role regress_ut_tiers_user
\set server regress_ut_tiers_server
\set ECHO none
SET client_min_messages = warning;
\i :recipe
\set ECHO all
\set ON_ERROR_STOP off
SET search_path = app;

-- Not configured is an error, and the hook does not let through: D2-4
SELECT check_action_allowed(:'ann', 'generate_scene');
SELECT use_usage_limits(:'ann') - 'stats';

-- The first seed data
INSERT INTO usage_limits_config (limit_type, free_tier_limit, pro_tier_limit, description) VALUES
  ('prompts_daily', 10, 100, 'AI generation prompts per day'),
  ('exports_daily', 3, 20, 'Video exports per day'),
  ('exports_monthly', 10, 200, 'Video exports per month'),
  ('projects_total', 5, -1, 'Total projects allowed'),
  ('storage_mb', 500, 10000, 'Storage limit in MB'),
  ('concurrent_renders', 1, 3, 'Simultaneous video renders'),
  ('api_calls_hourly', 60, 600, 'API calls per hour'),
  ('web_agent_daily', 5, 50, 'Web agent searches per day');
-- D2-8: team has what was said, and nobody said unlimited. D2-2: each limit counts the type that is tracked
SELECT limit_type, free_tier_limit, pro_tier_limit, team_tier_limit, enterprise_tier_limit, usage_type, is_active, description
  FROM usage_limits_config ORDER BY limit_type;
-- D2-10: what is a level is a level, and a window is what the end of the name says
INSERT INTO usage_limits_config (limit_type, free_tier_limit) VALUES ('daily_digest_monthly', 2), ('prompts_weekly', 50), ('seats_total', 4);
INSERT INTO usage_limits_config (limit_type, free_tier_limit, usage_type) VALUES ('renders_yearly', 7, 'render');
SELECT limit_type, usage_type, window_kind, period, max_usage FROM meter.usage_limits ORDER BY limit_type;
INSERT INTO usage_limits_config (limit_type, free_tier_limit) VALUES ('videos', 2);
DELETE FROM usage_limits_config WHERE limit_type IN ('daily_digest_monthly', 'seats_total', 'renders_yearly');
UPDATE usage_limits_config SET limit_type = 'prompts_hourly' WHERE limit_type = 'prompts_weekly';
DELETE FROM usage_limits_config WHERE limit_type LIKE 'prompts_w%' OR limit_type = 'prompts_hourly';

-- Figures are changed by statements, and the change is recorded: D2-21
UPDATE usage_limits_config SET pro_tier_limit = 150, team_tier_limit = 400, free_tier_limit = 12, is_active = false WHERE limit_type = 'prompts_daily';
UPDATE usage_limits_config SET description = 'Prompts' WHERE limit_type = 'prompts_daily';
SELECT limit_type, free_tier_limit, pro_tier_limit, team_tier_limit, enterprise_tier_limit, is_active, description, created_at, updated_at
  FROM usage_limits_config WHERE limit_type = 'prompts_daily';
SELECT table_name, action, old ->> 'max_usage', new ->> 'max_usage' FROM meter.usage_changes
 WHERE new ->> 'limit_type' = 'prompts_daily' AND table_name = 'plan_limits' AND action = 'UPDATE' ORDER BY id;
UPDATE usage_limits_config SET team_tier_limit = NULL, is_active = true WHERE limit_type = 'prompts_daily';
-- The second seed data, which met the first: D2-16
   INSERT INTO usage_limits_config (limit_type, free_tier_limit, pro_tier_limit, description)
   VALUES 
     ('prompts_daily', 10, 100, 'AI generation prompts per day'),
     ('exports_daily', 3, 20, 'Video exports per day'),
     ('projects_total', 5, -1, 'Total projects allowed');
SELECT limit_type, free_tier_limit, pro_tier_limit, team_tier_limit, description FROM usage_limits_config
 WHERE limit_type = ANY ('{prompts_daily,exports_daily,projects_total}') ORDER BY limit_type;
UPDATE usage_limits_config SET pro_tier_limit = -2 WHERE limit_type = 'prompts_daily';

-- Subscriptions. D2-8: a tier that is none is refused
INSERT INTO user_subscriptions (user_id, tier, stripe_customer_id, expires_at)
VALUES (:'bob', 'pro', 'cus_7', '2026-03-20');
UPDATE user_subscriptions SET tier = 'por' WHERE user_id = :'cat';
UPDATE user_subscriptions SET tier = 'enterprise', updated_at = now() WHERE user_id = :'cat';
UPDATE user_subscriptions SET metadata = '{"seats": 3}' WHERE user_id = :'ann';
SELECT plan, metadata FROM meter.user_subscriptions WHERE user_id = :'ann';
SELECT right(user_id::text, 1), tier, status, stripe_customer_id, started_at, expires_at, metadata, created_at, updated_at FROM user_subscriptions ORDER BY user_id;

-- trackUsage: an INSERT. D2-1: with a subtype. D2-12: what failed is told, and counts where it is to
INSERT INTO usage_events (user_id, event_type, event_subtype, project_id, scene_id, tokens_used, credits_used, duration_ms, status, error_message, metadata)
VALUES (:'ann', 'prompt', 'gpt-4o-mini', :'project', :'project', 420, NULL, 1800, 'success', NULL, '{"prompt": "A boat", "hasImage": false}'),
       (:'ann', 'prompt', 'gpt-4o-mini', :'project', NULL, 0, NULL, 900, 'failed', 'timeout', NULL),
       (:'ann', 'export', 'mp4', :'project', NULL, NULL, NULL, 5000, 'success', NULL, '{"format": "mp4", "quality": "high"}')
RETURNING id, event_type, status;
INSERT INTO usage_events (user_id, event_type) VALUES (:'ann', 'prompts');
SELECT id, event_type, event_subtype, project_id = :'project' AS project, scene_id = :'project' AS scene, tokens_used, credits_used,
       duration_ms, status, error_message, metadata, created_at, quantity FROM usage_events ORDER BY id;
SELECT right(user_id::text, 1), usage_type, usage_date, count, metadata, created_at FROM user_usage ORDER BY 1, 2, 3;
INSERT INTO user_usage (user_id, usage_type) VALUES (:'ann', 'prompt');

-- checkLimit, by a limit, by a type, by an action. D2-2: what is used is seen
SELECT check_action_allowed(:'ann', 'prompts_daily');
SELECT check_action_allowed(:'ann', 'export_video');
SELECT check_action_allowed(:'bob', 'create_project');
SELECT check_action_allowed(:'ann', 'delete_everything');
SELECT check_action_allowed(:'ann', 'no such thing');

-- D2-11: exports are bound by the day and by the month, whichever is used up; message and cause
SELECT d.allowed, d.limit_type, d.used FROM meter.consume_usage(:'ann', 'export', 2) AS d;
SELECT jsonb_pretty(check_action_allowed(:'ann', 'export_video'));
SET usage_tracking.clock = '2026-03-11 12:00+00';
SELECT d.allowed, d.limit_type, d.used FROM meter.consume_usage(:'ann', 'export', 3) AS d;
SET usage_tracking.clock = '2026-03-12 12:00+00';
SELECT d.allowed, d.limit_type, d.used FROM meter.consume_usage(:'ann', 'export', 3) AS d;
SET usage_tracking.clock = '2026-03-13 12:00+00';
SELECT d.allowed, d.limit_type, d.used FROM meter.consume_usage(:'ann', 'export') AS d;
SELECT check_action_allowed(:'ann', 'export_video') ->> 'message';
SET usage_tracking.clock = '2026-03-10 12:00+00';

-- D2-3: a look takes nothing, a use takes at once, and an amount must fit as a whole
SELECT count(*) FILTER (WHERE d.allowed), count(*) FROM generate_series(1, 500) AS n, LATERAL meter.consume_usage(:'dan', 'prompt', n * 0 + 1) AS d;
SELECT d.allowed, d.used, d.max_usage FROM meter.check_usage_limit(:'bob', 'prompt', 100) AS d;
SELECT d.allowed, d.used, d.max_usage FROM meter.check_usage_limit(:'bob', 'prompt', 101) AS d;

-- withTracking: reserve, work, and one INSERT that settles it, whatever came of it; repeated, it records once
SELECT d.allowed, d.used, d.id AS reservation FROM meter.reserve_usage(:'bob', 'export', expires_in => '1 hour') AS d \gset
SELECT :'allowed', :'used';
INSERT INTO usage_events (user_id, event_type, event_subtype, duration_ms, reservation_id) VALUES (:'bob', 'export', 'mp4', 61000, :reservation) RETURNING id AS event \gset
INSERT INTO usage_events (user_id, event_type, event_subtype, duration_ms, reservation_id) VALUES (:'bob', 'export', 'mp4', 61000, :reservation) RETURNING id = :event;
SELECT d.used, d.id AS reservation FROM meter.reserve_usage(:'bob', 'export') AS d \gset
SELECT :'used', used, held FROM meter.user_usage WHERE user_id = :'bob' AND limit_type = 'exports_daily';
INSERT INTO usage_events (user_id, event_type, event_subtype, status, error_message, reservation_id) VALUES (:'bob', 'export', 'mp4', 'failed', 'disk full', :reservation);
SELECT used, held FROM meter.user_usage WHERE user_id = :'bob' AND limit_type = 'exports_daily';

-- D2-12: a limit can count what failed, because it cost money
UPDATE meter.usage_limits SET statuses = '{success,failed}' WHERE limit_type = 'exports_daily';
SELECT used FROM meter.user_usage WHERE user_id = :'bob' AND limit_type = 'exports_daily';
UPDATE meter.usage_limits SET statuses = '{success}' WHERE limit_type = 'exports_daily';

-- D2-4: a limit that is switched off is counted and shown all the same
UPDATE usage_limits_config SET is_active = false WHERE limit_type = 'prompts_daily';
SELECT d.allowed, d.reason, d.used, d.max_usage FROM meter.check_usage_limit(:'dan', 'prompt') AS d;
UPDATE usage_limits_config SET is_active = true WHERE limit_type = 'prompts_daily';
SELECT check_action_allowed(:'dan', 'generate_scene') -> 'allowed';

-- D2-5: an hour is an hour, and its end comes
SET usage_tracking.clock = '2026-03-10 23:50+00';
SELECT d.used, d.reset_at FROM meter.consume_usage(:'cat', 'api_call', 60) AS d;
SELECT d.allowed, d.reset_at FROM meter.consume_usage(:'cat', 'api_call') AS d;
SET usage_tracking.clock = '2026-03-11 00:00+00';
SELECT d.allowed, d.used, d.reset_at FROM meter.consume_usage(:'cat', 'api_call') AS d;
SET usage_tracking.clock = '2026-03-10 12:00+00';
-- D2-6: a month begins on its first day wherever the server stands; D2-7: one clock, the user's if he has one
SET TimeZone = 'Asia/Tokyo';
SELECT limit_type, window_start, reset_at FROM meter.user_usage WHERE user_id = :'ann' AND limit_type = 'exports_monthly';
SET TimeZone = 'UTC';
SELECT meter.set_user_clock(:'ann', 'America/New_York');
SELECT limit_type, window_start, reset_at FROM meter.user_usage WHERE user_id = :'ann' AND limit_type = ANY ('{exports_monthly,exports_daily}') ORDER BY 1;
UPDATE meter.user_subscriptions SET time_zone = NULL WHERE user_id = :'ann';

-- D2-9: what is over is over; D2-8: enterprise has what was said of it
SELECT get_user_limits(:'bob') #> '{prompts,limit}', get_user_limits(:'bob') -> 'tier';
SET usage_tracking.clock = '2026-03-20 00:00+00';
SELECT get_user_limits(:'bob') #> '{prompts,limit}', get_user_limits(:'bob') -> 'tier';
SET usage_tracking.clock = '2026-03-10 12:00+00';
UPDATE user_subscriptions SET status = 'paused' WHERE user_id = :'bob';
SELECT get_user_limits(:'bob') #> '{prompts,limit}', get_user_limits(:'bob') -> 'tier';
UPDATE user_subscriptions SET status = 'active' WHERE user_id = :'bob';
UPDATE usage_limits_config SET enterprise_tier_limit = -1 WHERE limit_type = 'prompts_daily';
SELECT check_action_allowed(:'cat', 'generate_scene');

-- D2-10: storage is a level, renders are leases, projects go down again; D2-11: and they bind
SELECT d.allowed, d.used FROM meter.add_usage_level(:'ann', 'storage_mb', 480) AS d;
SELECT d.allowed, d.used FROM meter.add_usage_level(:'ann', 'storage_mb', 30) AS d;
SELECT d.allowed, d.used FROM meter.acquire_lease(:'ann', 'concurrent_renders') AS d;
SELECT check_action_allowed(:'ann', 'render_video') ->> 'message', check_action_allowed(:'ann', 'upload_file') ->> 'allowed';
SELECT meter.attach_usage_gauge('app.projects', 'projects_total', 'user_id');
INSERT INTO projects SELECT n, :'ann' FROM generate_series(1, 5) AS n;
INSERT INTO projects VALUES (6, :'ann');
SELECT check_action_allowed(:'ann', 'create_project') ->> 'message';
DELETE FROM projects WHERE id = 1;
SELECT check_action_allowed(:'ann', 'create_project');

-- The hook, and what the component shows: "used / limit", a bar, "Resets in 12h 0m"
SET usage_tracking.clock = '2026-03-10 18:29:30+00';
SELECT jsonb_pretty(use_usage_limits(:'ann') #- '{stats,recentEvents}');
SET usage_tracking.clock = '2026-03-10 12:00+00';
-- getUserStats
SELECT s -> 'daily', s -> 'totals', jsonb_array_length(s -> 'recentEvents'), s #> '{recentEvents,0,usage_type}' FROM meter.get_user_stats(:'bob', 30) AS s;

-- D2-15: top users with their last use, a window of the days that are shown; the funnel begins with who registered and
-- has an order; failures of few events, with their number
INSERT INTO usage_events (user_id, event_type) VALUES (:'ann', 'project_create');
SELECT right(user_id::text, 1), uses, last_used FROM meter.get_top_users('export', 30) AS t;
SELECT day, usage_type, events, failed, unique_users FROM meter.get_usage_trends(30) WHERE events > 0;
SELECT step, name, users, percent FROM meter.get_conversion_funnel('{project_create,prompt,export}', 30);
SELECT usage_type, event_subtype, events, failed, error_rate, is_small_sample FROM meter.get_error_rates(7, 'subtype') WHERE event_subtype IS NOT NULL;

-- Credits, D2-13: one row a user; a webhook that comes twice pays once; the balance is computed, and not below zero
SELECT meter.grant_credits(:'ann', 100, reference_id => 'pi_1') = meter.grant_credits(:'ann', 100, reference_id => 'pi_1');
SELECT d.allowed, d.reason, d.remaining FROM meter.spend_credits(:'ann', 101, 'too much') AS d;
SELECT d.allowed, d.remaining FROM meter.spend_credits(:'ann', 30, 'poster') AS d;
SELECT right(user_id::text, 1), balance, lifetime_earned, lifetime_spent, last_refill_at, created_at FROM user_credits ORDER BY 1;
SELECT right(user_id::text, 1), amount, balance_after, transaction_type, reference_id, created_at FROM credit_transactions ORDER BY id;

-- Each line of the environment is a setting that something reads: D2-18
BEGIN;
SET LOCAL usage_tracking.limit_overrides = 'prompts_daily.free=11, prompts_daily.pro=101, exports_daily.free=4, exports_daily.pro=21, projects_total.free=6, projects_total.pro=-1';
SELECT check_action_allowed(:'ann', 'prompts_daily') -> 'limit', check_action_allowed(:'bob', 'prompts_daily') -> 'limit',
       check_action_allowed(:'ann', 'exports_daily') -> 'limit', check_action_allowed(:'bob', 'exports_daily') -> 'limit',
       check_action_allowed(:'ann', 'projects_total') -> 'limit', check_action_allowed(:'bob', 'projects_total') -> 'limit';
SET LOCAL usage_tracking.enforce_limits = off;
SELECT d.allowed, d.reason FROM meter.consume_usage(:'dan', 'prompt', 9) AS d;
SET LOCAL usage_tracking.enabled = off;
SELECT d.allowed, d.reason, d.id FROM meter.consume_usage(:'dan', 'prompt', 9) AS d;
SET LOCAL usage_tracking.analytics_enabled = off;
SELECT count(*) FROM meter.get_usage_trends(30);
ROLLBACK;
BEGIN;
SET LOCAL usage_tracking.credits_enabled = on;
SET LOCAL usage_tracking.credit_refills = 'free=100, pro=1000';
SELECT meter.set_credit_cost('prompt', 10), meter.set_credit_cost('export', 50);
SELECT meter.credit_balance(:'bob'), meter.credit_balance(:'dan');
SELECT d.allowed FROM meter.consume_usage(:'bob', 'prompt', 3) AS d;
SELECT balance, last_refill_at FROM user_credits WHERE user_id = :'bob';
ROLLBACK;

-- D2-14: a user sees himself; figures of everybody, and changes, are an admin's or the owner's
SET usage_tracking.user_id = :'ann';
SET ROLE regress_ut_tiers_user;
SELECT DISTINCT right(user_id::text, 1) FROM user_usage;
SELECT right(user_id::text, 1), balance FROM user_credits;
SELECT get_user_limits(:'ann') -> 'tier', use_usage_limits(:'ann') -> 'canExport';
SELECT get_user_limits(:'bob');
SELECT check_action_allowed(:'bob', 'export_video');
SELECT * FROM usage_events;
SELECT * FROM usage_limits_config;
SELECT * FROM user_subscriptions;
UPDATE usage_limits_config SET free_tier_limit = 1000;
INSERT INTO usage_limits_config (limit_type, free_tier_limit) VALUES ('prompts_daily', 1000);
UPDATE user_subscriptions SET tier = 'enterprise';
INSERT INTO usage_events (user_id, event_type, quantity) VALUES (:'ann', 'prompt', -5);
SELECT * FROM meter.get_top_users('prompt', 30);
SELECT meter.admin_dashboard(30);
RESET ROLE;
RESET usage_tracking.user_id;
SET ROLE regress_ut_tiers_server;
INSERT INTO usage_events (user_id, event_type, event_subtype) VALUES (:'bob', 'web_agent', 'search') RETURNING event_type;
SELECT right(user_id::text, 1), usage_type, count FROM user_usage WHERE usage_type = 'web_agent';
SELECT check_action_allowed(:'bob', 'web_search') -> 'current';
SELECT count(*) FROM usage_events;
RESET ROLE;
-- Also where privileges were given away: the views run with the rights of their reader
GRANT ALL ON ALL TABLES IN SCHEMA app TO regress_ut_tiers_user;
SET usage_tracking.user_id = :'ann';
SET ROLE regress_ut_tiers_user;
SELECT count(*) FROM usage_events;
UPDATE user_subscriptions SET tier = 'enterprise';
INSERT INTO usage_limits_config (limit_type, free_tier_limit) VALUES ('prompts_daily', 1000);
INSERT INTO usage_events (user_id, event_type, quantity) VALUES (:'ann', 'prompt', 1);
SELECT DISTINCT right(user_id::text, 1) FROM user_usage;
RESET ROLE;
RESET usage_tracking.user_id;
SELECT * FROM meter.usage_security_check();

-- D2-19: a user who has used something can be deleted
DELETE FROM users WHERE id = :'ann';
SELECT count(*) FROM meter.deleted_users;
SELECT * FROM meter.reconcile_usage();

-- A second run says that it was done
\setenv UT_DATABASE :DBNAME
\setenv UT_RECIPE :recipe
\setenv PGOPTIONS '-c usage_tracking.clock=2026-03-10T12:00Z'
\! psql -X -q -d "$UT_DATABASE" -v schema=app -f "$UT_RECIPE" 2>&1 | sed -n 's/^psql:.*: ERROR/ERROR/p'
-- What is shown does not hang on whether the session has loaded the library
\! psql -X -q -A -t -d "$UT_DATABASE" -c "SELECT count(tier) FROM app.user_subscriptions" 2>&1
\! psql -X -q -A -t -d "$UT_DATABASE" -c "SELECT sum(count) FROM app.user_usage WHERE usage_type = 'api_call'" 2>&1

\c :olddb
DROP DATABASE regress_ut_tiers;
DROP ROLE regress_ut_tiers_user;
DROP ROLE regress_ut_tiers_server;
