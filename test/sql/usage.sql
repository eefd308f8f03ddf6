/* usage: may it, and make it happen
 *
 * Decision rows to the letter, for one limit and for several.  The clock stands
 * at noon of a Tuesday, so its day has 43200 seconds left.  A decision reads
 *   allowed | reason | limit | used | maximum | remaining | reset | retry after | recorded
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set decision 'allowed, reason, limit_type, used, max_usage, remaining, reset_at, retry_after, id IS NOT NULL AS recorded'
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
\set dan '00000000-0000-0000-0000-00000000000d'
\set eve '00000000-0000-0000-0000-00000000000e'
\set fay '00000000-0000-0000-0000-00000000000f'
BEGIN;
SELECT install_default_plans();

-- One hard limit: looking takes nothing, a refusal records nothing
SELECT define_usage_limit('videos_daily', 'video', 3);
SELECT :decision FROM check_usage_limit(:'ann', 'video');
SELECT :decision FROM consume_usage(:'ann', 'video', 2);
SELECT :decision FROM check_usage_limit(:'ann', 'videos_daily');
SELECT :decision FROM consume_usage(:'ann', 'video', 2);
SELECT :decision FROM consume_usage(:'ann', 'video', 0.9);
SELECT :decision FROM consume_usage(:'ann', 'video', 0.100000001);
SELECT :decision FROM check_usage_limit(:'ann', 'video', 0);
SELECT usage_type, status, quantity, overage, occurred_at FROM usage_events ORDER BY id;

-- A decision for a page: what to tell the user, also of credits, of what is over, without a reset, of nothing
SELECT describe_decision(d) FROM check_usage_limit(:'ann', 'video') AS d;
SELECT describe_decision(d) FROM check_usage_limit(:'ann', 'video', 0) AS d;
SELECT describe_decision(d::usage_decision)
  FROM (VALUES ('(f,insufficient_credits,,,,,7,"2026-03-20 00:00+00",820800)'), ('(f,expired,4,,,,,,)'), ('(t,unlimited,5,films,3,-1,,,)'),
               ('(f,held,,films,2.5,3,0,infinity,)'), ('(f,limit_reached,,films,1,0,0,"2026-03-10 11:00+00",)'), (NULL)) AS v (d);

-- The reset needs nobody, and the seconds to it are rounded up
SET usage_tracking.clock = '2026-03-10 23:59:58.5+00';
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

-- An unregistered name is an error, never "allowed"
SELECT check_usage_limit(:'ann', 'vidoe');
\echo :LAST_ERROR_SQLSTATE
SELECT consume_usage(:'ann', 'vidoe');
\echo :LAST_ERROR_SQLSTATE
SELECT track_usage(:'ann', 'vidoe');
\echo :LAST_ERROR_SQLSTATE

-- A soft limit lets pass and says so; a fact is recorded whatever the limits say
SELECT define_usage_limit('exports_daily', 'export', 2, enforcement => 'soft');
SELECT :decision FROM consume_usage(:'ann', 'export', 2);
SELECT :decision FROM check_usage_limit(:'ann', 'export');
SELECT :decision FROM consume_usage(:'ann', 'export', 3);
SELECT define_usage_limit('a_hard_one', 'export', 9);
SELECT :decision FROM consume_usage(:'ann', 'export', 4);
SELECT track_usage(:'bob', 'video', 1) > 0, track_usage(:'bob', 'video', 5) > 0,
       track_usage(:'bob', 'video', 0.25, status => 'failed') > 0, track_usage(:'bob', 'video', 0.25) > 0;
SELECT usage_type, status, quantity, overage FROM usage_events
 WHERE user_id = :'bob' OR usage_type = 'export' ORDER BY id;
SELECT :decision FROM check_usage_limit(:'bob', 'video', 0.1);

-- not_enforced: it would be denied, but for a switch; it counts all the same
SELECT define_usage_limit('beta_daily', 'beta', 1, is_active => false);
SELECT :decision FROM consume_usage(:'ann', 'beta', 3);
SET usage_tracking.enforce_limits = off;
SELECT :decision FROM consume_usage(:'cat', 'video', 3);
SELECT :decision FROM consume_usage(:'cat', 'video', 3);
SELECT :decision FROM consume_usage(:'cat', 'export', 3);  -- soft: nothing would be denied
RESET usage_tracking.enforce_limits;
SELECT :decision FROM consume_usage(:'cat', 'video');
SELECT count(*) AS before FROM usage_events \gset
SET usage_tracking.enabled = off;
SELECT :decision FROM consume_usage(:'ann', 'video', 100);
SELECT :decision FROM check_usage_limit(:'ann', 'video', 100);
SELECT track_usage(:'ann', 'video', 100);
RESET usage_tracking.enabled;
SELECT count(*) - :before AS recorded_meanwhile FROM usage_events;

-- Several limits deny: the one that resets last answers, "never" being last, then by name
SELECT define_usage_limit('a_hourly', 'job', 1, period => '1 hour');
SELECT define_usage_limit('b_monthly', 'job', 2, period => '1 month');
SELECT define_usage_limit('c_daily', 'job', 2);
SELECT define_usage_limit('d_daily', 'job', 2);
SELECT define_usage_limit('e_total', 'job', 4, window_kind => 'lifetime');
SELECT :decision FROM check_usage_limit(:'ann', 'job', 2);
SELECT :decision FROM check_usage_limit(:'ann', 'job', 3);
SELECT :decision FROM consume_usage(:'ann', 'job', 5);
UPDATE usage_limits SET max_usage = 9 WHERE limit_type = ANY ('{b_monthly,e_total}');
SELECT :decision FROM check_usage_limit(:'ann', 'job', 3);

-- None denies: the smallest part left answers, unlimited last
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

-- A maximum of 0 has nothing left, and stops what it measures
SELECT define_usage_limit('words_daily', 'write', 0, measure => 'tokens');
SELECT define_usage_limit('writes_daily', 'write', 10);
SELECT :decision FROM consume_usage(:'ann', 'write');
SELECT :decision FROM consume_usage(:'ann', 'write', 0, tokens => 1);

-- All limits or none: what one of them refuses, no other has counted
SELECT define_usage_limit('narrow_daily', 'page', 2);
SELECT define_usage_limit('wide_daily', 'page', 10);
SELECT :decision FROM consume_usage(:'ann', 'page', 2);
SELECT :decision FROM consume_usage(:'ann', 'page', 1);
SELECT limit_type, (check_usage_limit(:'ann', limit_type, 0)).used FROM usage_limits WHERE usage_type = 'page' ORDER BY 1;

-- What is measured: events, quantity or tokens; of one type or of all types
SELECT define_usage_limit('calls', 'chat', 10, measure => 'events');
SELECT define_usage_limit('units', 'chat', 10, measure => 'quantity');
SELECT define_usage_limit('tokens', 'chat', 1000, measure => 'tokens');
SELECT define_usage_limit('everything', NULL, 100, measure => 'events');
SELECT (consume_usage(:'dan', 'chat', 2.5, tokens => 300, cost => 0.01)).allowed,
       (consume_usage(:'dan', 'chat', 0, tokens => 1)).allowed,
       (consume_usage(:'dan', 'ping')).allowed;
SELECT limit_type, (check_usage_limit(:'dan', limit_type, 0)).used
  FROM usage_limits WHERE usage_type = 'chat' OR usage_type IS NULL ORDER BY limit_type;
DELETE FROM usage_limits WHERE limit_type = 'everything';

-- Which statuses count: success, unless the limit lists others
SELECT define_usage_limit('failures', 'call', 10, statuses => '{failed}');
SELECT define_usage_limit('successes', 'call', 10);
SELECT define_usage_limit('tries', 'call', 10, statuses => '{success,failed,rate_limited}');
SELECT count(track_usage(:'dan', 'call', status => s))
  FROM unnest('{success,failed,error,cancelled,rate_limited}'::text[]) AS s;
SELECT status, count(*) FROM usage_events WHERE usage_type = 'call' GROUP BY status ORDER BY status;
SELECT limit_type, (check_usage_limit(:'dan', limit_type, 0)).used FROM usage_limits WHERE usage_type = 'call' ORDER BY 1;

-- Whose maximum: the user's own until it expires, else his plan's, else the limit's
SELECT set_plan_limit('pro', 'videos_daily', 10);
SELECT set_user_plan(:'dan', 'pro');
SELECT set_user_plan(:'eve', 'team');
SELECT 'plan', max_usage FROM check_usage_limit(:'dan', 'video');
SELECT 'limit', max_usage FROM check_usage_limit(:'eve', 'video');
SELECT set_user_limit(:'dan', 'videos_daily', 20, '2026-03-10 12:00:00.000001+00', 'a good customer');
SELECT 'own', max_usage FROM check_usage_limit(:'dan', 'video');
SELECT set_user_limit(:'dan', 'videos_daily', 20, '2026-03-10 12:00+00');
SELECT 'own, expired', max_usage FROM check_usage_limit(:'dan', 'video');
SELECT set_user_limit(:'dan', 'videos_daily', 0);
SELECT 'own, nothing', max_usage FROM check_usage_limit(:'dan', 'video');
SELECT set_user_limit(:'dan', 'videos_daily', NULL);
SELECT 'plan', max_usage FROM check_usage_limit(:'dan', 'video');

-- Which subscriptions give their plan (10) and which the default plan (3)
INSERT INTO user_subscriptions (user_id, plan, status, expires_at, metadata)
SELECT md5(row_number() OVER ()::text)::uuid, p, s, e::timestamptz, jsonb_build_object('row', row_number() OVER ())
  FROM (VALUES ('pro', 'active', NULL), ('pro', 'active', '2026-03-10 12:00:00.000001+00'),
               ('pro', 'active', '2026-03-10 12:00+00'), ('pro', 'trialing', NULL), ('pro', 'past_due', NULL),
               ('pro', 'cancelled', '2026-03-11'), ('pro', 'cancelled', '2026-03-09'),
               ('pro', 'unpaid', NULL), ('pro', 'paused', '2026-03-11'), ('pro', 'expired', NULL),
               (NULL, 'active', NULL)) AS v (p, s, e);
SELECT plan, status, expires_at, (check_usage_limit(user_id, 'video')).max_usage
  FROM user_subscriptions WHERE metadata ? 'row' ORDER BY metadata -> 'row';
SELECT 'never seen', max_usage FROM check_usage_limit(:'fay', 'video');
SET usage_tracking.default_plan = 'pro';
SELECT 'never seen', max_usage FROM check_usage_limit(:'fay', 'video');
SELECT count(*) AS on_pro FROM user_subscriptions AS s
 WHERE metadata ? 'row' AND (check_usage_limit(s.user_id, 'video')).max_usage = 10;
SET usage_tracking.default_plan = 'no such plan';
SELECT 'never seen', max_usage FROM check_usage_limit(:'fay', 'video');
RESET usage_tracking.default_plan;

-- Whose day: the limit's zone, else the user's, else the setting's
SELECT define_usage_limit('calls_daily', 'ring', 9);
SET usage_tracking.time_zone = 'Asia/Tokyo';
SELECT 'setting', reset_at FROM check_usage_limit(:'fay', 'ring');
SELECT set_user_clock(:'eve', 'America/New_York');
SELECT 'user', reset_at FROM check_usage_limit(:'eve', 'ring');
SELECT define_usage_limit('calls_daily', 'ring', 9, time_zone => 'Asia/Kolkata');
SELECT 'limit', reset_at FROM check_usage_limit(:'eve', 'ring');
RESET usage_tracking.time_zone;
SELECT set_user_clock(:'eve', 'UTC');

-- A late event counts in the window it belongs to; 35 days back and 5 minutes ahead are the bounds
SELECT track_usage(:'eve', 'video', 2, occurred_at => '2026-03-09 23:59:59.999999+00') > 0;
SELECT 'today', used FROM check_usage_limit(:'eve', 'video');
SET usage_tracking.clock = '2026-03-09 23:00+00';
SELECT 'yesterday', used FROM check_usage_limit(:'eve', 'video');
SET usage_tracking.clock = '2026-03-10 12:00+00';
SELECT track_usage(:'eve', 'video', occurred_at => '2026-02-03 12:00+00') > 0,
       track_usage(:'eve', 'video', occurred_at => '2026-03-10 12:05+00') > 0;
SELECT track_usage(:'eve', 'video', occurred_at => '2026-02-03 11:59:59.999999+00');
\echo :LAST_ERROR_SQLSTATE
SELECT track_usage(:'eve', 'video', occurred_at => '2026-03-10 12:05:00.000001+00');
\echo :LAST_ERROR_SQLSTATE
SET usage_tracking.max_event_age = '100d';
SELECT track_usage(:'eve', 'video', occurred_at => '2026-01-01 12:00+00') > 0;
RESET usage_tracking.max_event_age;

-- Decoration is cut and marked, the fact is kept
SELECT track_usage(:'eve', 'call', error_message => repeat('ö', 1001), metadata => jsonb_build_object('blob', repeat('x', 8192))) AS id \gset
SELECT left(error_message, 1000) = repeat('ö', 1000), substr(error_message, 1001), metadata FROM usage_events WHERE id = :id;
SELECT track_usage(:'eve', 'call', error_message => repeat('ö', 1000), metadata => jsonb_build_object('blob', repeat('x', 8000))) AS id \gset
SELECT error_message = repeat('ö', 1000), length(metadata->>'blob') FROM usage_events WHERE id = :id;

-- A repeated key returns the first answer and counts nothing, whatever came between
SELECT define_usage_limit('renders_daily', 'render', 10);
SELECT :decision, id FROM consume_usage(:'ann', 'render', 4, idempotency_key => 'k1') \gset first_
SELECT :'first_allowed', :'first_reason', :'first_used', :'first_remaining';
SELECT :decision FROM consume_usage(:'ann', 'render', 5);
SELECT :decision, id = :first_id FROM consume_usage(:'ann', 'render', 4.0, cost => 7, idempotency_key => 'k1',
    event_subtype => 'hd', resource_type => 'film', resource_id => '7', metadata => '{"try": 2}');
SELECT :decision FROM check_usage_limit(:'ann', 'render', 0);
SELECT 'another user', reason FROM consume_usage(:'bob', 'render', 4, idempotency_key => 'k1');
SELECT 'another key', reason FROM consume_usage(:'ann', 'render', 0.5, idempotency_key => 'K1');

-- The same key for anything else is an error
SELECT consume_usage(:'ann', 'render', 4.000000001, idempotency_key => 'k1');
\echo :LAST_ERROR_SQLSTATE
SELECT consume_usage(:'ann', 'render', 4, tokens => 1, idempotency_key => 'k1');
\echo :LAST_ERROR_SQLSTATE
SELECT consume_usage(:'ann', 'video', 4, idempotency_key => 'k1');
\echo :LAST_ERROR_SQLSTATE
SELECT require_usage(:'ann', 'render', 4, idempotency_key => 'k1');
\echo :LAST_ERROR_SQLSTATE
SELECT track_usage(:'ann', 'render', 4, idempotency_key => 'k1');
\echo :LAST_ERROR_SQLSTATE
SELECT track_usage(:'ann', 'render', occurred_at => '2026-03-10 11:00+00', idempotency_key => 't1') AS id \gset
SELECT track_usage(:'ann', 'render', occurred_at => '2026-03-10 12:00+01', idempotency_key => 't1', status => 'failed') = :id AS the_first;
SELECT track_usage(:'ann', 'render', occurred_at => '2026-03-10 12:00+00', idempotency_key => 't1');
\echo :LAST_ERROR_SQLSTATE
SELECT track_usage(:'ann', 'render', idempotency_key => 't1');
\echo :LAST_ERROR_SQLSTATE

-- A denial, and what was rolled back, leave the key as it was
SELECT :decision FROM consume_usage(:'bob', 'render', 7, idempotency_key => 'k2');
SELECT count(*) AS kept FROM usage_keys WHERE idempotency_key = 'k2';
SELECT set_user_limit(:'bob', 'renders_daily', 12);
SELECT :decision FROM consume_usage(:'bob', 'render', 7, idempotency_key => 'k2');
SAVEPOINT s;
SELECT :decision FROM consume_usage(:'bob', 'render', 1, idempotency_key => 'k3');
ROLLBACK TO s;
SELECT :decision FROM consume_usage(:'bob', 'render', 1, idempotency_key => 'k3');
SELECT :decision FROM consume_usage(:'bob', 'render', 1, idempotency_key => 'k3');

-- A key lives idempotency_retention, 35 days unless set, and never less than a late event may be late
SET usage_tracking.idempotency_retention = '1d';
SET usage_tracking.clock = '2026-04-14 12:00+00';
SELECT reason, used, reset_at FROM consume_usage(:'ann', 'render', 4, idempotency_key => 'k1');
SET usage_tracking.clock = '2026-04-14 12:00:00.000001+00';
SELECT reason, used, reset_at FROM consume_usage(:'bob', 'render', 4, idempotency_key => 'k1');
SET usage_tracking.idempotency_retention = '36d';
SELECT reason, used, reset_at FROM consume_usage(:'ann', 'render', 4, idempotency_key => 'k1');
RESET usage_tracking.idempotency_retention;
SELECT reason, used, reset_at FROM consume_usage(:'ann', 'render', 9, idempotency_key => 'k1');
SELECT reason, used, reset_at FROM consume_usage(:'ann', 'render', 9, idempotency_key => 'k1');

-- S0: five videos per 30 days, from the first use, never from the last reset
SELECT define_usage_limit('clips', 'clip', 5, window_kind => 'anchored', period => '30 days');
SET usage_tracking.clock = '2026-01-31 09:30+00';
SELECT :decision FROM consume_usage(:'fay', 'clip', 5);
SELECT :decision FROM consume_usage(:'fay', 'clip');
SET usage_tracking.clock = '2026-03-02 09:29:59.999999+00';
SELECT :decision FROM consume_usage(:'fay', 'clip');
SET usage_tracking.clock = '2026-03-02 09:30+00';
SELECT :decision FROM consume_usage(:'fay', 'clip');
SET usage_tracking.clock = '2026-07-15 20:00+00';
SELECT :decision FROM consume_usage(:'fay', 'clip', 5);
SELECT :decision FROM consume_usage(:'fay', 'clip');
SELECT date '2026-01-31' + 30 * 6 AS sixth_reset;
SET usage_tracking.clock = '2026-03-10 12:00+00';

-- require_usage: the decision, or an error that says which limit, how much and until when
CREATE FUNCTION pg_temp.refusal(call text) RETURNS TABLE (item text, value text) LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text; constraint_name text;
BEGIN
    EXECUTE call;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
                            constraint_name = CONSTRAINT_NAME;
    RETURN QUERY VALUES ('sqlstate', SQLSTATE), ('message', message), ('detail', detail), ('hint', hint),
                        ('constraint', constraint_name);
END $$;
SELECT define_usage_limit('prompts_total', 'prompt', 30, window_kind => 'lifetime');
SELECT define_usage_limit('prompts_daily', 'prompt', 2.5);
SELECT :decision FROM require_usage(:'ann', 'prompt', 2, idempotency_key => 'p');
SELECT :decision FROM require_usage(:'ann', 'prompt', 2, idempotency_key => 'p');
\set one_more 'pg_temp.refusal(format(''SELECT require_usage(%L, %L)'', :''ann'', ''prompt''))'
SELECT * FROM :one_more;
SELECT * FROM pg_temp.refusal(format('SELECT require_usage(%L, %L, 29)', :'ann', 'prompt')) WHERE item <> 'hint';
SELECT limit_type, (check_usage_limit(:'ann', limit_type, 0)).used FROM usage_limits WHERE usage_type = 'prompt' ORDER BY 1;

-- Under PostgREST it becomes an HTTP status; error_style overrules what request.method says
SET request.method = 'POST';
SELECT * FROM :one_more;
SELECT value FROM pg_temp.refusal(format('SELECT require_usage(%L, %L, 29)', :'ann', 'prompt')) WHERE item = 'detail';
SELECT * FROM pg_temp.refusal(format('SELECT require_usage(%L, %L, 1, idempotency_key => %L)', :'ann', 'prompt', 'p'));
SELECT :decision FROM consume_usage(:'ann', 'prompt');
SET usage_tracking.error_style = 'sql';
SELECT value FROM :one_more WHERE item = 'sqlstate';
SET request.method = '';
SET usage_tracking.error_style = 'auto';
SELECT value FROM :one_more WHERE item = 'sqlstate';
SET usage_tracking.error_style = 'postgrest';
SELECT value FROM :one_more WHERE item = 'sqlstate';

-- After all this the counters are what the events say
SELECT count(*) > 20 AS counters FROM usage_counters;
SELECT * FROM reconcile_usage();

-- Who only looks may do so where nothing can be written
SET usage_tracking.error_style = 'auto';
\set ON_ERROR_ROLLBACK off
SET TRANSACTION READ ONLY;
SELECT :decision FROM check_usage_limit(:'ann', 'prompt');
SELECT count(*) > 20 FROM user_usage;
SELECT consume_usage(:'dan', 'prompt');
ROLLBACK;

-- Reservations: used from now on, for every limit, until they are settled or expire
BEGIN;
\set ON_ERROR_ROLLBACK on
\set gus '00000000-0000-0000-0000-000000000010'
\set hal '00000000-0000-0000-0000-000000000011'
SET usage_tracking.error_style = 'auto';
SET usage_tracking.clock = '2026-03-10 12:00+00';
ALTER SEQUENCE usage_reservations_id_seq RESTART;
ALTER SEQUENCE usage_events_id_seq RESTART WITH 1001;
SELECT define_usage_limit('renders_daily', 'render', 10), define_usage_limit('renders_ever', 'render', 3, 'lifetime', measure => 'events', enforcement => 'soft');
SELECT :decision FROM reserve_usage(:'gus', 'render', 6, expires_in => '1 hour', idempotency_key => 'r');
SELECT :decision FROM reserve_usage(:'gus', 'render', 6, expires_in => '1 hour', idempotency_key => 'r');
SELECT :decision FROM consume_usage(:'gus', 'render', 5);
SELECT :decision FROM check_usage_limit(:'gus', 'renders_daily', 11);
SELECT :decision FROM reserve_usage(:'gus', 'render', 4.5);
SELECT :decision FROM consume_usage(:'gus', 'render', 4);
SELECT limit_type, used, held, remaining, percent FROM user_usage WHERE user_id = :'gus' AND usage_type = 'render';

-- at the instant of its expiry it is gone, and a microsecond before it is not
SET usage_tracking.clock = '2026-03-10 12:59:59.999999+00';
SELECT :decision FROM check_usage_limit(:'gus', 'renders_daily', 1);
SET usage_tracking.clock = '2026-03-10 13:00+00';
SELECT :decision FROM check_usage_limit(:'gus', 'renders_daily', 1);
SELECT :decision FROM reserve_usage(:'gus', 'render', 6, expires_in => '1 hour', idempotency_key => 'r');

-- a late commit records, and what does not fit any more is overage; a second one answers like the first
SELECT :decision FROM consume_usage(:'gus', 'render', 3);
SELECT :decision FROM commit_usage(:'gus', 1);
SELECT :decision FROM commit_usage(:'gus', 1, 99);
SELECT release_usage(:'gus', 1);
SELECT quantity, overage, occurred_at FROM usage_events WHERE user_id = :'gus' ORDER BY id;

-- less gives back, more takes what is there; released is over
SELECT :decision FROM reserve_usage(:'hal', 'render', 6, 5, 0.5);
SELECT :decision FROM commit_usage(:'hal', 2, 2.5, metadata => '{"pages": 3}');
SELECT :decision FROM reserve_usage(:'hal', 'render', 6);
SELECT :decision FROM consume_usage(:'hal', 'render', 2);
SELECT :decision FROM commit_usage(:'hal', 3, 7, 8, 0.25);
SELECT :decision FROM reserve_usage(:'hal', 'render', 0, 1);
SELECT release_usage(:'hal', 4);
SELECT release_usage(:'hal', 4);
SELECT :decision FROM commit_usage(:'hal', 4);
SELECT commit_usage(:'gus', 2);
SELECT release_usage(:'hal', 99);
SELECT quantity, tokens, cost, overage, metadata FROM usage_events WHERE user_id = :'hal' ORDER BY id;
SELECT id, state, expires_at - occurred_at AS for, event_id IS NOT NULL AS recorded, reason FROM usage_reservations ORDER BY id;

-- it counts in the window in which it was made, also when that is over
SET usage_tracking.clock = '2026-03-11 23:59:30+00';
SELECT :decision FROM reserve_usage(:'gus', 'render', 9);
SET usage_tracking.clock = '2026-03-12 00:00:30+00';
SELECT :decision FROM check_usage_limit(:'gus', 'renders_daily', 10);
SELECT :decision FROM commit_usage(:'gus', (SELECT max(id) FROM usage_reservations), 9.5);
SELECT w.window_start::date, c.used FROM _counted_usage() AS c JOIN usage_limits USING (limit_id), LATERAL (SELECT c.window_start) AS w
 WHERE user_id = :'gus' AND limit_type = 'renders_daily' ORDER BY 1;

-- a limit made while something is reserved counts it
SELECT reason FROM reserve_usage(:'gus', 'render', 4);
SELECT define_usage_limit('renders_monthly', 'render', 30, 'calendar', '1 month');
SELECT limit_type, used, held FROM user_usage WHERE user_id = :'gus' AND usage_type = 'render';
SELECT :decision FROM consume_usage(:'gus', 'render', 6);

-- a limit it takes nothing from is not in the way of the next use
\set una '00000000-0000-0000-0000-00000000001f'
SET statement_timeout = '60s';
SELECT define_usage_limit('sketches', 'sketch', 9), define_usage_limit('strokes', 'sketch', 100, measure => 'tokens');
SELECT :decision FROM consume_usage(:'una', 'sketch', 1, 5);
SELECT :decision FROM reserve_usage(:'una', 'sketch', 1);
SELECT :decision FROM consume_usage(:'una', 'sketch', 1, 5);
SELECT :decision FROM reserve_usage(:'una', 'sketch', 1, 7);
SELECT limit_type, used, held FROM user_usage WHERE user_id = :'una' AND usage_type = 'sketch';
RESET statement_timeout;
SELECT * FROM reconcile_usage();

-- Corrections: a reversal counts where the event counted, an adjustment for its limit alone
SET usage_tracking.clock = '2026-04-20 12:00+00';
\set ida '00000000-0000-0000-0000-000000000012'
SELECT define_usage_limit('renders_tried', 'render', 9, measure => 'events', statuses => '{success,failed}');
SELECT track_usage(:'ida', 'render', 4, 100, 0.5) AS four \gset
SELECT track_usage(:'ida', 'render', 3, status => 'failed') AS three \gset
SELECT track_usage(:'ida', 'render', 2, occurred_at => '2026-04-19 12:00+00') AS two \gset
PREPARE so_far AS SELECT limit_type, used FROM user_usage WHERE user_id = :'ida' AND usage_type = 'render';
EXECUTE so_far;
SELECT reverse_usage(:'ida', :four, 1.5, 'a page was blank');
EXECUTE so_far;
SELECT reverse_usage(:'ida', :four), reverse_usage(:'ida', :four), reverse_usage(:'ida', :three), reverse_usage(:'ida', :two, 2);
EXECUTE so_far;
SELECT reverse_usage(:'ida', :four, 0.1);
SELECT reverse_usage(:'ida', max(id)) FROM usage_events;
SELECT reverse_usage(:'hal', :four);
SELECT status, quantity, tokens, cost, corrects - :four AS corrects, corrected_status, corrected_events, reason, occurred_at::date
  FROM usage_events WHERE user_id = :'ida' ORDER BY id;
SELECT adjust_usage(:'ida', 'renders_daily', 7.25, reason => 'goodwill'), adjust_usage(:'ida', 'renders_tried', 8);
SELECT adjust_usage(:'ida', 'renders_daily', 9, at => '2026-04-19 23:00+00');
EXECUTE so_far;
SELECT :decision FROM consume_usage(:'ida', 'render', 3);
SELECT :decision FROM consume_usage(:'ida', 'render', 2);
SELECT :decision FROM consume_usage(:'ida', 'render', 0.5);
SELECT reset_user_usage(:'ida', 'renders_daily'), reset_user_usage(:'ida', 'renders_daily'), reset_user_usage(:'ida', 'renders_tried');
EXECUTE so_far;
SELECT adjust_usage(:'ida', 'renders_tried', 1.5);
SELECT adjust_usage(:'ida', 'renders_hourly', 1);
SELECT e.usage_type, status, quantity, corrected_events, limit_type, e.reason
  FROM usage_events AS e JOIN usage_limits ON limit_id = corrected_limit ORDER BY id;
SELECT * FROM reconcile_usage();

-- Without their rows the counters say the same
DELETE FROM usage_counters WHERE user_id = :'ida';
EXECUTE so_far;

-- A limit on every type is adjusted too, and one that comes to count something else starts from the facts
SELECT define_usage_limit('anything_daily', NULL, 50), adjust_usage(:'ida', 'anything_daily', 20);
SELECT used FROM check_usage_limit(:'ida', 'anything_daily', 0);
SELECT define_usage_limit('anything_daily', NULL, 50, period => '1 month');
SELECT used FROM check_usage_limit(:'ida', 'anything_daily', 0);

-- Taken back after a reset, less than nothing is used; of a maximum of 0 there is still no part left
\set zoe '00000000-0000-0000-0000-00000000002f'
SELECT define_usage_limit('fax_daily', 'fax', 9), define_usage_limit('fax_pages_daily', 'fax', 0);
SELECT track_usage(:'zoe', 'fax', 2) AS two \gset
SELECT reset_user_usage(:'zoe', 'fax_daily'), reset_user_usage(:'zoe', 'fax_pages_daily'), reverse_usage(:'zoe', :two, 1.5);
SELECT :decision FROM check_usage_limit(:'zoe', 'fax', 0);
SELECT :decision FROM consume_usage(:'zoe', 'fax', 0.5);

-- Many at once: as one after the other
CREATE TEMP TABLE batch AS SELECT '[
  {"user_id": "00000000-0000-0000-0000-000000000013", "usage_type": "render", "quantity": 6, "idempotency_key": "a"},
  {"user_id": "00000000-0000-0000-0000-000000000013", "usage_type": "render", "quantity": "5.5", "tokens": 7, "metadata": [1]},
  {"user_id": "00000000-0000-0000-0000-000000000013", "usage_type": "render", "quantity": 6.0, "idempotency_key": "a"},
  {"user_id": "00000000-0000-0000-0000-000000000013", "usage_type": "render", "quantity": 7, "idempotency_key": "a"},
  {"user_id": "00000000-0000-0000-0000-000000000013", "usage_type": "render", "occurred_at": "2026-04-19T10:00:00Z"},
  {"user_id": "00000000-0000-0000-0000-000000000013", "usage_type": "rendre"},
  {"user_id": "00000000-0000-0000-0000-000000000013", "usage_type": "render", "quantity": -1},
  {"user_id": "00000000-0000-0000-0000-000000000013", "usage_type": "render", "tokens": 1.5},
  {"user_id": "00000000-0000-0000-0000-000000000013", "usage_type": "render", "occurred_at": "2026-01-01T00:00:00Z"},
  {"user_id": "00000000-0000-0000-0000-000000000013", "usage_type": "render", "user": "me"},
  {"user_id": null, "usage_type": "render"}, {"usage_type": true, "user_id": "00000000-0000-0000-0000-000000000013"}, 17,
  {"user_id": "00000000-0000-0000-0000-000000000014", "usage_type": "render", "status": "error", "error_message": "timeout", "duration_ms": 12},
  {"specversion": "1.0", "type": "render", "source": "/r", "id": "1", "subject": "00000000-0000-0000-0000-000000000014", "data": {"value": 2, "on": "gpu"}},
  {"specversion": "1.0", "type": "render", "source": "/r", "id": "1", "subject": "00000000-0000-0000-0000-000000000014", "data": {"value": 2}},
  {"specversion": "1.0", "type": "render", "source": "/r", "subject": "00000000-0000-0000-0000-000000000014"}
]'::jsonb AS elements;
SELECT recorded, replayed FROM batch, track_usage_batch(elements);
SELECT e -> 'index', e -> 'code', e -> 'message' FROM batch, track_usage_batch(elements - 0 - 0), jsonb_array_elements(errors) AS e;
SELECT recorded, replayed, jsonb_array_length(errors) FROM batch, track_usage_batch(elements);
SELECT user_id = '00000000-0000-0000-0000-000000000014' AS second, status, quantity, tokens, overage, metadata, error_message, duration_ms, occurred_at
  FROM usage_events WHERE user_id IN ('00000000-0000-0000-0000-000000000013', '00000000-0000-0000-0000-000000000014') ORDER BY id;
SELECT idempotency_key, quantity FROM usage_keys WHERE user_id IN ('00000000-0000-0000-0000-000000000013', '00000000-0000-0000-0000-000000000014') ORDER BY 1;
SELECT * FROM reconcile_usage();
SELECT * FROM track_usage_batch('[]');
SELECT id AS hold FROM reserve_usage(:'ida', 'render', 0, 1) \gset
SET usage_tracking.enabled = off;
SELECT recorded, replayed, jsonb_array_length(errors) FROM batch, track_usage_batch(elements);
SELECT :decision FROM reserve_usage(:'ida', 'render');
SELECT :decision FROM commit_usage(:'ida', :hold);
SELECT state, event_id, reason FROM usage_reservations WHERE id = :hold;
SELECT reset_user_usage(:'ida', 'renders_monthly');
RESET usage_tracking.enabled;
SELECT used FROM check_usage_limit(:'ida', 'renders_monthly', 0);

-- ---- calls of an API ----
-- Tokens at the price of their instant; images and seconds where there are no tokens; nobody knows: NULL, not 0
SELECT install_seed_prices();
INSERT INTO model_prices (provider, model, prices, valid_from, valid_to) VALUES
    ('acme', 'm-1', '{"input": 0.000001, "output": 0.000002, "cache_read": 0.0000001, "input.batch": 0.0000005}', '2026-01-01 00:00+00', '2026-03-10 11:00+00');
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES
    ('acme', 'm-1', '{"input": 0.00001, "output": 0.00002, "request": 0.5}', '2026-03-10 11:00+00');
SELECT define_usage_limit('budget', 'api.call', 1, period => '1 month', measure => 'cost');
SELECT define_usage_limit('images', 'api.image', 100, period => '1 month');
\set kim '00000000-0000-0000-0000-0000000000a1'
\set call 'input_cost, output_cost, total_cost, priced'
SET usage_tracking.clock = '2026-03-10 12:00+00';
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-1', input_tokens => 1000, output_tokens => 10, cache_read_tokens => 100, occurred_at => '2026-03-10 10:59:59.999999+00');
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-1', input_tokens => 1000, service_tier => 'batch', occurred_at => '2026-03-10 10:00+00');
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-1', input_tokens => 1000, output_tokens => 10, status => 'error', error_code => '500', error_message => repeat('e', 1001));
SELECT :call FROM track_api_usage(:'kim', 'api.image', 'openai', 'dall-e-3', quantity => 2);
SELECT :call FROM track_api_usage(:'kim', 'api.image', 'openai', 'hd/dall-e-3', quantity => 2, status => 'failed');
SELECT :call FROM track_api_usage(:'kim', 'api.image', 'runwayml', 'runway', quantity => 2.5);
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-2', input_tokens => 1);
SELECT :call FROM track_api_usage(:'kim', 'api.call', NULL, NULL, input_tokens => 1);
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-1', occurred_at => '2026-02-28 10:00+00');
SELECT used, remaining FROM check_usage_limit(:'kim', 'budget');
SELECT used FROM check_usage_limit(:'kim', 'images');

-- What is kept of it: counts in one class each, no secrets, nothing endless
SELECT event_id AS kept FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-0', '/v1/' || repeat('x', 2000), repeat('r', 300),
    1, 2, 3, 4, 5, 'success', 678, NULL, 'spring', '10.1.2.3', repeat('u', 2000),
    '{"headers": {"Authorization": "Bearer x", "x-API-key": ["y"], "accept": "*"}, "body": [{"Password": {"is": "z"}}]}',
    '2026-03-10 11:30+00', NULL, NULL, 'flex', 5, 6, 7, 8, 9, 10, 11, 'chat', 'thread', 't1') \gset
\pset format aligned
\x on
SELECT usage_type, event_subtype, quantity, tokens, cost, provider, model, service_tier, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
       audio_input_tokens, audio_cache_read_tokens, audio_output_tokens, image_input_tokens, image_output_tokens, campaign_id, ip, duration_ms,
       right(endpoint, 30) AS endpoint, length(request_id) AS request_id, right(user_agent, 30) AS user_agent, metadata, resource_type, resource_id, occurred_at
  FROM usage_events WHERE id = :kept;
\x off
\pset format unaligned
SET usage_tracking.redacted_keys = 'accept';
SELECT event_id AS kept FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-0', metadata => '{"accept": {"a": 1}, "password": "p"}') \gset
SELECT metadata FROM usage_events WHERE id = :kept;
RESET usage_tracking.redacted_keys;

-- The call that crosses the budget is recorded whole; then nothing more is admitted
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-1', input_tokens => 100000, idempotency_key => 'k1');
SELECT cost, overage FROM usage_events WHERE user_id = :'kim' AND tokens = 100000;
SELECT :decision FROM check_usage_limit(:'kim', 'budget');
SELECT :decision FROM check_usage_limit(:'kim', 'api.call', cost => 0.1);
SELECT :decision FROM consume_usage(:'kim', 'api.call');
SELECT :decision FROM reserve_usage(:'kim', 'api.call', cost => 0.01);
SELECT require_usage(:'kim', 'api.call');
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-1', input_tokens => 100000, idempotency_key => 'k1');
SELECT track_api_usage(:'kim', 'api.call', 'acme', 'm-1', input_tokens => 100001, idempotency_key => 'k1');
SELECT count(*) FROM usage_events WHERE user_id = :'kim' AND tokens >= 100000;
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-2', input_tokens => 1, idempotency_key => 'k2');
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES ('acme', 'm-2', '{"input": 7}', '2026-01-01 00:00+00');
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-2', input_tokens => 1, idempotency_key => 'k2');

-- Prices that were wrong or missing: corrections, once; what was taken back stays taken back
SELECT reverse_usage(user_id, id) FROM usage_events WHERE user_id = :'kim' AND tokens = 100000;
UPDATE model_prices SET prices = '{"input": 0.00001, "output": 0.00002}' WHERE model = 'm-1' AND valid_to IS NULL;
SELECT * FROM recost_usage('2026-03-10 11:00+00', '2026-03-10 11:00+00');
SELECT * FROM recost_usage('2026-03-01', '2026-03-11');
SELECT * FROM recost_usage('2026-03-01', '2026-03-11');
SELECT c.cost, c.input_cost, c.output_cost, c.quantity, c.tokens, c.corrected_events, c.provider, c.model, c.occurred_at = e.occurred_at AS at_once, e.cost AS was
  FROM usage_events AS c JOIN usage_events AS e ON e.id = c.corrects WHERE c.user_id = :'kim' ORDER BY c.id;
SELECT model, total_cost, priced, input_cost, output_cost FROM api_usage WHERE user_id = :'kim' ORDER BY id;
SELECT used FROM check_usage_limit(:'kim', 'budget');
SELECT * FROM reconcile_usage();
SELECT recost_usage('2026-03-11', '2026-03-10');
SELECT recost_usage('-infinity', '2026-03-10');
SELECT adjust_usage(:'kim', 'budget', 0.25);
SELECT used FROM check_usage_limit(:'kim', 'budget');
SELECT * FROM reconcile_usage();

-- More calls than a step has
SELECT count(track_api_usage(:'kim', 'api.call', 'acme', 'm-late', input_tokens => 1, output_tokens => 1)) FROM generate_series(1, 1001);
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES ('acme', 'm-late', '{"input": 0.001, "output": 0.002}', '2026-01-01 00:00+00');
SELECT corrected, difference FROM recost_usage('2026-03-01', '2026-03-11');
SELECT corrected, difference FROM recost_usage('2026-03-01', '2026-03-11');
-- What a chat model is shown is no image that it made
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES ('acme', 'm-seeing', '{"input": 1, "output": 2, "input_image": 3}', '2026-01-01 00:00+00');
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-seeing');
-- A price for some of what was used is none
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES ('acme', 'm-half', '{"input": 1}', '2026-01-01 00:00+00');
SELECT :call FROM track_api_usage(:'kim', 'api.call', 'acme', 'm-half', input_tokens => 2, output_tokens => 1);
SELECT total_cost, priced, input_cost FROM api_usage WHERE model = 'm-half';
SELECT unpriced FROM recost_usage('2026-03-10', '2026-03-11');
SELECT unpriced FROM get_user_costs(:'kim');

-- Campaigns are named by events, whether they are there or not
SELECT define_campaign(:'kim', 'spring', 'Spring', 5);
SELECT define_campaign(:'kim', 'spring', 'Spring 2026', 7.5, 'until May');
SELECT campaign_id, name, budget, description FROM campaigns;
SELECT define_campaign(:'kim', '', 'x');
SELECT define_campaign(:'kim', 'x', budget => -1);

-- Many tokens, tiny prices: exact
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES ('acme', 'tiny', '{"input": 1e-12, "output": 1e-9}', '2026-01-01 00:00+00');
SELECT sum((c).input_cost), sum((c).output_cost), sum((c).total_cost) FROM (SELECT track_api_usage(:'kim', 'api.call', 'acme', 'tiny', input_tokens => 1, output_tokens => 1) AS c FROM generate_series(1, 1000)) AS calls;
SELECT track_api_usage(:'kim', 'api.call', 'acme', 'tiny', input_tokens => 9223372036854775807, output_tokens => 1);
ROLLBACK;
