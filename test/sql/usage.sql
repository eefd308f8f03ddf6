/* usage: may it, and make it happen
 *
 * Decision rows to the letter, for one limit and for several.  The clock stands
 * at noon of a Tuesday, so a day has 43200 seconds left.
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\set decision 'allowed, reason, limit_type, used, max_usage AS max, remaining AS left, reset_at, retry_after, id IS NOT NULL AS recorded'
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
\set dan '00000000-0000-0000-0000-00000000000d'
\set eve '00000000-0000-0000-0000-00000000000e'
BEGIN;
SELECT install_default_plans();

-- One hard limit: looking takes nothing, a refusal records nothing
SELECT define_usage_limit('videos_daily', 'video', 3);
SELECT :decision FROM check_usage_limit(:'ann', 'video');
SELECT :decision FROM consume_usage(:'ann', 'video', 2);
SELECT :decision FROM check_usage_limit(:'ann', 'videos_daily', 1);
SELECT :decision FROM consume_usage(:'ann', 'video', 2);
SELECT :decision FROM consume_usage(:'ann', 'video', 0.5);
SELECT :decision FROM consume_usage(:'ann', 'video', 0.500000001);
SELECT :decision FROM consume_usage(:'ann', 'video', 0.5);
SELECT :decision FROM check_usage_limit(:'ann', 'video');
SELECT :decision FROM check_usage_limit(:'ann', 'video', 0);
SELECT usage_type, status, quantity, overage, occurred_at FROM usage_events ORDER BY id;
SET usage_tracking.clock = '2026-03-10 23:59:59.5+00';
SELECT :decision FROM check_usage_limit(:'ann', 'video');
SET usage_tracking.clock = '2026-03-11 00:00+00';
SELECT :decision FROM check_usage_limit(:'ann', 'video');
SET usage_tracking.clock = '2026-03-10 12:00+00';

-- Unlimited: no limit at all, or -1
SELECT define_usage_type('ping');
SELECT :decision FROM consume_usage(:'ann', 'ping', 1000000);
SELECT define_usage_limit('pings_daily', 'ping', -1);
SELECT :decision FROM check_usage_limit(:'ann', 'ping');
SELECT :decision FROM consume_usage(:'ann', 'ping', 5);

-- An unregistered name is never "allowed"
SELECT check_usage_limit(:'ann', 'vidoe');
\echo :LAST_ERROR_SQLSTATE
SELECT consume_usage(:'ann', 'vidoe');
SELECT track_usage(:'ann', 'vidoe');
SELECT consume_usage(:'ann', 'video', 0);

-- A soft limit lets pass and says so; a fact is recorded whatever the limits say
SELECT define_usage_limit('exports_daily', 'export', 2, enforcement => 'soft');
SELECT :decision FROM consume_usage(:'ann', 'export', 2);
SELECT :decision FROM check_usage_limit(:'ann', 'export');
SELECT :decision FROM consume_usage(:'ann', 'export', 3);
SELECT track_usage(:'bob', 'video', 1) IS NOT NULL AS recorded;
SELECT track_usage(:'bob', 'video', 5) IS NOT NULL AS recorded;
SELECT track_usage(:'bob', 'video', 0.25, status => 'failed') IS NOT NULL AS recorded;
SELECT track_usage(:'bob', 'video', 0.25) IS NOT NULL AS recorded;
SELECT usage_type, status, quantity, overage FROM usage_events WHERE overage IS NOT NULL OR user_id = :'bob' ORDER BY id;
SELECT :decision FROM check_usage_limit(:'bob', 'video', 0.1);

-- not_enforced: would be denied, but for a switch; it still counts
SELECT define_usage_limit('beta_daily', 'beta', 1, is_active => false);
SELECT :decision FROM consume_usage(:'ann', 'beta');
SELECT :decision FROM consume_usage(:'ann', 'beta', 2);
SET usage_tracking.enforce_limits = off;
SELECT :decision FROM consume_usage(:'cat', 'video', 3);
SELECT :decision FROM consume_usage(:'cat', 'video', 3);
SELECT :decision FROM consume_usage(:'cat', 'export', 3);
RESET usage_tracking.enforce_limits;
SELECT :decision FROM consume_usage(:'cat', 'video');
SELECT count(*) AS before FROM usage_events \gset
SET usage_tracking.enabled = off;
SELECT :decision FROM consume_usage(:'ann', 'video', 100);
SELECT :decision FROM check_usage_limit(:'ann', 'video', 100);
SELECT track_usage(:'ann', 'video', 100) AS id;
RESET usage_tracking.enabled;
SELECT count(*) - :before AS recorded_meanwhile FROM usage_events;

-- Several limits deny: the one that resets last answers, never being last of all
SELECT define_usage_limit('a_hourly', 'job', 1, period => '1 hour');
SELECT define_usage_limit('b_monthly', 'job', 2, period => '1 month');
SELECT define_usage_limit('c_daily', 'job', 2);
SELECT define_usage_limit('d_daily', 'job', 2);
SELECT define_usage_limit('e_total', 'job', 4, window_kind => 'lifetime');
SELECT :decision FROM check_usage_limit(:'ann', 'job', 2);
SELECT :decision FROM check_usage_limit(:'ann', 'job', 3);
SELECT :decision FROM check_usage_limit(:'ann', 'job', 5);
UPDATE usage_limits SET max_usage = 9 WHERE limit_type = ANY ('{b_monthly,e_total}');
SELECT :decision FROM check_usage_limit(:'ann', 'job', 3);

-- None denies: the smallest part left answers
UPDATE usage_limits SET max_usage = CASE limit_type WHEN 'a_hourly' THEN 10 WHEN 'b_monthly' THEN 100 ELSE 1000 END
 WHERE usage_type = 'job';
SELECT :decision FROM consume_usage(:'ann', 'job', 5);
SET usage_tracking.clock = '2026-03-10 13:00+00';
SELECT :decision FROM check_usage_limit(:'ann', 'job');
SELECT :decision FROM consume_usage(:'ann', 'job', 0.3);
UPDATE usage_limits SET max_usage = -1 WHERE limit_type <> 'e_total' AND usage_type = 'job';
SELECT :decision FROM check_usage_limit(:'ann', 'job');
UPDATE usage_limits SET max_usage = -1 WHERE usage_type = 'job';
SELECT :decision FROM check_usage_limit(:'ann', 'job');
SET usage_tracking.clock = '2026-03-10 12:00+00';

-- A maximum of 0 has nothing left, and stops only what it measures
SELECT define_usage_limit('words_daily', 'write', 0, measure => 'tokens');
SELECT define_usage_limit('writes_daily', 'write', 1);
SELECT :decision FROM consume_usage(:'ann', 'write');
SELECT :decision FROM consume_usage(:'bob', 'write', 0, tokens => 1);

-- All or none: what one limit refuses, no other has counted
SELECT define_usage_limit('wide_daily', 'page', 10);
SELECT define_usage_limit('narrow_daily', 'page', 2);
SELECT :decision FROM consume_usage(:'ann', 'page', 2);
SELECT :decision FROM consume_usage(:'ann', 'page', 1);
SELECT :decision FROM check_usage_limit(:'ann', 'wide_daily', 0);
SELECT :decision FROM check_usage_limit(:'ann', 'narrow_daily', 0);

-- What is measured: events, quantity or tokens; of one type or of all
SELECT define_usage_limit('calls', 'chat', 10, measure => 'events');
SELECT define_usage_limit('units', 'chat', 10, measure => 'quantity');
SELECT define_usage_limit('tokens', 'chat', 1000, measure => 'tokens');
SELECT define_usage_limit('everything', NULL, 100, measure => 'events');
SELECT allowed FROM consume_usage(:'dan', 'chat', 2.5, tokens => 300, cost => 0.01);
SELECT allowed FROM consume_usage(:'dan', 'chat', 0, tokens => 1);
SELECT allowed FROM consume_usage(:'dan', 'ping');
SELECT limit_type, (check_usage_limit(:'dan', limit_type, 0)).used
  FROM usage_limits WHERE limit_type = ANY ('{calls,units,tokens,everything}') ORDER BY limit_type;
DELETE FROM usage_limits WHERE limit_type = 'everything';

-- Which statuses count: success, unless the limit lists others
SELECT define_usage_limit('tries', 'call', 10, statuses => '{success,failed,rate_limited}');
SELECT define_usage_limit('failures', 'call', 10, statuses => '{failed}');
SELECT define_usage_limit('successes', 'call', 10);
SELECT count(track_usage(:'dan', 'call', status => s))
  FROM unnest('{success,failed,error,cancelled,rate_limited}'::text[]) AS s;
SELECT limit_type, (check_usage_limit(:'dan', limit_type, 0)).used
  FROM usage_limits WHERE usage_type = 'call' ORDER BY limit_type;
SELECT status, count(*) FROM usage_events WHERE usage_type = 'call' GROUP BY status ORDER BY status;

-- Whose maximum: the user's own, else his plan's, else the limit's
SELECT set_plan_limit('pro', 'videos_daily', 10);
SELECT set_user_plan(:'dan', 'pro');
SELECT set_user_plan(:'eve', 'team');
SELECT max_usage AS of_plan FROM check_usage_limit(:'dan', 'video');
SELECT max_usage AS of_limit FROM check_usage_limit(:'eve', 'video');
SELECT set_user_limit(:'dan', 'videos_daily', 20, '2026-03-10 12:00:00.000001+00', 'a good customer');
SELECT max_usage AS his_own FROM check_usage_limit(:'dan', 'video');
SELECT set_user_limit(:'dan', 'videos_daily', 20, '2026-03-10 12:00+00', 'no longer');
SELECT max_usage AS of_plan_again FROM check_usage_limit(:'dan', 'video');
SELECT set_user_limit(:'dan', 'videos_daily', 0);
SELECT max_usage AS none_at_all FROM check_usage_limit(:'dan', 'video');
SELECT set_user_limit(:'dan', 'videos_daily', NULL);
SELECT max_usage AS of_plan_again FROM check_usage_limit(:'dan', 'video');

-- Which subscriptions give their plan
INSERT INTO user_subscriptions (user_id, plan, status, expires_at)
SELECT ('00000000-0000-0000-0001-' || lpad(row_number() OVER ()::text, 12, '0'))::uuid, p, s, e::timestamptz
  FROM (VALUES ('pro', 'active', NULL), ('pro', 'active', '2026-03-10 12:00:00.000001+00'),
               ('pro', 'active', '2026-03-10 12:00+00'), ('pro', 'active', 'infinity'),
               ('pro', 'trialing', NULL), ('pro', 'past_due', NULL),
               ('pro', 'cancelled', '2026-03-11'), ('pro', 'cancelled', '2026-03-09'),
               ('pro', 'unpaid', NULL), ('pro', 'paused', NULL), ('pro', 'expired', NULL),
               (NULL, 'active', NULL)) AS v (p, s, e);
SELECT plan, status, expires_at, (check_usage_limit(user_id, 'video')).max_usage
  FROM user_subscriptions WHERE user_id::text LIKE '00000000-0000-0000-0001-%' ORDER BY user_id;
SELECT max_usage AS never_seen FROM check_usage_limit(gen_random_uuid(), 'video');
SET usage_tracking.default_plan = 'pro';
SELECT max_usage AS never_seen FROM check_usage_limit(gen_random_uuid(), 'video');
SELECT count(*) AS on_pro FROM user_subscriptions AS s
 WHERE s.user_id::text LIKE '00000000-0000-0000-0001-%' AND (check_usage_limit(s.user_id, 'video')).max_usage = 10;
RESET usage_tracking.default_plan;

-- A late event counts in the window it belongs to
SELECT track_usage(:'eve', 'video', 2, occurred_at => '2026-03-09 23:59:59.999999+00') IS NOT NULL AS recorded;
SELECT used AS today FROM check_usage_limit(:'eve', 'video');
SET usage_tracking.clock = '2026-03-09 23:00+00';
SELECT used AS yesterday FROM check_usage_limit(:'eve', 'video');
SET usage_tracking.clock = '2026-03-10 12:00+00';
SELECT track_usage(:'eve', 'video', occurred_at => '2026-02-03 12:00+00') IS NOT NULL AS just_recent_enough;
SELECT track_usage(:'eve', 'video', occurred_at => '2026-03-10 12:05+00') IS NOT NULL AS just_soon_enough;
SELECT track_usage(:'eve', 'video', occurred_at => '2026-02-03 11:59:59.999999+00');
\echo :LAST_ERROR_SQLSTATE
SELECT track_usage(:'eve', 'video', occurred_at => '2026-03-10 12:05:00.000001+00');
\echo :LAST_ERROR_SQLSTATE
SET usage_tracking.max_event_age = '100d';
SELECT track_usage(:'eve', 'video', occurred_at => '2026-01-01 12:00+00') IS NOT NULL AS history_loaded;
RESET usage_tracking.max_event_age;

-- Decoration is cut and marked, the fact is kept
SELECT track_usage(:'eve', 'call', error_message => repeat('ö', 1001), metadata => jsonb_build_object('blob', repeat('x', 8193))) AS id \gset
SELECT length(error_message), right(error_message, 33), metadata FROM usage_events WHERE id = :id;
SELECT track_usage(:'eve', 'call', error_message => repeat('ö', 1000), metadata => jsonb_build_object('blob', repeat('x', 8000))) AS id \gset
SELECT length(error_message), length(metadata->>'blob') FROM usage_events WHERE id = :id;

-- S0: five videos per 30 days, counted from the sign-up and never from the last reset
SELECT define_usage_limit('clips', 'clip', 5, window_kind => 'anchored', period => '30 days');
SET usage_tracking.clock = '2026-01-31 09:30+00';
SELECT :decision FROM consume_usage(:'cat', 'clip', 5);
SELECT :decision FROM consume_usage(:'cat', 'clip');
SET usage_tracking.clock = '2026-03-02 09:29:59.999999+00';
SELECT :decision FROM consume_usage(:'cat', 'clip');
SET usage_tracking.clock = '2026-03-02 09:30+00';
SELECT :decision FROM consume_usage(:'cat', 'clip');
SET usage_tracking.clock = '2026-07-15 20:00+00';
SELECT :decision FROM consume_usage(:'cat', 'clip', 4);
SELECT :decision FROM consume_usage(:'cat', 'clip', 1);
SELECT :decision FROM consume_usage(:'cat', 'clip', 1);
SELECT * FROM reconcile_usage();
ROLLBACK;
SELECT count(*) AS left_behind FROM usage_events;
