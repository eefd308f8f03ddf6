/* Attacks by what is not an answer: 30-37 and 39 of the suite; 38 is in
 * attacks_admin.sql, 40 in attacks_read.sql.
 *
 * Functions that tell what they are shown, errors, plans and statistics, keys
 * that are taken, and statements prepared by one role and run by another.  Each
 * is asked by somebody who sees everything first, or "nothing about B" could be
 * nothing at all. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
\ir lib/attackers.sql
SELECT no_plan();
\set nobody '''eeeeeeee-0000-4000-8000-00000000000e'''

/* ---- 30, 31: functions and errors that tell what they met ---- */

CREATE FUNCTION workshop.leak(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
    PERFORM set_config('leak.seen', current_setting('leak.seen', true) || COALESCE($1::text, '') || ' ', true);
    RETURN true;
END
$$;
CREATE OPERATOR workshop.!! (RIGHTARG = anyelement, FUNCTION = workshop.leak);
CREATE TABLE attack.leaks (query text, is_closed boolean GENERATED ALWAYS AS (query ~ 'usage[.](usage_events|campaigns|usage_alerts)') STORED);
INSERT INTO attack.leaks (query)
SELECT format('SELECT count(*) FROM usage.%s WHERE %s', source, replace(condition, 'plan', of_text))
  FROM (VALUES ('user_usage', 'plan'), ('user_subscriptions', 'plan'), ('api_usage', 'request_id'), ('campaigns', 'name'), ('usage_events', 'user_agent'), ('usage_alerts', 'kind'), ('credit_transactions', 'reference_id')) AS v (source, of_text),
       unnest(ARRAY['workshop.leak(user_id)', 'OPERATOR(workshop.!!) user_id', 'workshop.leak(plan) AND workshop.leak(user_id)',
                    'workshop.leak(user_id) AND user_id::text LIKE ''b%''', 'user_id::text LIKE ''b%'' AND workshop.leak(user_id)',
                    'workshop.leak(user_id) OR user_id = ''bbbbbbbb-0000-4000-8000-00000000000b''',
                    'CASE WHEN workshop.leak(user_id) THEN plan = ''pro'' END',
                    'user_id IN (SELECT user_id FROM usage.user_subscriptions AS s WHERE workshop.leak(s.user_id))',
                    'EXISTS (SELECT FROM usage.user_subscriptions AS s WHERE workshop.leak(s.user_id) AND s.user_id <> user_usage.user_id)']) AS condition
 WHERE source = 'user_usage' OR condition NOT LIKE 'EXISTS%'
 UNION ALL VALUES ('SELECT count(*) FROM usage.user_usage JOIN usage.user_subscriptions AS s ON workshop.leak(s.user_id)'),
                  ('SELECT count(*) FROM (SELECT * FROM usage.user_subscriptions OFFSET 0) AS s WHERE workshop.leak(s)'),
                  ('SELECT count(*) FROM (SELECT user_id, workshop.leak(user_id) FROM usage.user_subscriptions ORDER BY 2) AS s'),
                  ('SELECT count(*) FROM usage.user_subscriptions AS s GROUP BY workshop.leak(s.user_id)'),
                  ('SELECT max(user_id::text) FILTER (WHERE workshop.leak(user_id)) < ''b'' FROM usage.user_subscriptions'),
                  ('SELECT count(*) FROM usage.api_usage WHERE workshop.leak(total_cost) AND workshop.leak(ip_address) AND workshop.leak(user_id)'),
                  ('SELECT count(*) FROM usage.usage_events WHERE workshop.leak(tokens) AND workshop.leak(ip) AND workshop.leak(user_id)'),
                  ('SELECT count(*) FROM usage.campaigns AS c JOIN usage.usage_events AS e ON workshop.leak(e.user_id) AND workshop.leak(c.name) AND e.campaign_id = c.campaign_id'),
                  ('SELECT count(*) FROM usage.user_usage JOIN usage.api_usage AS u ON workshop.leak(u.user_id) AND workshop.leak(u.user_agent)');
CREATE FUNCTION attack.leaked(who name, query text, without text DEFAULT 'enable_bitmapscan') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('leak.seen', '', true), set_config(without, 'off', true);
    IF who IS NULL THEN
        EXECUTE query;
    ELSE
        PERFORM attack.run(who, query);
    END IF;
    PERFORM set_config(without, 'on', true);
    RETURN current_setting('leak.seen');
END
$$;
SELECT alike(attack.leaked(NULL, query), '%' || :b || '%', '30 it does tell who sees everything: ' || query)
  FROM attack.leaks ORDER BY query;
SELECT is(string_agg(query, '; '), NULL, format('30 functions that tell, in %s queries, by %s', (SELECT count(*) FROM attack.leaks), role))
  FROM attack.attackers LEFT JOIN attack.leaks ON attack.leaked(role, query) ~* 'secret|pro|bbbbbbbb-0000-4000-8000-00000000000b|666666|192\.0\.2\.66' GROUP BY role;
SELECT is(count(*) FILTER (WHERE attack.leaked(role, query) ~ :a)::int, count(*)::int, '30 they do tell ' || role || ' what is his own')
  FROM attack.attackers, attack.leaks WHERE is_user AND NOT is_closed AND query !~ 'LIKE ''b|\(s\)$|s.user_id <> ' GROUP BY role;
SELECT attack.by_all('30 functions that tell, of tables nobody reads', array_agg(query)) FROM attack.leaks WHERE is_closed;
/* in plans of other shapes too */
SELECT is(string_agg(setting || ': ' || query, '; ') FILTER (WHERE attack.leaked(role, query, setting) ~* 'secret|pro|bbbbbbbb-0000-4000-8000-00000000000b|666666|192\.0\.2\.66'), NULL,
          format('30 functions that tell, other plans, by %s', role))
  FROM attack.attackers, attack.leaks, unnest('{enable_seqscan,enable_indexscan,enable_nestloop,enable_hashjoin,enable_material}'::text[]) AS setting
 GROUP BY role;
SELECT attack.by_all('30 behind a view that could be opened', ARRAY[
    format('SELECT usage._usage_of_user(%L)', :b), format('SELECT w.* FROM (VALUES (%L::uuid)) AS v (id), LATERAL usage._usage_of_user(id) AS w', :b)]);

CREATE TABLE attack.oracles (query text, state text, is_closed boolean GENERATED ALWAYS AS (query ~ 'usage[.](usage_events|campaigns|usage_alerts)') STORED);
INSERT INTO attack.oracles (query, state)
SELECT replace(replace(format(query, source), 'plan', of_text), '''pro''', quote_literal(of_b)), state
  FROM (VALUES ('user_usage', 'plan', 'pro'), ('user_subscriptions', 'plan', 'pro'), ('api_usage', 'request_id', 'secret request'), ('campaigns', 'name', 'secret name'),
               ('usage_events', 'user_agent', 'secret agent'), ('usage_alerts', 'kind', 'unusual'), ('credit_transactions', 'reference_id', 'secret-order')) AS s (source, of_text, of_b),
       (VALUES ('SELECT count(1 / strpos(''aaaaaaaa-0000-4000-8000-00000000000a'', user_id::text)) FROM usage.%s', '22012'),
               ('SELECT count(*) FROM usage.%s WHERE 1 / strpos(''aaaaaaaa-0000-4000-8000-00000000000a'', user_id::text) > 0', '22012'),
               ('SELECT count(*) FROM usage.%s WHERE CASE WHEN plan = ''pro'' THEN (''x'' || user_id::text)::int END = 1', '22P02'),
               ('SELECT count(*) FROM usage.%s WHERE CASE plan WHEN ''pro'' THEN sqrt(-length(plan)) END > 0', '2201F')) AS v (query, state);
SELECT throws_ok(query, state, NULL, '31 it does fail for who sees everything: ' || query) FROM attack.oracles;
SELECT attack.by_all('31 errors that tell', array_agg(query), '00000', '00000 42501') FROM attack.oracles WHERE NOT is_closed;
SELECT attack.by_all('31 errors that tell, of tables nobody reads', array_agg(query)) FROM attack.oracles WHERE is_closed;

/* ---- 32: estimates and statistics ---- */

INSERT INTO usage.user_subscriptions (user_id) SELECT gen_random_uuid() FROM generate_series(1, 300) ON CONFLICT DO NOTHING;
CREATE STATISTICS usage.of_plans ON plan, (status || 'x'), anchor FROM usage.user_subscriptions;
ANALYZE usage.user_subscriptions, usage.usage_events, usage.usage_counters, usage.usage_reservations, usage.usage_carried, usage.usage_changes, usage.campaigns, usage.usage_alerts;
SELECT cmp_ok((SELECT count(*) FROM pg_stats WHERE schemaname = 'usage')::int, '>', 30, '32 there are statistics');
SELECT ok(EXISTS (SELECT FROM pg_stats_ext JOIN pg_stats_ext_exprs USING (statistics_name) WHERE statistics_name = 'of_plans'), '32 and extended ones');
SELECT attack.on_relations('32 EXPLAIN', 'EXPLAIN SELECT * FROM %1$s', 'rpmSf');
SELECT attack.on_relations('32 EXPLAIN of changes', 'EXPLAIN DELETE FROM %1$s', 'rp');
SELECT attack.by_all('32 statistics', ARRAY[
    'SELECT ''secret'' FROM pg_stats WHERE schemaname = ''usage''', 'SELECT ''secret'' FROM pg_stats_ext WHERE schemaname = ''usage''',
    'SELECT ''secret'' FROM pg_stats_ext_exprs WHERE schemaname = ''usage'''], '00000', '00000');
SELECT attack.by_all('32 statistics themselves', ARRAY['SELECT * FROM pg_statistic', 'SELECT * FROM pg_statistic_ext_data']);
SELECT is(replace(told, id, 'X'), replace(not_told, :nobody, 'X'), format('32 EXPLAIN says the same of B and of nobody, to %s: %s', role, query))
  FROM attack.attackers, (VALUES (:b)) AS v (id),
       unnest('{EXPLAIN SELECT user_id FROM usage.user_usage WHERE user_id = %L,EXPLAIN SELECT plan FROM usage.user_subscriptions WHERE user_id = %L,EXPLAIN SELECT total_cost FROM usage.api_usage WHERE user_id = %L,
                EXPLAIN SELECT ip_address FROM usage._calls_of_user(%L),EXPLAIN SELECT used FROM usage.get_usage_alerts(%L),
                EXPLAIN SELECT balance FROM usage.user_credits WHERE user_id = %L,EXPLAIN SELECT amount FROM usage.credit_transactions WHERE user_id = %L,EXPLAIN SELECT amount FROM usage._credit_transactions_of_user(%L)}'::text[]) AS query,
       LATERAL (SELECT concat(a.*) AS told FROM attack.run(role, format(query, id)) AS a) AS his,
       LATERAL (SELECT concat(a.*) AS not_told FROM attack.run(role, format(query, :nobody)) AS a) AS none;

/* With ANALYZE, a filter behind an index says how many rows it held back, and
 * costs tell what statistics know.  So there is nothing to be read behind one. */
CREATE TABLE attack.plans (query text);
INSERT INTO attack.plans VALUES ('SELECT 1 FROM usage.campaigns WHERE user_id = %L AND campaign_id = ''spring'''), ('SELECT 1 FROM usage.campaigns WHERE user_id = %L AND campaign_id >= ''spri'''),
    ('SELECT 1 FROM usage.usage_events WHERE user_id = %L'), ('SELECT ip FROM usage.usage_events WHERE user_id = %L'), ('SELECT name FROM usage.campaigns WHERE user_id = %L'),
    ('SELECT 1 FROM usage.usage_alerts WHERE user_id = %L'), ('SELECT count(*) FROM usage.usage_alerts WHERE user_id >= %L AND raised_at > ''2000-01-01'''), ('SELECT 1 FROM usage.usage_counters WHERE user_id = %L'),
    ('SELECT 1 FROM usage.credit_ledger WHERE user_id = %L'), ('SELECT 1 FROM usage.credit_accounts WHERE user_id = %L'), ('SELECT 1 FROM usage.credit_grants WHERE user_id = %L AND is_open');
SET LOCAL enable_seqscan = off;
SELECT attack.by_all('32 EXPLAIN ANALYZE and estimates, of tables nobody reads', array_agg(concat('EXPLAIN ', options, format(query, :b))))
  FROM attack.plans, unnest(ARRAY['', '(COSTS off) ', '(ANALYZE, COSTS off, TIMING off, SUMMARY off) ', '(GENERIC_PLAN) ']) AS options
 WHERE options !~ 'GENERIC' OR current_setting('server_version_num')::int >= 160000;
SELECT is(replace(concat(there.*), :b, 'X'), replace(concat(none.*), :nobody, 'X'), format('32 EXPLAIN ANALYZE says the same of B''s credits and of nobody''s, to %s: %s', role, query))
  FROM attack.attackers, unnest('{SELECT 1 FROM usage.user_credits WHERE user_id = %L,SELECT 1 FROM usage.credit_transactions WHERE user_id = %L,SELECT count(*) FROM usage.credit_transactions WHERE user_id = %L AND amount > 5}'::text[]) AS query,
       attack.run(role, format('EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) ' || query, :b)) AS there,
       attack.run(role, format('EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) ' || query, :nobody)) AS none WHERE is_user;
SELECT todo_start('the policy own_or_all of user_subscriptions is such a filter: it tells who is a user');
SELECT is(replace(concat(there.*), :b, 'X'), replace(concat(none.*), :nobody, 'X'), format('32 EXPLAIN ANALYZE says the same of B and of nobody, to %s: %s', role, query))
  FROM attack.attackers, unnest('{SELECT 1 FROM usage.user_subscriptions WHERE user_id = %L,SELECT 1 FROM usage.user_subscriptions WHERE user_id BETWEEN %1$L AND %1$L}'::text[]) AS query,
       attack.run(role, format('EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) ' || query, :b)) AS there,
       attack.run(role, format('EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) ' || query, :nobody)) AS none WHERE is_user;
SELECT todo_end();
SET LOCAL enable_seqscan = on;

/* What views and functions tell by their plans is the same whether B has 10 calls
 * or 10000, and no number in it is larger than what A has himself. */
CREATE FUNCTION attack.calls_of(who uuid, calls int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO usage.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at, provider, model, campaign_id, ip)
    SELECT nextval('usage.usage_events_id_seq'), who, 'api.content', 'success', 1, 1, 1, now() - n * interval '1 second', 'acme', 'm1', 'spring', '192.0.2.66' FROM generate_series(1, calls) AS n
$$;
CREATE TABLE attack.told (role name, query text, first text, second text);
INSERT INTO attack.told (role, query)
SELECT role, format(query, id) FROM (SELECT role, is_user FROM attack.attackers UNION ALL VALUES (current_user, NULL::boolean)) AS r, (VALUES (:a), (:b)) AS v (id),
       unnest('{SELECT * FROM usage.api_usage,SELECT count(*) FROM usage.api_usage WHERE user_id = %L,SELECT * FROM usage.api_usage WHERE user_id >= %L,SELECT * FROM usage.api_usage WHERE user_id <> %L,
                SELECT * FROM usage.api_usage WHERE campaign_id = ''spring'',SELECT * FROM usage.api_usage WHERE campaign_id >= ''secr'' AND created_at > ''2020-01-01'',SELECT * FROM usage.api_usage WHERE id > 0 ORDER BY id DESC LIMIT 1,
                SELECT sum(total_cost) FROM usage.api_usage GROUP BY model,SELECT * FROM usage.api_usage AS u JOIN usage.user_usage USING (user_id),SELECT * FROM usage.user_usage WHERE user_id = %L,
                SELECT * FROM usage._calls_of_user(current_user_id()),SELECT * FROM usage.get_usage_alerts(current_user_id()),SELECT * FROM usage.get_campaigns(current_user_id()),SELECT * FROM usage.get_user_usage_history(current_user_id())}'::text[]) AS query
 WHERE is_user OR is_user IS NULL AND query !~ 'current_user_id';
UPDATE attack.told SET query = replace(query, 'current_user_id()', 'usage.current_user_id()');
CREATE FUNCTION attack.explained(who name, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    plan text := '';
BEGIN
    IF EXISTS (SELECT FROM attack.attackers WHERE role = who) THEN
        RETURN (SELECT a.state || ' ' || a.told || a.rows FROM attack.run(who, 'EXPLAIN (ANALYZE, VERBOSE, TIMING off, SUMMARY off, BUFFERS off) ' || query) AS a);
    END IF;
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, TIMING off, SUMMARY off, BUFFERS off) ' || query LOOP
        plan := plan || line || E'\n';
    END LOOP;
    RETURN plan;
END
$$;
SELECT attack.calls_of(:a, 2), attack.calls_of(:b, 9) \g /dev/null
ANALYZE usage.usage_events;
UPDATE attack.told SET first = attack.explained(role, query);
SELECT attack.calls_of(:b, 9990) \g /dev/null
ANALYZE usage.usage_events;
UPDATE attack.told SET second = attack.explained(role, query);
SELECT is(second, first, format('32 EXPLAIN ANALYZE says the same of 10 calls and of 10000, to %s: %s', role, query)) FROM attack.told WHERE role IN (SELECT role FROM attack.attackers);
SELECT cmp_ok(max(n[1]::bigint), '<', 10::bigint, format('32 and of no more rows than are his own, to %s: %s', role, query))
  FROM attack.told, regexp_matches(first || second, '(?:actual rows=|Rows Removed by [A-Za-z ]+: |Heap Fetches: )([0-9]+)', 'g') AS n WHERE role IN (SELECT role FROM attack.attackers) GROUP BY role, query;
SELECT isnt(second, first, '32 it does not to who sees everything: ' || query) FROM attack.told WHERE role NOT IN (SELECT role FROM attack.attackers) AND query ~ 'api_usage' AND query !~ '<>' AND query !~ :a;

/* ---- 33: sums over everybody ---- */

SELECT attack.by_all('33 sums over everybody', ARRAY['SELECT usage.reconcile_usage()', 'SELECT usage.usage_security_check()', 'SELECT usage.usage_maintenance()',
    'SELECT sum(used) FROM usage.usage_counters', 'SELECT sum(quantity) FROM usage.usage_carried', 'SELECT count(*) FROM usage.usage_changes',
    'SELECT user_id FROM usage.usage_counters GROUP BY user_id ORDER BY sum(used) DESC LIMIT 1', 'SELECT sum(quantity) FROM usage.usage_reservations']);
SELECT attack.by_all('33 sums of what he sees', ARRAY[
    'SELECT ''secret'' FROM usage.user_usage HAVING count(DISTINCT user_id) > 1', 'SELECT ''secret'' FROM usage.user_subscriptions HAVING count(*) > 1',
    'SELECT ''secret'' FROM usage.api_usage HAVING count(DISTINCT user_id) > 1 OR count(*) > 3',
    'SELECT campaign_id, sum(total_cost) > 100 AS secret, max(input_tokens) FROM usage.api_usage GROUP BY CUBE (campaign_id, user_id)',
    'SELECT user_id, sum(used) FROM usage.user_usage GROUP BY ROLLUP (user_id) ORDER BY sum(used) DESC'], '00000', '00000 42501');
SELECT attack.by_all('33 sums of what nobody reads', ARRAY['SELECT ''secret'' FROM usage.usage_events HAVING count(DISTINCT user_id) > 1', 'SELECT ''secret'' FROM usage.campaigns HAVING count(*) > 1',
    'SELECT campaign_id, sum(cost), max(tokens) FROM usage.usage_events GROUP BY CUBE (campaign_id, user_id)', 'SELECT count(*) FROM usage.usage_alerts', 'SELECT max(used) FROM usage.usage_alerts GROUP BY ()']);
SELECT is_empty('SELECT relation FROM attack.relations() WHERE kind = ''m''', '33 there is no materialized view, whose rows nobody could hold back');

/* ---- 34-36: what is there and what is not answer the same ---- */

SELECT is(there.saw, none.saw, format('%s to %s the same for what there is and what not: %s', number, role, query))
  FROM attack.attackers,
       (VALUES ('34', 'INSERT INTO usage.usage_keys (user_id, idempotency_key) VALUES (%2$L, %1$L)', 'secret-key', 'no-key', :b),
               ('34', 'INSERT INTO usage.user_subscriptions (user_id) VALUES (%L)', :b, :nobody, ''),
               ('34', 'INSERT INTO usage.usage_reservations (user_id, id) VALUES (%2$L, %1$L)', '2', '777777', :b),
               ('34', 'INSERT INTO usage.plan_limits (plan, limit_type, max_usage) VALUES (''pro'', %L, 1)', 'calls_daily', 'nothing_daily', ''),
               ('34', 'SELECT allowed, reason, used FROM usage.consume_usage(%2$L, ''call'', 1000, idempotency_key => %1$L)', 'secret-key', 'no-key', :a),
               ('34', 'SELECT usage.reserve_usage(%2$L, ''film'', idempotency_key => %1$L)', 'secret-hold', 'no-hold', :a),
               ('35', 'CREATE TABLE workshop.referring (user_id uuid DEFAULT %L REFERENCES usage.user_subscriptions)', :b, :nobody, ''),
               ('34', 'INSERT INTO usage.campaigns (user_id, campaign_id) VALUES (%2$L, %1$L)', 'secret campaign', 'no campaign', :b),
               ('34', 'SELECT usage.define_campaign(%2$L, %1$L)', 'secret campaign', 'no campaign', :b), ('34', 'SELECT user_id FROM usage.usage_events WHERE request_id = %1$L', 'secret request', 'no request', ''),
               ('36', 'SELECT usage.commit_usage(%2$L, %1$L)', '2', '777777', :a), ('36', 'SELECT usage.release_usage(%2$L, %1$L)', '2', '777777', :a),
               ('36', 'SELECT usage.reverse_usage(%2$L, %1$L)', '2', '777777', :a), ('36', 'SELECT usage.set_user_plan(%2$L, %1$L)', 'pro', 'nothing', :b)
               ) AS v (number, query, one, other, fixed),
       LATERAL (SELECT a.state || ' ' || regexp_replace(a.told || a.rows, '\m' || one || '\M', 'X', 'g') AS saw FROM attack.run(role, format(query, one, fixed)) AS a) AS there,
       LATERAL (SELECT a.state || ' ' || regexp_replace(a.told || a.rows, '\m' || other || '\M', 'X', 'g') AS saw FROM attack.run(role, format(query, other, fixed)) AS a) AS none;
SELECT is(attack.run(role, attack.call(function, quote_literal(:b)))::text, attack.run(role, attack.call(function, quote_literal(:nobody)))::text,
          format('36 %s tells %s the same of B and of nobody', name, role))
  FROM attack.functions(), attack.attackers WHERE of_user;
SELECT is_empty($$SELECT i.indexrelid::regclass FROM pg_index AS i JOIN attack.relations() ON relation = indrelid
                    JOIN pg_attribute AS u ON u.attrelid = indrelid AND u.attname = 'user_id'
                   WHERE indisunique AND NOT u.attnum = ANY (indkey)
                     AND NOT (indnkeyatts = 1 AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = indrelid AND attnum = ALL (indkey) AND attname = 'id'))$$,
                '34 what must be unique is so for each user, but numbers of our own');
SELECT attack.on_relations('35 a foreign key', 'CREATE TABLE workshop.referring (x uuid REFERENCES %1$s ON DELETE CASCADE ON UPDATE CASCADE)', 'r');

/* ---- 37, 39: prepared by one, run by another ---- */

CREATE FUNCTION workshop.known() RETURNS SETOF uuid STABLE LANGUAGE sql AS 'SELECT user_id FROM usage.user_subscriptions';
CREATE FUNCTION workshop.used() RETURNS TABLE (user_id uuid, used numeric) STABLE LANGUAGE sql AS 'SELECT user_id, used FROM usage.user_usage';
CREATE VIEW workshop.known_too AS SELECT user_id FROM workshop.known() AS k (user_id);
GRANT SELECT ON workshop.known_too TO PUBLIC;
PREPARE see AS SELECT user_id FROM usage.user_subscriptions UNION SELECT user_id FROM usage.user_usage;
PREPARE see_one(uuid) AS SELECT user_id FROM usage.user_subscriptions WHERE user_id = $1;
PREPARE see_inlined AS SELECT * FROM workshop.known() UNION ALL SELECT user_id FROM workshop.used();
PREPARE see_with AS WITH k AS MATERIALIZED (SELECT * FROM workshop.known()) SELECT k, (SELECT count(*) FROM workshop.known()) > 1 FROM k WHERE (SELECT max(k::text) FROM workshop.known() AS k) <> '';
PREPARE see_events AS SELECT user_id FROM usage.usage_events;
PREPARE see_calls AS SELECT user_id, total_cost FROM usage.api_usage;
PREPARE see_campaigns AS SELECT * FROM usage.campaigns;
PREPARE see_alerts AS SELECT * FROM usage.usage_alerts;
PREPARE calls_of_b AS SELECT 'bbbbbbbb-0000-4000-8000-00000000000b', c.id FROM usage._calls_of_user('bbbbbbbb-0000-4000-8000-00000000000b') AS c;
PREPARE alerts_of_b AS SELECT 'bbbbbbbb-0000-4000-8000-00000000000b', a.id FROM usage.get_usage_alerts('bbbbbbbb-0000-4000-8000-00000000000b') AS a;
PREPARE see_metadata AS SELECT user_id, metadata FROM usage.usage_events;
PREPARE recost AS SELECT usage.recost_usage('2020-01-01', '2020-01-02');
PREPARE track_of_b AS SELECT usage.track_api_usage('bbbbbbbb-0000-4000-8000-00000000000b', 'api.content', 'acme', 'm1');
PREPARE campaign_of_b AS SELECT usage.define_campaign('bbbbbbbb-0000-4000-8000-00000000000b', 'spring');
PREPARE see_changes AS SELECT * FROM usage.usage_changes;
PREPARE see_holds AS SELECT * FROM usage.usage_reservations;
PREPARE take_of_b AS SELECT usage.consume_usage('bbbbbbbb-0000-4000-8000-00000000000b', 'film');
PREPARE hold_of_b AS SELECT usage.reserve_usage('bbbbbbbb-0000-4000-8000-00000000000b', 'film');
PREPARE export_of_b AS SELECT usage.export_user_data('bbbbbbbb-0000-4000-8000-00000000000b');
PREPARE adjust_of_b AS SELECT usage.adjust_usage('bbbbbbbb-0000-4000-8000-00000000000b', 'calls_daily', 3);
PREPARE change_of_b AS UPDATE usage.user_usage SET max_usage = 7 WHERE user_id = 'bbbbbbbb-0000-4000-8000-00000000000b' AND limit_type = 'calls_daily' RETURNING max_usage;
CREATE FUNCTION attack.seen(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    one record;
    b   boolean := false;
BEGIN
    FOR one IN EXECUTE statement LOOP
        b := b OR strpos(one::text, 'bbbbbbbb-0000-4000-8000-00000000000b') > 0;
    END LOOP;
    RETURN b;
END
$$;
\set see '''{see,see_one(''''bbbbbbbb-0000-4000-8000-00000000000b''''),see_inlined,see_with,see_events,see_calls,see_campaigns,see_alerts,calls_of_b,alerts_of_b,see_metadata,see_holds}'''

SELECT set_config('plan_cache_mode', 'force_generic_plan', true) \g /dev/null
\set mode '''generic plans'''
\ir lib/prepared_by_others.sql
SELECT set_config('plan_cache_mode', 'force_custom_plan', true) \g /dev/null
\set mode '''custom plans'''
\ir lib/prepared_by_others.sql

/* the other way: prepared, and run first, by who sees little */
SELECT is(state, '00000', '37 A prepares') FROM attack.run('authenticated', 'PREPARE by_a AS SELECT user_id FROM usage.user_subscriptions UNION SELECT user_id FROM usage.user_usage');
SELECT is(rows, '(aaaaaaaa-0000-4000-8000-00000000000a)' || E'\n', '37 and sees himself') FROM attack.run('authenticated', 'EXECUTE by_a');
SELECT ok(attack.seen('EXECUTE by_a'), '37 who sees everything does so by A''s statement too');
SELECT is(rows, '(aaaaaaaa-0000-4000-8000-00000000000a)' || E'\n', '37 after whom A still sees himself') FROM attack.run('authenticated', 'EXECUTE by_a');
SELECT * FROM finish();
ROLLBACK;
