/* A million rows, one user: nothing he may ask reads a large table from end to
 * end (design: Rights).  Views are asked for their plan, EXPLAIN ANALYZE as the
 * user himself: no sequential scan that ran, but on an empty partition.  What
 * functions do inside shows in the counts of scans of each table.
 *
 * Three times: with the statistics of the empty tables and plans made for them,
 * as in a session that was there all along; after ANALYZE; with generic plans. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SELECT no_plan();
CREATE ROLE regress_ut_user;
CREATE ROLE regress_ut_server;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.grant_usage_access('regress_ut_user'), usage.grant_usage_access('regress_ut_server', server => true) \g /dev/null
SET LOCAL usage_tracking.clock = '2026-05-15 12:00+00';
SELECT usage.create_usage_partition('2026-04-01'), usage.create_usage_partition('2026-05-01'), usage.create_usage_partition('2026-06-01') \g /dev/null
SELECT usage.define_usage_limit('calls_daily', 'call', 1000000), usage.define_usage_limit('calls_monthly', 'call', 1000000, period => '1 month'),
       usage.define_usage_limit('calls_moving', 'call', 1000000, window_kind => 'anchored', period => '30 days'),
       usage.define_usage_limit('calls_ever', 'call', 1000000, window_kind => 'lifetime', period => NULL),
       usage.define_usage_limit('full', 'mail', 0) \g /dev/null

CREATE SCHEMA test;
CREATE FUNCTION test.user_id(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$ SELECT md5(n::text)::uuid $$;

/* Tables and partitions of the extension larger than 1 MB, rows read of them from
 * end to end, scans of their indexes and rows fetched by these so far.  Scans themselves do not count: a
 * parallel plan begins some that its condition then does not let run. */
CREATE FUNCTION test.scans(OUT relation text, OUT seq bigint, OUT idx bigint, OUT fetched bigint) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT c.oid::regclass::text, COALESCE(s.seq_tup_read, 0), COALESCE(s.idx_scan, 0), COALESCE(s.idx_tup_fetch, 0)
      FROM pg_class c LEFT JOIN pg_stat_xact_user_tables s ON s.relid = c.oid
     WHERE c.relkind = 'r' AND c.relnamespace = 'usage'::regnamespace AND pg_relation_size(c.oid) > 1000000
$$;

/* Runs a statement as a role that acts for a user: what it scanned sequentially, how
 * often by index, and how many events it fetched so. */
CREATE FUNCTION test.scanned(who name, me uuid, statement text, OUT seq text, OUT idx bigint, OUT events bigint) LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE before ON COMMIT DROP AS SELECT * FROM test.scans();
    PERFORM set_config('usage_tracking.user_id', me::text, true), set_config('role', who, true);
    EXECUTE statement;
    PERFORM set_config('role', 'none', true);
    SELECT COALESCE(string_agg(relation, ', ') FILTER (WHERE a.seq > b.seq), 'none'), sum(a.idx - b.idx), sum(a.fetched - b.fetched) FILTER (WHERE relation ~ 'usage_events')
      INTO seq, idx, events
      FROM test.scans() a JOIN before b USING (relation);
    DROP TABLE before;
END
$$;

/* Sequential scans that ran, of relations that are not empty, in a plan. */
CREATE FUNCTION test.seq_scans(plan jsonb) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s.%s', node ->> 'Schema', node ->> 'Relation Name')
      FROM jsonb_path_query(plan, 'strict $.** ? (@."Node Type" like_regex "Seq Scan")') AS node
     WHERE (node ->> 'Actual Loops')::numeric > 0 AND pg_relation_size(format('%I.%I', node ->> 'Schema', node ->> 'Relation Name')) > 0
$$;
CREATE FUNCTION test.plan(me uuid, statement text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    PERFORM set_config('usage_tracking.user_id', me::text, true), set_config('role', 'regress_ut_user', true);
    EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) ' || statement INTO plan;
    PERFORM set_config('role', 'none', true);
    RETURN plan;
END
$$;

/* What is asked: queries of every view of users' rows there is, and calls. */
CREATE TABLE test.asked (n serial, who name, newcomer int DEFAULT 0, statement text);
INSERT INTO test.asked (who, statement)
SELECT 'regress_ut_user', format(query, c.oid::regclass, test.user_id(77))
  FROM pg_class c JOIN pg_depend d ON objid = c.oid AND classid = 'pg_class'::regclass AND deptype = 'e' JOIN pg_extension x ON refobjid = x.oid,
       unnest('{SELECT * FROM %s,SELECT * FROM %s WHERE user_id = %L,SELECT count(*) FROM %s,SELECT * FROM %s ORDER BY user_id LIMIT 5}'::text[]) AS query
 WHERE extname = 'usage_tracking' AND relkind = 'v' AND relname <> 'usage_memory'
 UNION ALL SELECT 'regress_ut_user', format('SELECT plan FROM usage.user_subscriptions WHERE user_id = %L', test.user_id(77))
 UNION ALL SELECT 'regress_ut_user', query
  FROM unnest(ARRAY['SELECT * FROM usage.api_usage WHERE created_at > ''2026-05-01''', 'SELECT sum(total_cost) FROM usage.api_usage', 'SELECT model, sum(total_cost) FROM usage.api_usage GROUP BY model',
                    'SELECT sum(total_cost) FROM usage.api_usage WHERE created_at >= ''2026-04-02'' AND created_at < ''2026-05-03'' AND campaign_id = ''spring''',
                    'SELECT * FROM usage.api_usage ORDER BY created_at DESC LIMIT 20',
                    format('SELECT count(*) FROM usage._calls_of_user(%L)', test.user_id(77)), format('SELECT * FROM usage.get_usage_alerts(%L)', test.user_id(77)),
                    format('SELECT usage.credit_balance(%L)', test.user_id(77)), 'SELECT sum(amount) FROM usage.credit_transactions', 'SELECT * FROM usage.credit_transactions ORDER BY id DESC LIMIT 20']) AS query;
INSERT INTO test.asked (who, newcomer, statement)
SELECT who, newcomer, 'SELECT usage.' || call FROM (VALUES
    ('regress_ut_user', 0, 'check_usage_limit(%1$L, ''calls_daily'')'),
    ('regress_ut_user', 0, 'check_usage_limit(%1$L, ''call'')'),
    ('regress_ut_user', 0, 'consume_usage(%1$L, ''call'')'),
    ('regress_ut_user', 0, 'consume_usage(%1$L, ''call'', idempotency_key => %2$L)'),
    ('regress_ut_user', 0, 'consume_usage(%1$L, ''call'', idempotency_key => %2$L)'),
    ('regress_ut_user', 0, 'consume_usage(%1$L, ''mail'')'),
    ('regress_ut_user', 0, 'is_admin(%1$L)'), ('regress_ut_user', 0, 'get_user_roles(%1$L)'), ('regress_ut_user', 0, 'has_role(%1$L, ''admin'')'),
    ('regress_ut_user', 1, 'check_usage_limit(%1$L, ''call'')'), ('regress_ut_user', 1, 'consume_usage(%1$L, ''call'')'),
    ('regress_ut_user', -1, 'consume_usage(%1$L, ''call'')'),
    ('regress_ut_server', 0, 'track_usage(%1$L, ''call'')'),
    ('regress_ut_server', 0, 'track_usage(%1$L, ''call'', occurred_at => ''2026-04-20'')'),
    ('regress_ut_server', 0, 'track_usage(%1$L, ''call'', idempotency_key => ''s'' || %2$L)'),
    ('regress_ut_server', 0, 'grant_credits(%1$L, 50, reference_id => ''g'' || %2$L)'), ('regress_ut_server', 0, 'spend_credits(%1$L, 3, ''s'' || %2$L)'), ('regress_ut_server', 0, 'spend_credits(%1$L, 3, ''s'' || %2$L)'),
    ('regress_ut_server', 0, 'credit_balance(%1$L, ''2026-05-01 12:00+00'')'),
    ('regress_ut_server', 0, 'set_user_plan(%1$L, ''pro'')'), ('regress_ut_server', 0, 'set_user_limit(%1$L, ''calls_daily'', 5000)'),
    ('regress_ut_server', 0, 'set_user_clock(%1$L, ''Europe/Berlin'', ''2026-05-03'')'),
    ('regress_ut_user', 0, 'check_usage_limit(%1$L, ''call'')')) AS v (who, newcomer, call);

CREATE FUNCTION test.ask(round text, number int) RETURNS TABLE (statement text, is_query boolean, me uuid, seq text, idx bigint, events bigint)
LANGUAGE plpgsql AS $$
DECLARE
    one test.asked;
BEGIN
    FOR one IN SELECT * FROM test.asked ORDER BY n LOOP
        me := test.user_id(CASE one.newcomer WHEN 0 THEN 77 ELSE one.newcomer * number END);
        statement := format(one.statement, me, round);
        is_query := one.statement LIKE 'SELECT % FROM %';
        SELECT s.seq, s.idx, s.events INTO seq, idx, events FROM test.scanned(one.who, me, statement) AS s;
        RETURN NEXT;
    END LOOP;
END
$$;
CREATE FUNCTION test.verdict(round text, number int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    one  record;
    plan jsonb;
    own  bigint;
BEGIN
    FOR one IN SELECT * FROM test.ask(round, number) LOOP
        RETURN NEXT is(one.seq, 'none', format('%s: scans of %s', round, one.statement));
        RETURN NEXT cmp_ok(one.idx, '>', 0::bigint, format('%s: it does read, by index: %s', round, one.statement));
        IF one.is_query THEN
            plan := test.plan(one.me, one.statement);
            RETURN NEXT is(ARRAY(SELECT test.seq_scans(plan)), '{}', format('%s: plan of %s', round, one.statement));
            RETURN NEXT is(plan -> 0 -> 'JIT', NULL, format('%s: nothing is compiled for %s', round, one.statement));
            IF one.statement ~ 'usage[.](api_usage|_calls_of_user)' THEN
                SELECT count(*) INTO own FROM usage.usage_events WHERE user_id = one.me;
                RETURN NEXT ok(one.events BETWEEN 4 AND own, format('%s: his own calls are read and no others, %s of %s: %s', round, one.events, own, one.statement));
            END IF;
        END IF;
    END LOOP;
END
$$;

/* Every kept plan is made while the tables hold next to nothing, of a few users. */
INSERT INTO usage.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
SELECT n, test.user_id(250000 + n), 'call', 'success', 1, 0, 0, day FROM generate_series(1, 50) AS n, unnest('{2026-04-10,2026-05-10}'::timestamptz[]) AS day;
SELECT usage.install_default_plans() \g /dev/null
SELECT * FROM test.ask('empty', 1) \g /dev/null
ANALYZE;

/* 1 M events, 1 M counters of windows long gone (so sums of events are asked for), 250 k users. */
INSERT INTO usage.user_subscriptions (user_id, started_at, anchor)
SELECT test.user_id(n), '2026-04-01', '2026-04-01' FROM generate_series(1, 250000) AS n ON CONFLICT DO NOTHING;
INSERT INTO usage.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at, provider, model, campaign_id)
SELECT 1000 + n, test.user_id(n % 250000), 'call', 'success', 1, 0, 0, timestamptz '2026-04-01 00:00+00' + n * interval '3.6 seconds', 'acme', 'm' || n % 10, 'spring'
  FROM generate_series(1, 1000000) AS n;
INSERT INTO usage.usage_counters (user_id, limit_id, window_start, window_end, used)
SELECT test.user_id(n), limit_id, 'epoch', '1970-01-02', 1 FROM generate_series(1, 250000) AS n, usage.usage_limits WHERE limit_type <> 'full' ON CONFLICT DO NOTHING;
INSERT INTO usage.campaigns (user_id, campaign_id, name) SELECT test.user_id(n), 'spring', 'Spring' FROM generate_series(1, 50000) AS n;
INSERT INTO usage.user_limits (user_id, limit_type, max_usage) SELECT test.user_id(n), 'calls_daily', 999999 FROM generate_series(1, 50000) AS n ON CONFLICT DO NOTHING;
INSERT INTO usage.usage_keys (user_id, idempotency_key, recorded_at, function, usage_type, quantity, tokens, event_id, max_usage)
SELECT test.user_id(n), 'k' || n, '2026-05-15', 'consume_usage', 'call', 1, 0, n, -1 FROM generate_series(1, 50000) AS n ON CONFLICT DO NOTHING;
INSERT INTO usage.credit_accounts (user_id, earned, spent, created_at, updated_at) SELECT test.user_id(n), 100, 1, '2026-05-01', '2026-05-01' FROM generate_series(1, 50000) AS n ON CONFLICT DO NOTHING;
INSERT INTO usage.credit_grants SELECT test.user_id(n), 1000 + n, false, 100, 99, 0, '2026-05-01', 'infinity', 0, 'infinity', n % 2 = 1 FROM generate_series(1, 50000) AS n;
INSERT INTO usage.credit_ledger (user_id, id, action, amount, balance_after, transaction_type, effective_at, recorded_at, grants, amounts)
SELECT test.user_id(n % 50000), 1000 + n, CASE WHEN n <= 50000 THEN 'grant' ELSE 'spend' END, CASE WHEN n <= 50000 THEN 100 ELSE -1 END, 99, 'usage', '2026-05-01', '2026-05-01', ARRAY[1000 + n], ARRAY[1.0] FROM generate_series(1, 100000) AS n;
INSERT INTO usage.user_roles (user_id, role) SELECT test.user_id(n), 'support' FROM generate_series(1, 50000) AS n;
SELECT cmp_ok((SELECT count(*) FROM test.scans())::int, '>=', 8, 'large are: ' || (SELECT string_agg(relation, ', ') FROM test.scans()));

SELECT test.verdict('planned when empty', 2);
ANALYZE;
SELECT test.verdict('after ANALYZE', 3);
SELECT usage.define_usage_limit('calls_hourly', 'call', 1000000, period => '1 hour') \g /dev/null
SET LOCAL plan_cache_mode = force_generic_plan;
SELECT test.verdict('a limit made just now', 4);
SELECT * FROM finish();
ROLLBACK;
