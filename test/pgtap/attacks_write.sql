/* Attacks on what is counted and allowed: 18-29, 44, 45 and 62 of the suite.
 *
 * Promise 9: no statement an ordinary role can send gives any usage back or
 * changes a limit, a role or an existing event; he can use up his own
 * allowance, in positive amounts, and nobody else's.  Promise 10: history is
 * append-only, for the superuser too. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
\ir lib/attackers.sql
SELECT no_plan();

/* 18-25, by plain SQL on every relation */
SELECT attack.on_relations('18 INSERT', 'INSERT INTO %1$s DEFAULT VALUES', 'rpf');
SELECT attack.on_relations('18 INSERT into a view', 'INSERT INTO %1$s DEFAULT VALUES', 'v', '42501 55000', '42501 55000');
SELECT attack.by_all('18 a row of his own with a higher limit', ARRAY[
    format('INSERT INTO usage.user_limits (user_id, limit_type, max_usage) VALUES (%L, ''calls_daily'', -1)', :a),
    format('UPDATE usage.user_limits SET max_usage = 1000 WHERE user_id = %L', :a),
    format('UPDATE usage.user_subscriptions SET plan = ''pro'' WHERE user_id = %L', :a),
    format('INSERT INTO usage.user_roles (user_id, role) VALUES (%L, ''admin'')', :a),
    'UPDATE usage.usage_limits SET max_usage = -1', 'INSERT INTO usage.plan_limits VALUES (''free'', ''calls_daily'', -1)',
    'INSERT INTO usage.temporary_limits VALUES (''calls_daily'', NULL, now(), now() + ''1 day'', -1)', 'UPDATE usage.temporary_limits SET ends_at = ''2100-01-01''',
    format('SELECT usage.track_api_usage(%L, ''api.content'', ''acme'', ''m1'', input_tokens => -1)', :a), format('SELECT usage.define_campaign(%L, ''spring'', ''mine'', 0)', :a),
    format('UPDATE usage.campaigns SET budget = 0 WHERE user_id = %L', :a), format('INSERT INTO usage.campaigns (user_id, campaign_id) VALUES (%L, ''x'')', :a),
    format('UPDATE usage.usage_events SET cost = 0 WHERE user_id = %L', :a),
    'INSERT INTO usage.model_prices (provider, model, prices, valid_from) VALUES (''openai'', ''gpt-5'', ''{"input": 0}'', ''-infinity'')', 'UPDATE usage.model_prices SET prices = ''{}''',
    'SELECT * FROM usage.import_model_prices(''{"gpt-5": {"litellm_provider": "openai"}}'')', 'SELECT usage.install_seed_prices()', 'INSERT INTO usage.model_aliases VALUES (''openai'', ''gpt-5'', ''x'', ''y'')',
    'INSERT INTO usage.usage_alert_rules (threshold) VALUES (1e6)', 'UPDATE usage.usage_alert_rules SET is_active = false',
    format('INSERT INTO usage.usage_alerts (user_id, kind, used, raised_at) VALUES (%L, ''unusual'', 1, now())', :a),
    format('UPDATE usage.usage_alerts SET acknowledged_at = now() WHERE user_id = %L', :a), format('DELETE FROM usage.usage_alerts WHERE user_id = %L', :a),
    format('SELECT usage._raise_unusual_use(%L, ''film'', ''2026-01-02'', 1, 1)', :a),
    'SET usage_tracking.alert_thresholds = ''''', 'SET usage_tracking.alert_channel = ''spy''', 'SET usage_tracking.alert_retention = 1',
    format('SELECT usage.grant_credits(%L, 1000)', :a), format('SELECT usage.grant_credits(%L, 1000, reference_id => ''order-of-a'')', :a), format('SELECT usage.set_credit_overdraft(%L, 1000)', :a),
    format('SELECT usage.refund_credits(%L, 2)', :a), format('SELECT usage.refund_credits(%L, NULL)', :a), format('SELECT usage.spend_credits(%L, 1)', :a), format('SELECT usage.spend_credits(%L, -1)', :a), format('SELECT usage.spend_credits(%L, 3, ''secret-spend'')', :b),
    'SELECT usage.set_credit_cost(''film'', 0)', 'SELECT usage.set_credit_cost(''film'', NULL)', 'SELECT usage.set_credit_refill(''free'', 1000000)',
    format('UPDATE usage.credit_accounts SET overdraft = 1000, owed = -1000 WHERE user_id = %L', :a), format('UPDATE usage.credit_grants SET remaining = 1000 WHERE user_id = %L', :a), 'DELETE FROM usage.credit_costs',
    format('SELECT usage._forget_credits(%L, %L)', :b, :a), 'SET usage_tracking.credits_enabled = off', 'SET usage_tracking.credit_refills = ''free=1000000''',
    'SET usage_tracking.limit_overrides = ''calls_daily.free=-1''', 'SELECT set_config(''usage_tracking.limit_overrides'', ''calls_daily.free=-1'', true)']);
SELECT attack.by_all('19 his credits, by the views', ARRAY[
    format('UPDATE usage.user_credits SET balance = 1000 WHERE user_id = %L', :a), format('UPDATE usage.credit_transactions SET amount = 0 WHERE user_id = %L', :a), format('DELETE FROM usage.credit_transactions WHERE user_id = %L', :a)], '42501 55000', '42501 55000');
SELECT attack.on_relations('19 UPDATE', 'UPDATE %1$s SET %2$s = %2$s', 'rpf');
SELECT attack.on_relations('19 UPDATE of a view', 'UPDATE %1$s SET %2$s = %2$s', 'v', '42501 55000', '42501 55000');
SELECT attack.by_all('19 his own counter back to 0', ARRAY[
    format('UPDATE usage.usage_counters SET used = 0 WHERE user_id = %L', :a),
    format('UPDATE usage.usage_events SET quantity = 0 WHERE user_id = %L', :a),
    format('UPDATE usage.user_usage SET used = 0 WHERE user_id = %L', :a),
    format('UPDATE usage.user_usage SET max_usage = 1000 WHERE user_id = %L', :a),
    format('UPDATE usage.user_usage SET max_usage = NULL WHERE user_id = %L RETURNING *', :b),
    'UPDATE usage.user_usage SET used = used', 'UPDATE usage.user_usage SET used = 0 WHERE false',
    'UPDATE usage.user_usage SET plan = ''pro'' RETURNING *',
    'MERGE INTO usage.user_usage AS u USING (VALUES (1)) AS v ON true WHEN MATCHED THEN UPDATE SET used = 0',
    'WITH w AS (UPDATE usage.user_usage SET used = 0 RETURNING *) SELECT * FROM w'], '42501 0A000', '42501 0A000');  -- MERGE knows no views before 17
SELECT attack.on_relations('20 INSERT ON CONFLICT DO UPDATE',
    'INSERT INTO %1$s SELECT * FROM %1$s ON CONFLICT %3$s DO UPDATE SET %2$s = EXCLUDED.%2$s', 'r');
SELECT attack.on_relations('20 the same on a parent', 'INSERT INTO %1$s SELECT * FROM %1$s ON CONFLICT DO NOTHING', 'p');
SELECT attack.by_all('20, 21 on B''s key', ARRAY[
    format('INSERT INTO usage.user_subscriptions (user_id) VALUES (%L) ON CONFLICT (user_id) DO UPDATE SET plan = ''free''', :b),
    format('INSERT INTO usage.user_subscriptions (user_id) VALUES (%L) ON CONFLICT (user_id) DO UPDATE'
           ' SET user_id = EXCLUDED.user_id RETURNING plan, status', :b),
    format('INSERT INTO usage.user_subscriptions (user_id) VALUES (%L) ON CONFLICT DO NOTHING RETURNING user_id', :b),
    format('INSERT INTO usage.usage_keys (user_id, idempotency_key) VALUES (%L, ''secret-key'') ON CONFLICT DO NOTHING', :b)]);
SELECT attack.on_relations('22 MERGE, to delete', 'MERGE INTO %1$s USING (SELECT 1) AS s ON true WHEN MATCHED THEN DELETE', 'rp');
SELECT attack.on_relations('22 MERGE, to insert', 'MERGE INTO %1$s USING (SELECT 1) AS s ON false WHEN NOT MATCHED THEN INSERT DEFAULT VALUES', 'rp');
SELECT attack.on_relations('22 MERGE, to change', 'MERGE INTO %1$s USING (SELECT 1) AS s ON false WHEN MATCHED THEN UPDATE SET %2$s = DEFAULT', 'rp');
SELECT attack.on_relations('23 INSERT RETURNING', 'INSERT INTO %1$s (%2$s) VALUES (DEFAULT) RETURNING *', 'rpf');
SELECT attack.on_relations('24 DELETE', 'DELETE FROM %1$s', 'rpf');
SELECT attack.on_relations('24 DELETE from a view', 'DELETE FROM %1$s RETURNING *', 'v', '42501 55000', '42501 55000');
SELECT attack.by_all('24 what is his own', array_agg(format('DELETE FROM %s WHERE user_id = %L', relation, :a)))
  FROM attack.relations() JOIN pg_attribute ON attrelid = relation AND attname = 'user_id' WHERE kind IN ('r', 'p');
SELECT attack.on_relations('25 TRUNCATE', 'TRUNCATE %1$s CASCADE', 'rpf');
SELECT attack.on_relations('25 TRUNCATE with its sequences', 'TRUNCATE ONLY %1$s RESTART IDENTITY CASCADE', 'r');

/* 18, 19 and 26 by every function: what takes a user id refuses his own too,
 * but for the few that use up or tell what he has. */
SELECT attack.by_all('18 functions with his own id', array_agg(attack.call(function, quote_literal(:a))))
  FROM attack.functions()
 WHERE of_user
   AND name NOT IN ('get_user_usage', 'get_user_roles', 'get_user_costs', 'get_user_usage_history', 'get_user_aggregations', 'get_user_stats', 'get_campaigns', 'user_dashboard', 'user_page', 'usage_report',
                    'is_admin', 'has_role', 'check_usage_limit', 'consume_usage', 'require_usage', '_usage_of_user', '_calls_of_user', 'credit_balance', '_credits_of_user', '_credit_transactions_of_user',
                    'get_usage_alerts', 'acknowledge_usage_alert',
                    'get_run', 'list_runs', 'get_run_deliveries', 'run_usage', 'check_monthly_usage_limit', '_monthly_runs');
SELECT attack.by_all('26 functions with B''s id', array_agg(attack.call(function, quote_literal(:b))))
  FROM attack.functions() WHERE of_user;
SELECT attack.by_all('26 using up B''s allowance', ARRAY[
    format('SELECT usage.track_usage(%L, ''call'', 4)', :b), format('SELECT usage.consume_usage(%L, ''call'', 4)', :b),
    format('SELECT usage.require_usage(%L, ''call'', 4)', :b), format('SELECT usage.consume_usage(u, ''call'') FROM unnest(%L::uuid[]) AS u', ARRAY[:b])]);

/* the function itself refuses too, should somebody have granted it */
SELECT string_agg(f.function::text, ', ') AS server_functions FROM usage._audience() AS f JOIN attack.functions() AS a USING (function)
 WHERE f.audience = 'server' AND a.name <> 'act_for_any_user' OR a.name = '_record_signup' \gset
GRANT EXECUTE ON FUNCTION :server_functions TO PUBLIC;
SELECT attack.by_all('26 what is for servers, granted by mistake', array_agg(attack.call(function, quote_literal(id))))
  FROM attack.functions(), unnest(ARRAY[:a, :b]) AS id WHERE of_user AND strpos(:'server_functions', function::text) > 0;
SELECT attack.by_all('26 a batch, granted by mistake', ARRAY[
    format('SELECT usage.track_usage_batch(%L)', jsonb_build_array(jsonb_build_object('user_id', :b, 'usage_type', 'call'))),
    format('SELECT usage.track_usage_batch(%L)', jsonb_build_array(jsonb_build_object('user_id', :a, 'usage_type', 'call'))),
    'SELECT usage.track_usage_batch(''[]'')']);
SELECT attack.by_all('26 a call of an API, granted by mistake', ARRAY[
    format('SELECT usage.track_api_usage(%L, ''api.content'', ''acme'', ''m1'')', :a), format('SELECT usage.track_api_usage(%L, ''api.content'', ''acme'', ''m1'')', :b)]);
REVOKE EXECUTE ON FUNCTION :server_functions FROM PUBLIC;
SELECT attack.by_all('24 what he used or reserved, given back', ARRAY[
    format('SELECT usage.release_usage(%L, %s)', :a, own.hold), format('SELECT usage.commit_usage(%L, %s, 0)', :a, own.hold),
    format('SELECT usage.reverse_usage(%L, %s)', :a, own.event), format('SELECT usage.reverse_usage(%L, %s, 0.000000001)', :a, own.event),
    format('SELECT usage.adjust_usage(%L, ''calls_daily'', 0)', :a), format('SELECT usage.adjust_usage(%L, ''calls_daily'', 2)', :a),
    format('SELECT usage.reset_user_usage(%L, ''calls_daily'')', :a), format('SELECT usage.erase_user(%L)', :a),
    'SELECT usage.recost_usage(now() - interval ''1 day'', now())', 'SELECT usage.recost_usage(now(), now())', 'SELECT usage.recost_usage(NULL, NULL)'])
  FROM (SELECT (SELECT id FROM usage.usage_reservations WHERE user_id = :a AND NOT is_run) AS hold,
               (SELECT id FROM usage.usage_events WHERE user_id = :a AND usage_type = 'call') AS event) AS own;

SELECT attack.by_all('24 levels and places, made lower, raised or taken', ARRAY[
    format('SELECT usage.set_usage_level(%L, ''calls_daily'', 0)', :a), format('SELECT usage.add_usage_level(%L, ''calls_daily'', -1)', :a),
    format('SELECT usage.set_usage_level(%L, ''calls_daily'', 1e9)', :b), format('SELECT usage.acquire_lease(%L, ''calls_daily'', NULL)', :b),
    format('SELECT usage.acquire_lease(%L, ''calls_daily'')', :a), format('SELECT usage.release_lease(%L, 1)', :a), format('SELECT usage.renew_lease(%L, 1)', :b),
    'SELECT usage.attach_usage_gauge(''usage.usage_events_default'', ''calls_daily'', ''user_id'')', 'SELECT usage.verify_usage_gauge(''calls_daily'')',
    'SELECT usage._session_lives(1, 1)', 'SELECT usage._attached_gauges()']);
/* Rates: nobody takes from B's or looks at it, nor names a key (which would be a place
 * for each text he thinks of), nor changes one. */
SELECT usage.define_rate_limit('calls', 3, '1 hour') \g /dev/null
SELECT attack.by_all('26 rates: ' || function, ARRAY[
    format('SELECT usage.%I(%L, ''calls'')', function, :b), format('SELECT usage.%I(%L, ''calls'', 0)', function, :b),
    format('SELECT usage.%I(%L, ''nothing'')', function, :b), format('SELECT usage.%I(NULL, ''calls'')', function),
    format('SELECT usage.%I(NULL, ''calls'', 1, ''192.0.2.1'')', function), format('SELECT usage.%I(%L, ''calls'', 1, ''key'')', function, :b),
    format('SELECT usage.%I(%L, ''calls'', 1, ''key'')', function, :a),
    format('SELECT usage.%I(%L, ''calls'', 1, repeat(''x'', n)) FROM generate_series(1, 1000) AS n', function, :a)])
  FROM unnest('{check_rate_limit,consume_rate_limit,require_rate_limit}'::text[]) AS function;
SELECT attack.by_all('26 rates: defined', ARRAY['SELECT usage.define_rate_limit(''calls'', 1000000, ''1 second'')', 'SELECT usage.define_rate_limit(''new'', 1, ''1 day'')',
    'UPDATE usage.api_rate_limits SET burst = 1000000', 'SELECT * FROM usage.api_rate_limits', 'SELECT usage._memory_areas()']);
SELECT attack.by_all('26 rates: less than nothing', ARRAY[format('SELECT usage.consume_rate_limit(%L, ''calls'', -1)', :a)], '22023');
SELECT is(rows, '(0)' || E'\n', role || ' sees nothing of the memory') FROM attack.attackers, attack.run(role, 'SELECT count(*) FROM usage.usage_memory') WHERE is_user;
/* Runs (24 too): nobody starts, ends, deletes or sees another's, nor brings his own into a cheaper state. */
SELECT attack.by_all('24 runs: ' || move || ' ' || whose, ARRAY[format('SELECT usage.' || call, user_id, id)])
  FROM (SELECT CASE r.user_id WHEN :a THEN 'his own' ELSE 'B''s' END AS whose, r.user_id, r.id FROM usage.usage_runs AS r WHERE r.status = 'running') AS r,
       (VALUES ('fail', 'fail_run(%L, %s)'), ('cancel', 'cancel_run(%L, %s)'), ('succeed', 'succeed_run(%L, %s, cost => 0)'), ('update', 'update_run(%L, %s, expires_in => ''1 day'')'),
               ('deliver', 'record_delivery(%L, %s, true)'), ('release', 'release_usage(%L, %s)'), ('commit', 'commit_usage(%L, %s, 0)'),
               ('start', 'start_run(%L, ''report'', idempotency_key => ''%s'')'), ('start uncounted', 'start_run(%L, ''report'', counts => false, idempotency_key => ''%s'')')) AS v (move, call);
SELECT attack.by_all('24 runs: by SQL, ' || statement, ARRAY[statement])
  FROM unnest(ARRAY['UPDATE usage.usage_runs SET status = ''failed''', 'UPDATE usage.usage_runs SET counts = false', 'DELETE FROM usage.usage_runs', 'TRUNCATE usage.usage_runs',
                    'INSERT INTO usage.usage_run_deliveries VALUES (usage.current_user_id(), 1, 1, now(), true)',
                    'SELECT status FROM usage.usage_runs', 'SELECT * FROM usage.usage_run_deliveries']) AS statement;
SELECT attack.by_all('24 runs: the view is no way either', ARRAY['UPDATE usage.user_monthly_usage SET total_runs = 0', 'DELETE FROM usage.user_monthly_usage'], '42501 55000', '42501 55000');
SELECT attack.by_all('24 runs: of B''s', array_agg(format('SELECT * FROM usage.' || call, :b, r.id)))
  FROM usage.usage_runs AS r, unnest(ARRAY['get_run(%L, %s)', 'list_runs(%L, %s)', 'get_run_deliveries(%L, %s)', 'run_usage(%L, ''report'')', 'check_monthly_usage_limit(%L, %s)',
                                           'check_monthly_usage_limit(%L, 0)', '_monthly_runs(%L)', '_runs_of_user(%L, 0, 99, 0, 9, now())']) AS call WHERE r.user_id = :b;
SELECT is(rows, format('(running,t)%s(aaaaaaaa-0000-4000-8000-00000000000a,1,0)%s', E'\n', E'\n'), role || ' reads his own run, and nobody else''s, and so his month')
  FROM attack.attackers, attack.run(role, 'SELECT status, counts FROM usage.list_runs(''aaaaaaaa-0000-4000-8000-00000000000a'')') AS r (s1, t1, r1),
       attack.run(role, 'SELECT user_id, total_runs, failed_runs FROM usage.user_monthly_usage') AS m (s2, t2, r2), LATERAL (SELECT r1 || r2) AS x (rows) WHERE is_user;

/* 27 */
SELECT attack.by_all('27 ' || function || ' of ' || amount,
       ARRAY[format('SELECT usage.%I(%L, ''call'', quantity => %L)', function, :a, amount),
             format('SELECT usage.%I(%L, ''call'', tokens => -1)', function, :a),
             format('SELECT usage.%I(%L, ''call'', cost => %L)', function, :a, amount)], '22023')
  FROM unnest('{check_usage_limit,consume_usage,require_usage}'::text[]) AS function,
       unnest('{-1,-0.000001,NaN,Infinity,-Infinity}'::text[]) AS amount;
SELECT attack.by_all('27 nothing at all', ARRAY[format('SELECT usage.consume_usage(%L, ''call'', 0)', :a),
                                                format('SELECT usage.require_usage(%L, ''call'', 0)', :a)], '22023');
SELECT attack.by_all('27 so much that the sum turns round', ARRAY[
    format('SELECT usage.consume_usage(%L, ''call'', 1e29)', :a), format('SELECT usage.require_usage(%L, ''call'', 1e29)', :a)], '22003');
SELECT attack.by_all('27 more than there is', ARRAY[format('SELECT usage.consume_usage(%L, ''call'', 1000)', :a)], '00000');

/* 28 */
SELECT attack.by_all('28 an event of another time', ARRAY[
    format('SELECT usage.track_usage(%L, ''call'', occurred_at => now() - interval ''40 days'')', :a),
    format('SELECT usage.track_usage(%L, ''call'', occurred_at => now() + interval ''1 day'')', :a)]);
SELECT attack.by_all('28 consume_usage takes no time', ARRAY[
    format('SELECT usage.consume_usage(%L, ''call'', occurred_at => now() - interval ''1 day'')', :a)], '42883', '42883 42501');
/* neither by moving the clock, nor by any other setting that decides */
SELECT attack.by_all('28 settings: ' || how || CASE WHEN context = 'superuser' THEN '' ELSE ', ' || context END, array_agg(format(statement, name, setting)),
                     CASE context WHEN 'superuser' THEN '42501' ELSE '55P02' END, CASE context WHEN 'superuser' THEN '42501' ELSE '55P02' END)
  FROM pg_settings, (VALUES ('SET', 'SET %1$s = %2$L'), ('SET LOCAL', 'SET LOCAL %1$s TO DEFAULT'), ('RESET', 'RESET %1$s'),
                            ('set_config', 'SELECT set_config(%1$L, %2$L, true)'),
                            ('ALTER ROLE', 'ALTER ROLE CURRENT_USER SET %1$s = %2$L'),
                            ('for a function', 'CREATE FUNCTION pg_temp.f() RETURNS uuid LANGUAGE sql SET %1$s = %2$L'
                             ' AS ''SELECT usage.current_user_id()''; SELECT pg_temp.f()')) AS v (how, statement)
 WHERE name LIKE 'usage\_tracking.%' AND name <> 'usage_tracking.error_style' GROUP BY how, context;
SELECT attack.by_all('28 settings: all back to their defaults',
       ARRAY[format('RESET ALL; SELECT true FROM usage.consume_usage(%L, ''call'', 1000) WHERE allowed', :a)], '00000 42501');

/* 29: a key is its user's, so B's neither answers nor blocks A */
SELECT attack.fingerprint(but_of => :a) AS before \gset
SELECT is(rows, '(t,' || reason || ',3,5)' || E'\n', '29 B''s idempotency key means nothing to A, as ' || role)
  FROM (VALUES ('authenticated', 'ok'), ('regress_ut_app', 'replayed')) AS v (role, reason), attack.run(role, format(
       'SELECT allowed, reason, used, max_usage FROM usage.consume_usage(%L, ''call'', 1, idempotency_key => ''secret-key'')', :a));
SELECT is(attack.fingerprint(but_of => :a), :'before', '29 and nothing of B changed');
SELECT is(reason, 'replayed', '29 B still gets his own answer') FROM usage.consume_usage(:b, 'call', 3, idempotency_key => 'secret-key');
SELECT is(used, 3::numeric, '29 and was not charged again') FROM usage.check_usage_limit(:b, 'call');

/* nor what a server does for A with numbers of B's, which are as good as none */
SELECT attack.fingerprint(but_of => :a) AS before \gset
SELECT is(reason, 'unlimited', '29 the key of B''s reservation means nothing to A') FROM usage.reserve_usage(:a, 'film', 3, idempotency_key => 'secret-hold');
SELECT is(saw.state || replace(saw.told, id::text, 'N'), '22023' || replace(none.told, '9999999', 'N'), format('29 %s for A, with a number of B''s', call))
  FROM (SELECT 'release_usage(%L, %s)' AS call, id FROM usage.usage_reservations WHERE user_id = :b
         UNION ALL SELECT 'commit_usage(%L, %s)', id FROM usage.usage_reservations WHERE user_id = :b
         UNION ALL SELECT 'fail_run(%L, %s)', id FROM usage.usage_runs WHERE user_id = :b
         UNION ALL SELECT 'record_delivery(%L, %s, true)', id FROM usage.usage_runs WHERE user_id = :b
         UNION ALL SELECT 'reverse_usage(%L, %s)', max(id) FROM usage.usage_events WHERE user_id = :b AND corrects IS NULL) AS v,
       attack.run('service_role', format('SELECT usage.' || call, :a, id)) AS saw,
       attack.run('service_role', format('SELECT usage.' || call, :a, 9999999)) AS none;
SELECT is(attack.fingerprint(but_of => :a), :'before', '29 and nothing of B changed, by servers neither');

/* 44 */
SELECT attack.on_relations('44 ALTER: ' || what, 'ALTER TABLE %1$s ' || what, 'rpf')
  FROM unnest(ARRAY['OWNER TO CURRENT_USER', 'DISABLE ROW LEVEL SECURITY', 'NO FORCE ROW LEVEL SECURITY', 'DISABLE TRIGGER ALL',
                    'DISABLE TRIGGER USER', 'ADD COLUMN x int', 'DROP COLUMN user_id', 'RENAME TO gone', 'SET SCHEMA workshop',
                    'SET (fillfactor = 10)', 'REPLICA IDENTITY NOTHING']) AS what;
SELECT attack.on_relations('44 CREATE ' || what, replace('CREATE ' || what, '%1$s', '%1$s'), kinds)
  FROM (VALUES ('POLICY mine ON %1$s USING (true)', 'rp'), ('RULE mine AS ON INSERT TO %1$s DO ALSO NOTHING', 'rpv'),
               ('STATISTICS workshop.mine ON %2$s, (1) FROM %1$s', 'r'), ('INDEX mine ON %1$s (%2$s)', 'rp'),
               ('TRIGGER mine BEFORE INSERT ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()', 'rp'),
               ('TABLE workshop.referring (x uuid REFERENCES %1$s)', 'r')) AS v (what, kinds);
SELECT attack.on_relations('44 a view', 'ALTER VIEW %1$s SET (security_invoker = false)', 'v');
SELECT attack.on_relations('44 replacing a view', 'CREATE OR REPLACE VIEW %1$s AS SELECT 1 AS %2$s', 'v');
SELECT attack.on_relations('44 a sequence', 'ALTER SEQUENCE %1$s RESTART', 'S');
SELECT attack.on_relations('44 DROP TABLE', 'DROP TABLE %1$s CASCADE', 'rpf');
SELECT attack.on_relations('44 LOCK TABLE', 'LOCK TABLE %1$s IN ACCESS EXCLUSIVE MODE', 'rp');
/* who reads a whole table may hold the lock that reading it takes */
SELECT attack.on_relations('62 LOCK TABLE ' || mode, 'LOCK TABLE %1$s IN ' || mode || ' MODE', CASE mode WHEN 'ACCESS SHARE' THEN 'rp' ELSE 'rpv' END)
  FROM unnest('{ACCESS SHARE,ROW SHARE,ROW EXCLUSIVE,SHARE UPDATE EXCLUSIVE,SHARE,SHARE ROW EXCLUSIVE,EXCLUSIVE,ACCESS EXCLUSIVE}'::text[]) AS mode;
SELECT attack.on_relations('62 LOCK TABLE ACCESS SHARE of a view', 'LOCK TABLE %1$s IN ACCESS SHARE MODE', 'v', '00000 42501', '00000 42501');
SELECT attack.on_relations('62 locking rows', 'SELECT FROM %1$s FOR ' || strength, 'rp') FROM unnest('{UPDATE,NO KEY UPDATE,SHARE,KEY SHARE}'::text[]) AS strength;
/* one of them can be updated, so this is no error; it locks no row, see 010_attacks.pl */
SELECT attack.on_relations('62 locking rows of a view', 'SELECT FROM %1$s FOR ' || strength, 'v', '00000 42501', '00000 42501') FROM unnest('{UPDATE,NO KEY UPDATE,SHARE,KEY SHARE}'::text[]) AS strength;
SELECT attack.on_relations('44 COMMENT', 'COMMENT ON TABLE %1$s IS ''mine''', 'rp');
SELECT attack.by_all('44 functions: ' || what, array_agg(format('ALTER FUNCTION %s %s', function, what)))
  FROM attack.functions(), unnest('{OWNER TO CURRENT_USER,SECURITY DEFINER,RESET ALL,RENAME TO gone}'::text[]) AS what GROUP BY what;
SELECT attack.by_all('44 the schema and the extension', ARRAY[
    'CREATE TABLE usage.mine ()', 'CREATE FUNCTION usage.is_admin() RETURNS bool LANGUAGE sql AS ''SELECT true''',
    'CREATE OPERATOR usage.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = uuid_eq)', 'ALTER SCHEMA usage RENAME TO gone',
    'DROP SCHEMA usage CASCADE', 'DROP EXTENSION usage_tracking CASCADE', 'ALTER EXTENSION usage_tracking UPDATE',
    'ALTER EXTENSION usage_tracking DROP TABLE usage.plans', 'DROP OWNED BY ' || quote_ident(current_user)]);

/* 45 */
SELECT attack.on_relations('45 GRANT ON TABLE', 'GRANT ALL ON %1$s TO PUBLIC', 'rpvSf', '42501 00000', '42501 00000');
SELECT attack.by_all('45 GRANT ON FUNCTION', array_agg(format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', function)), '42501 00000', '42501 00000')
  FROM attack.functions();
SELECT attack.by_all('45 GRANT ON SCHEMA', ARRAY['GRANT CREATE ON SCHEMA usage TO PUBLIC'], '42501 00000', '42501 00000');
SELECT attack.by_all('45 GRANT of roles, of settings and of others'' defaults', ARRAY[
    'GRANT service_role TO CURRENT_USER', 'GRANT ' || quote_ident(current_user) || ' TO CURRENT_USER',
    'GRANT SET ON PARAMETER usage_tracking.user_id TO CURRENT_USER',
    'ALTER DEFAULT PRIVILEGES FOR ROLE ' || quote_ident(current_user) || ' IN SCHEMA usage GRANT ALL ON TABLES TO PUBLIC',
    'SELECT usage.grant_usage_access(''anon'', true)']);

/* Promise 10: who owns it all cannot rewrite history by a slip. */
SELECT throws_ok(format(statement, relation), '23001', NULL, format('history is kept: ' || statement, relation))
  FROM attack.relations(), unnest('{UPDATE %s SET quantity = 0,DELETE FROM %s,TRUNCATE %s}'::text[]) AS statement
 WHERE relation IN (SELECT relid FROM pg_partition_tree('usage.usage_events'))
   AND (statement LIKE 'TRUNCATE%' OR relation = 'usage.usage_events'::regclass);
SELECT is_empty('SELECT * FROM usage.usage_security_check()', 'usage_security_check() finds nothing');
SELECT * FROM finish();
ROLLBACK;
