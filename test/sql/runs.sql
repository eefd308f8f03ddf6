/* runs: long work
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
\set cy '00000000-0000-0000-0000-00000000000c'
\set dee '00000000-0000-0000-0000-00000000000d'
\set eve '00000000-0000-0000-0000-00000000000e'

BEGIN;
ALTER SEQUENCE usage_reservations_id_seq RESTART;
ALTER SEQUENCE usage_events_id_seq RESTART;

-- ---- a run, from start to end ----

SELECT start_run(:'ann');
SELECT define_usage_limit('runs_monthly', 'run', 3, 'calendar', '1 month');
SELECT model, action FROM import_model_prices('{"writer": {"litellm_provider": "acme", "input_cost_per_token": 0.00000015, "output_cost_per_token": 0.0000006}}', '2026-01-01 00:00+00');
SELECT * FROM start_run(:'ann', expires_in => '30 minutes', resource_type => 'repository', resource_id => 'r-1', configuration_id => 'c-1',
                        configuration_snapshot => '{"format": "markdown", "webhook": {"url": "https://example.com", "secret": "s3"}, "days": [{"token": "t"}]}',
                        progress => '{"commits_processed": 0}');
SELECT id, usage_type, status, counts, started_at, expires_at, completed_at, resource_type, resource_id, configuration_id, progress, tokens, cost FROM get_run(:'ann', 1);
SELECT configuration_snapshot FROM get_run(:'ann', 1);
SET usage_tracking.clock = '2026-03-10 12:10+00';
SELECT status, progress, expires_at, updated_at FROM update_run(:'ann', 1, '{"commits_processed": 7, "from": "a1", "to": "b2"}');
SELECT progress, expires_at FROM update_run(:'ann', 1, expires_in => '1 hour');
SELECT progress, expires_at FROM update_run(:'ann', 1);
SELECT used, held FROM user_usage WHERE user_id = :'ann';

-- three tokens cost what they cost
SET usage_tracking.clock = '2026-03-10 12:20+00';
SELECT status, completed_at, provider, model, service_tier, tokens, input_tokens, output_tokens, cost, output, output_format, progress, error_code, event_id
  FROM succeed_run(:'ann', 1, 'acme', 'writer', 3, 0, output => '# Report', output_format => 'markdown', metadata => '{"password": "p", "k": 1}');
SELECT id, usage_type, status, quantity, tokens, cost, provider, model, run_id, duration_ms, resource_id, metadata, occurred_at, corrected_events FROM usage_events;
SELECT state, event_id FROM usage_reservations WHERE id = 1;
SELECT used, held FROM user_usage WHERE user_id = :'ann';

-- again: like the first time, whatever it says now
SELECT status, tokens, cost, output, event_id FROM succeed_run(:'ann', 1, 'acme', 'writer', 999, 999, output => 'other');
SELECT count(*) FROM usage_events;

-- ---- every other move is refused ----

CREATE TEMP TABLE moved (id bigint, status text);
INSERT INTO moved SELECT id, 'running' FROM start_run(:'cy', expires_in => '1 minute');
INSERT INTO moved SELECT id, 'running' FROM start_run(:'cy');
INSERT INTO moved SELECT id, status FROM (SELECT succeed_run(:'cy', id) AS r FROM start_run(:'cy')) AS s, LATERAL (SELECT (s.r).id, (s.r).status) AS x;
SELECT set_user_limit(:'cy', 'runs_monthly', -1);
INSERT INTO moved SELECT id, status FROM (SELECT fail_run(:'cy', id, 'boom', 'E1') AS r FROM start_run(:'cy')) AS s, LATERAL (SELECT (s.r).id, (s.r).status) AS x;
INSERT INTO moved SELECT id, status FROM (SELECT cancel_run(:'cy', id) AS r FROM start_run(:'cy')) AS s, LATERAL (SELECT (s.r).id, (s.r).status) AS x;
SET usage_tracking.clock = '2026-03-10 12:30+00';
SELECT id, status, error_code, error_message FROM list_runs(:'cy') ORDER BY id;

CREATE FUNCTION pg_temp.try(move text, run bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format('SELECT status FROM %s($1, $2)', move) INTO answer USING '00000000-0000-0000-0000-00000000000c'::uuid, run;
    RAISE EXCEPTION USING ERRCODE = 'UTOK1', MESSAGE = answer;  -- undone
EXCEPTION WHEN OTHERS THEN
    RETURN CASE SQLSTATE WHEN 'UTOK1' THEN 'becomes ' || SQLERRM ELSE SQLSTATE || ' ' || SQLERRM END;
END
$$;
SELECT (get_run(:'cy', m.id)).status AS is, t.move, pg_temp.try(t.move, m.id)
  FROM moved AS m, unnest('{update_run,succeed_run,fail_run,cancel_run}'::text[]) WITH ORDINALITY AS t (move, n) ORDER BY m.id, t.n;
SELECT count(*) FROM usage_events WHERE user_id = :'cy';
SELECT succeed_run(:'ann', 2);
SELECT record_delivery(:'ann', 2, true);
UPDATE usage_runs SET status = NULL WHERE id = 1;
UPDATE usage_runs SET status = 'done' WHERE id = 1;

-- ---- 500 starts for three places ----

SELECT allowed, reason, count(*) FROM generate_series(1, 500) AS n, LATERAL start_run(:'bob', progress => to_jsonb(n)) AS s GROUP BY 1, 2 ORDER BY 1;
SELECT status, count(*) FROM list_runs(:'bob') GROUP BY status;

-- an expired run stops counting at that instant; it may be recorded late, but it does not come back
SET usage_tracking.clock = '2026-03-10 13:29:59.999999+00';
SELECT allowed, reason, used, check_monthly_usage_limit(:'bob', 3) FROM start_run(:'bob');
SET usage_tracking.clock = '2026-03-10 13:30+00';
SELECT check_monthly_usage_limit(:'bob', 3);
SELECT allowed, reason, used FROM start_run(:'bob');
SELECT status, count(*) FROM list_runs(:'bob') GROUP BY status ORDER BY status;
SELECT min(id) AS first FROM usage_runs WHERE user_id = :'bob' \gset
SELECT update_run(:'bob', :first, expires_in => '1 hour') IS NULL;
SELECT status, event_id IS NOT NULL, completed_at FROM succeed_run(:'bob', :first);
SELECT used, held FROM user_usage WHERE user_id = :'bob';
SELECT allowed, reason FROM start_run(:'bob') \gset second_
SELECT (fail_run(:'bob', max(id))).status FROM usage_runs WHERE user_id = :'bob' AND status = 'running';
SELECT used, held FROM user_usage WHERE user_id = :'bob';

-- its reservation is its own, and may be gone when a late end comes
SELECT id AS late FROM start_run(:'cy') \gset
SELECT commit_usage(:'cy', :late);
SELECT release_usage(:'cy', :late);
DELETE FROM usage_reservations WHERE id = :late;
SELECT update_run(:'cy', :late, expires_in => '1 hour');
SELECT status, cost FROM succeed_run(:'cy', :late, cost => 5);

-- ---- keys ----

SELECT allowed, reason, id AS keyed FROM start_run(:'cy', idempotency_key => 'k') \gset
SELECT allowed, reason, id = :keyed AS same FROM start_run(:'cy', idempotency_key => 'k', resource_id => 'other');
SELECT start_run(:'cy', counts => false, idempotency_key => 'k');
SELECT (cancel_run(:'cy', :keyed)).status;
SELECT allowed, reason, id = :keyed AS same FROM start_run(:'cy', idempotency_key => 'k');

-- ---- what failed or was a test was paid for all the same ----

SELECT define_usage_limit('run_budget', NULL, 1, 'lifetime', NULL, measure => 'cost', statuses => '{success,failed,cancelled}');
SELECT define_usage_limit('run_calls', 'run', 2, 'lifetime', NULL, measure => 'events');
SELECT define_usage_limit('run_tokens', 'run', 1000, 'lifetime', NULL, measure => 'tokens');
SELECT allowed, reason, limit_type, used FROM start_run(:'dee', counts => false, tokens => 400);
SELECT limit_type, used, held FROM user_usage WHERE user_id = :'dee' ORDER BY 1;
SELECT status, counts, tokens, cost FROM succeed_run(:'dee', (SELECT max(id) FROM usage_runs), cost => 0.4, input_tokens => 300, output_tokens => 200);
SELECT (fail_run(:'dee', id, 'webhook said no', 'E_HOOK', 'acme', 'writer', 1000000, 0)).cost FROM start_run(:'dee');
SELECT (cancel_run(:'dee', id, cost => 0.05)).cost FROM start_run(:'dee');
SELECT limit_type, used, held FROM user_usage WHERE user_id = :'dee' ORDER BY 1;
SELECT status, quantity, corrected_events, tokens, cost, error_code, error_message FROM usage_events WHERE user_id = :'dee' ORDER BY id;
SELECT (succeed_run(:'dee', id, cost => 0.4)).cost FROM start_run(:'dee', counts => false);
SELECT allowed, reason, limit_type FROM start_run(:'dee', counts => false);
SELECT * FROM reconcile_usage();

-- taken back, or found to cost something else
SELECT id AS tested FROM start_run(:'eve', counts => false) \gset
SELECT cost, event_id FROM succeed_run(:'eve', :tested, 'acme', 'unheard-of', 100, 10) \gset
SELECT id AS given FROM start_run(:'eve') \gset
SELECT cost FROM succeed_run(:'eve', :given, 'acme', 'unheard-of', 100, 10, cost => 0.07);
SELECT total_runs, successful_runs, total_tokens, total_cost_usd, unpriced_runs FROM user_monthly_usage WHERE user_id = :'eve';
SELECT model, action FROM import_model_prices('{"unheard-of": {"litellm_provider": "acme", "input_cost_per_token": 0.0001, "output_cost_per_token": 0.001}}', '2026-01-01 00:00+00');
SELECT corrected, unpriced, difference FROM recost_usage('2026-03-01 00:00+00', '2026-04-01 00:00+00');
SELECT id = :tested AS tested, cost FROM list_runs(:'eve');
SELECT total_runs, successful_runs, total_tokens, total_cost_usd, unpriced_runs FROM user_monthly_usage WHERE user_id = :'eve';
SELECT reverse_usage(:'eve', :event_id);
SELECT corrected, unpriced, difference FROM recost_usage('2026-03-01 00:00+00', '2026-04-01 00:00+00');
SELECT id = :tested AS tested, status, tokens, cost FROM list_runs(:'eve');
SELECT limit_type, used FROM user_usage WHERE user_id = :'eve' ORDER BY 1;
SELECT * FROM reconcile_usage();

-- ---- deliveries ----

SELECT delivered, delivery_attempts, last_delivery_at, last_delivery_status FROM record_delivery(:'ann', 1, false, 503, 'busy', 'd-1');
SET usage_tracking.clock = '2026-03-10 13:35+00';
SELECT delivered, delivery_attempts, last_delivery_at, last_delivery_status FROM record_delivery(:'ann', 1, false, error => 'no route');
SELECT delivered, delivery_attempts, last_delivery_at, last_delivery_status FROM record_delivery(:'ann', 1, true, 200, delivery_id => 'd-2');
SELECT delivered, delivery_attempts, last_delivery_at, last_delivery_status FROM record_delivery(:'ann', 1, false, 500, 'late', 'd-1');
SELECT * FROM get_run_deliveries(:'ann', 1);
SELECT status FROM get_run(:'ann', 1);

-- ---- pages ----

SELECT id FROM list_runs(:'cy', 2);
SELECT id FROM list_runs(:'cy', 2, 2);
SELECT min(id) AS last FROM list_runs(:'cy', 2) \gset
SELECT id FROM list_runs(:'cy', 2, before_id => :last);
SELECT count(*) FROM list_runs(:'cy', before_id => -9223372036854775808);
SELECT list_runs(:'cy', 1001);
SELECT get_run(:'ann', 999) IS NULL;

-- ---- months are those of the user ----

SET usage_tracking.clock = '2026-04-01 02:00+00';
SELECT set_user_clock(:'eve', 'America/Los_Angeles');
SELECT (succeed_run(:'eve', id)).started_at FROM start_run(:'eve');
SELECT month, total_runs, successful_runs, failed_runs, last_run_at FROM user_monthly_usage WHERE user_id = :'eve';
SELECT check_monthly_usage_limit(:'eve', 2), check_monthly_usage_limit(:'eve', 3), check_monthly_usage_limit(:'eve', 0), check_monthly_usage_limit(:'eve', -1);
SET TimeZone = 'Asia/Tokyo';
SELECT extract(epoch FROM month)::bigint, total_runs FROM user_monthly_usage WHERE user_id = :'eve';
SELECT run_usage(:'eve') #>> '{monthlyUsage,month}';
SET TimeZone = 'UTC';
SELECT set_user_clock(:'eve', 'UTC');
SELECT month, total_runs FROM user_monthly_usage WHERE user_id = :'eve' ORDER BY month;
SELECT check_monthly_usage_limit(:'eve', 1), check_monthly_usage_limit(:'eve', 2);

-- ---- a dashboard ----

SELECT jsonb_pretty(run_usage(:'bob'));
SELECT define_usage_limit('runs_daily', 'run', 10, 'calendar', '1 day');
SELECT is_active FROM define_usage_limit('run_calls', 'run', 2, 'lifetime', NULL, measure => 'events', is_active => false), usage_limits WHERE limit_type = 'run_calls';
SELECT set_user_limit(:'bob', 'runs_monthly', 5);
CREATE FUNCTION pg_temp.start_and_see(n integer, OUT allowed boolean, OUT usage jsonb) LANGUAGE plpgsql AS $$
BEGIN
    SELECT s.allowed INTO allowed FROM start_run('00000000-0000-0000-0000-00000000000b') AS s;
    usage := run_usage('00000000-0000-0000-0000-00000000000b');
END
$$;
SELECT s.allowed, s.usage - 'monthlyUsage' AS usage FROM generate_series(1, 6) AS n, LATERAL pg_temp.start_and_see(n) AS s;
SELECT set_user_limit(:'bob', 'runs_monthly', -1);
SELECT run_usage(:'bob') - 'monthlyUsage';
SELECT run_usage(:'bob', 'nothing');

-- ---- credits are held, paid and given back ----

SET usage_tracking.credits_enabled = on;
SELECT set_credit_cost('run', 10), grant_credits(:'ann', 25) > 0;
SELECT set_user_limit(:'ann', 'runs_monthly', -1), set_user_limit(:'ann', 'runs_daily', -1);
SELECT max(id) AS paid, min(id) AS failed FROM generate_series(1, 2) AS n, LATERAL start_run(:'ann', progress => to_jsonb(n)) \gset
SELECT allowed, reason FROM start_run(:'ann');
SELECT run_usage(:'ann') -> 'canRunMore', credit_balance(:'ann');
SELECT allowed FROM start_run(:'ann', counts => false);
SELECT (update_run(:'ann', :paid, expires_in => '2 hours')).expires_at;
SELECT (fail_run(:'ann', :failed)).status;
SELECT (succeed_run(:'ann', :paid)).status;
SELECT run_usage(:'ann') -> 'canRunMore', credit_balance(:'ann');
SELECT status, credits_used FROM usage_events WHERE run_id = ANY (ARRAY[:paid, :failed]) ORDER BY id;
SELECT * FROM reconcile_usage();
RESET usage_tracking.credits_enabled;

-- ---- switched off ----

SET usage_tracking.enabled = off;
SELECT allowed, reason, id FROM start_run(:'ann');
SELECT id AS left_over FROM usage_runs WHERE user_id = :'bob' AND status = 'running' ORDER BY id DESC LIMIT 1 \gset
SELECT status, event_id, tokens, cost FROM succeed_run(:'bob', :left_over, 'acme', 'writer', 1, 1);
RESET usage_tracking.enabled;

-- ---- who may ----

CREATE ROLE regress_runs_user;
CREATE ROLE regress_runs_server;
SELECT grant_usage_access('regress_runs_user'), grant_usage_access('regress_runs_server', server => true);
SELECT * FROM usage_security_check();
SET usage_tracking.user_id = :'ann';
SET ROLE regress_runs_user;
SELECT id, status FROM get_run(:'ann', 1);
SELECT count(*) FROM list_runs(:'ann');
SELECT user_id, total_runs FROM user_monthly_usage;
SELECT get_run(:'bob', :first);
SELECT check_monthly_usage_limit(:'bob');
SELECT start_run(:'ann');
SELECT fail_run(:'ann', 1);
SELECT status FROM usage_runs;
SET ROLE regress_runs_server;
SELECT id, status FROM get_run(:'ann', 1);
SELECT count(DISTINCT user_id) FROM user_monthly_usage;
RESET ROLE;
RESET usage_tracking.user_id;

-- ---- what is kept ----

SELECT count(*) FROM usage_runs WHERE user_id = :'ann';
SET usage_tracking.event_retention = '30d';
SET usage_tracking.clock = '2026-05-01 00:00+00';
SELECT task, done > 0 AS done, "left" FROM usage_maintenance() WHERE task = 'runs';
SELECT count(*) FROM usage_runs;
SELECT count(*) FROM usage_run_deliveries;
ROLLBACK;
