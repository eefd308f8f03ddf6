/* Attacks on what others keep: 1-6, 12, 13, 15 and 40 of the suite.
 *
 * Promise 9: users read their own usage and nothing else, by privilege.  14
 * (pg_dump) and COPY to the client need sessions of their own: see
 * test/t/010_attacks.pl.  Whether the two users see their own rows is asked
 * first, so that "nothing about B" is not "nothing at all". */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
\ir lib/attackers.sql
SELECT no_plan();
\set harmless '^(calculate_.*_cost|usage_from_.*|describe_decision|rate_limit_headers|_decision_headers|pre_request|_usage_object|_token_count|_check_token_count|_usage_now|_check_max_rows|_zone_or_default|_usage_tally|_tally_uses|popular_resources|trending_resources|get_top_resource_users|get_usage_heatmap|visible_users|dashboard_page|_page|_(html|page|text)_.*)$'

SELECT cmp_ok((SELECT count(*) FROM attack.relations() WHERE relation::text LIKE 'usage.usage\_events\_20%')::int, '>=', 2,
              'partitions made after the default privileges are among what is attacked');
SELECT is_empty(format('SELECT relation FROM attack.relations() JOIN pg_attribute ON attrelid = relation AND attname = ''user_id'''
                       ' WHERE kind IN (''r'', ''p'') AND relation::text !~ ''_(20\d\d_\d\d|default|moving)$'''
                       ' AND NOT (SELECT strpos(query_to_xml(format(''SELECT t::text FROM %%s AS t'', relation), true, false, '''')::text, %L) > 0)', :b),
                'every table that can name a user names B');
SELECT is(rows, E'(aaaaaaaa-0000-4000-8000-00000000000a,calls_daily,2,5)\n(aaaaaaaa-0000-4000-8000-00000000000a,films_kept,8,100)\n', role || ' reads his own usage')
  FROM attack.attackers, attack.run(role, 'SELECT user_id, limit_type, used, max_usage FROM usage.user_usage') WHERE is_user;
SELECT is(rows, '(aaaaaaaa-0000-4000-8000-00000000000a,active)' || E'\n', role || ' reads his own subscription')
  FROM attack.attackers, attack.run(role, 'SELECT user_id, status FROM usage.user_subscriptions') WHERE is_user;

SELECT is(rows, '(film,2)' || E'\n', role || ' gets his own alerts')
  FROM attack.attackers, attack.run(role, 'SELECT usage_type, used FROM usage.get_usage_alerts(''aaaaaaaa-0000-4000-8000-00000000000a'')') WHERE is_user;
SELECT is(rows, '(aaaaaaaa-0000-4000-8000-00000000000a,api.content,m1,r1,4,3,spring,192.0.2.1)' || E'\n', role || ' reads his own calls')
  FROM attack.attackers, attack.run(role, 'SELECT user_id, service_type, model, request_id, input_tokens, total_cost, campaign_id, ip_address FROM usage.api_usage') WHERE is_user;
SELECT is(rows, '(aaaaaaaa-0000-4000-8000-00000000000a,6,10,4,0)' || E'\n', role || ' reads his own credits')
  FROM attack.attackers, attack.run(role, 'SELECT user_id, balance, lifetime_earned, lifetime_spent, overdraft FROM usage.user_credits') WHERE is_user;
SELECT is(rows, '(10,10,order-of-a)' || E'\n' || '(-4,6,)' || E'\n', role || ' reads his own credit transactions')
  FROM attack.attackers, attack.run(role, 'SELECT amount, balance_after, reference_id FROM usage.credit_transactions ORDER BY id') WHERE is_user;
SELECT is(rows, '(6)' || E'\n', role || ' asks for his own balance')
  FROM attack.attackers, attack.run(role, 'SELECT usage.credit_balance(''aaaaaaaa-0000-4000-8000-00000000000a'')') WHERE is_user;
SELECT ok(attack.names_b(query_to_xml(format('SELECT %s::text FROM %s', column_name, relation), true, false, '')::text),
          format('%s.%s tells about B, so his rows must not be seen', relation, column_name))
  FROM attack.relations(), unnest(readable) AS column_name WHERE column_name IN ('user_id', 'ip_address', 'user_agent', 'request_id');

/* 1-3 */
SELECT attack.on_relations('1-3 SELECT *', 'SELECT * FROM %1$s', 'rpmSf');
SELECT attack.on_relations('1-3 whether there is a row', 'SELECT EXISTS (SELECT 1 FROM ONLY %1$s)', 'mSf');
SELECT attack.by_all('1-3 whether there is a row, of what users do not read', array_agg(format('SELECT count(*) FROM %s', relation)))
  FROM attack.relations() WHERE readable = '{}';
SELECT attack.on_relations('1-3 whole rows', 'SELECT to_jsonb(t) FROM %1$s AS t', 'rpmf');
SELECT attack.on_relations('1-3 where a row is', 'SELECT ctid, xmin, tableoid FROM %1$s', 'rpmSf');
SELECT attack.on_relations('1-3 locking rows', 'SELECT FROM %1$s FOR SHARE', 'rpmf');
SELECT attack.on_relations('1-3 copying the table', 'CREATE TABLE workshop.copy AS TABLE %1$s', 'rpmSf');
SELECT attack.on_relations('1-3 through a view of his own',
    'CREATE VIEW pg_temp.mine AS SELECT * FROM %1$s; SELECT * FROM pg_temp.mine', 'rpmSf');
SELECT attack.on_relations('1-3 inheriting it', 'CREATE TABLE workshop.child () INHERITS (%1$s)', 'rp', '42501 42809', '42501 42809');
SELECT attack.by_all('1-3 every column but those of the list',
       array_agg(format('SELECT %I FROM %s', attname, relation)))
  FROM attack.relations() JOIN pg_attribute ON attrelid = relation AND attnum > 0 AND NOT attisdropped
 WHERE kind <> 'S' AND NOT attname = ANY (readable);
SELECT attack.by_all('1 the columns of the list', array_agg(format(query, columns, relation, :b)), '00000', '00000 42501')
  FROM attack.relations(), array_to_string(readable, ', ') AS columns,
       unnest('{SELECT %1$s FROM %2$s,SELECT count(*) FROM %2$s WHERE user_id::text = %3$L HAVING count(*) > 0,SELECT user_id FROM ONLY %2$s ORDER BY user_id DESC LIMIT 1,
                SELECT %1$s FROM %2$s WHERE user_id = %3$L OR true,SELECT %1$s FROM %2$s AS t WHERE user_id <> ALL (SELECT usage.current_user_id()),
                SELECT %1$s FROM %2$s TABLESAMPLE SYSTEM (100),WITH RECURSIVE t AS (SELECT * FROM (SELECT %1$s FROM %2$s) AS x UNION SELECT * FROM t) SELECT * FROM t}'::text[]) AS query
 WHERE readable <> '{}' AND (kind <> 'v' OR query !~ 'ONLY|TABLESAMPLE') AND (relation <> 'usage.usage_memory'::regclass OR query !~ 'user_id');
SELECT attack.by_all('1 by a key of B, in ' || relation, array_agg(format('SELECT user_id FROM %s WHERE %s = %L OR (user_id = %4$L AND %2$s <> '''')', relation, key, value, :b)),
                     CASE relation WHEN 'usage.api_usage' THEN '00000' ELSE '42501' END, CASE relation WHEN 'usage.api_usage' THEN '00000 42501' ELSE '42501' END)
  FROM (VALUES ('usage.usage_events', 'request_id', 'secret request'), ('usage.api_usage', 'request_id', 'secret request'), ('usage.api_usage', 'campaign_id', 'secret campaign'),
               ('usage.campaigns', 'campaign_id', 'spring'), ('usage.campaigns', 'name', 'secret name'), ('usage.usage_alerts', 'kind', 'unusual')) AS v (relation, key, value) GROUP BY relation;
SELECT attack.by_all('1 calls under the same name as his own', ARRAY['SELECT u.* FROM usage.api_usage AS u WHERE u.campaign_id = ''spring''',
    'SELECT v.* FROM usage.api_usage AS u JOIN usage.api_usage AS v USING (model)', 'SELECT v.* FROM usage.api_usage AS u LEFT JOIN usage.api_usage AS v ON v.user_id <> u.user_id'], '00000', '00000 42501');
SELECT attack.by_all('1 campaigns under the same name as his own', ARRAY['SELECT c.* FROM usage.campaigns AS c WHERE c.campaign_id = ''spring''',
    'SELECT d.* FROM usage.campaigns AS c JOIN usage.campaigns AS d USING (campaign_id)', 'SELECT e.cost FROM usage.campaigns AS c JOIN usage.usage_events AS e USING (campaign_id)',
    'SELECT u.* FROM usage.campaigns AS c LEFT JOIN usage.api_usage AS u ON u.model = ''m1''', 'SELECT u.* FROM usage.api_usage AS u LEFT JOIN usage.campaigns AS c USING (campaign_id)']);
SELECT attack.by_all('1 what functions tell, from the tables, partitions and copies themselves', array_agg(format(query, attname, relation, id)))
  FROM attack.relations() JOIN pg_attribute ON attrelid = relation AND attnum > 0 AND NOT attisdropped,
       unnest('{SELECT %1$I FROM ONLY %2$s,SELECT count(%1$I) FROM %2$s WHERE user_id = %3$L}'::text[]) AS query, unnest(ARRAY[:a, :b]) AS id
 WHERE relation::text ~ '^usage[.](usage_events|campaigns$|usage_alerts$)' AND kind IN ('r', 'p') AND (query LIKE '%WHERE%' OR id = :a);
SELECT attack.by_all('1 calls of B, by the function behind the view', array_agg(format(query, :b)))
  FROM unnest(ARRAY['SELECT count(*) FROM usage._calls_of_user(%L)', 'SELECT (usage._calls_of_user(%L)).ip_address', 'SELECT EXISTS (SELECT FROM usage._calls_of_user(%L))', 'SELECT c.id FROM (VALUES (%L::uuid)) AS v (id), LATERAL usage._calls_of_user(v.id) AS c',
                    'SELECT c.* FROM usage.api_usage AS u RIGHT JOIN usage._calls_of_user(%L) AS c ON c.id = u.id', 'SELECT usage._recorded_calls(%L)', 'SELECT count(*) FROM usage.get_usage_alerts(%L)']) AS query;
SELECT attack.by_all('1 hidden columns, by other ways', array_agg(format(query, relation, hidden, CASE hidden WHEN 'reason' THEN '''x''' ELSE '''{}''::jsonb' END)))
  FROM (VALUES ('usage.usage_events', 'metadata'), ('usage.usage_events', 'reason'), ('usage.user_subscriptions', 'metadata')) AS v (relation, hidden),
       unnest(ARRAY['SELECT (e).%2$I FROM %1$s AS e', 'SELECT e FROM %1$s AS e', 'SELECT count(e) FROM %1$s AS e', 'SELECT count(e.*) FROM %1$s AS e', 'SELECT 1 FROM %1$s AS e WHERE e IS NULL',
                    'SELECT 1 FROM %1$s NATURAL JOIN (SELECT %3$s AS %2$I, 1 AS one) AS x', 'SELECT 1 FROM %1$s AS e JOIN %1$s AS f USING (%2$I)', 'SELECT 1 FROM %1$s ORDER BY %2$I', 'SELECT count(*) FROM %1$s GROUP BY %2$I',
                    'SELECT 1 FROM %1$s WHERE %2$I IS NULL', 'SELECT query_to_xml(''SELECT %2$I FROM %1$s'', true, false, '''')', 'SELECT table_to_xml(''%1$s'', true, false, '''')', 'SELECT row_to_json(e) FROM %1$s AS e',
                    'SELECT x FROM %1$s AS e, LATERAL (SELECT e.%2$I AS x) AS l', 'SELECT (SELECT e.%2$I) FROM %1$s AS e', 'SELECT lag(%2$I) OVER () FROM %1$s', 'TABLE %1$s',
                    'WITH e (id) AS (TABLE %1$s) SELECT id FROM e', 'DECLARE c CURSOR FOR SELECT %2$I FROM %1$s']) AS query;
SELECT is_empty($$SELECT relation FROM attack.relations() AS r JOIN pg_class AS c ON c.oid = r.relation, unnest('{reason,metadata,corrected_status,corrected_events,corrected_limit,xact_id,stripe_customer_id}'::text[]) AS hidden
                   WHERE hidden = ANY (readable) AND NOT (relation = 'usage.credit_transactions'::regclass AND hidden = 'metadata')$$, '1 reasons, metadata and what corrections say are not among them');

SELECT attack.by_all('1 credits of B, by the functions behind the views', array_agg(format(query, :b)))
  FROM unnest(ARRAY['SELECT usage.credit_balance(%L)', 'SELECT usage.credit_balance(%L, now() - interval ''1 day'')', 'SELECT usage._credits_of_user(%L)', 'SELECT (usage._credits_of_user(%L)).overdraft',
                    'SELECT count(*) FROM usage._credit_transactions_of_user(%L)', 'SELECT c.balance FROM (VALUES (%L::uuid)) AS v (id), LATERAL usage._credits_of_user(v.id) AS c',
                    'SELECT t.* FROM usage.user_credits AS u RIGHT JOIN usage._credit_transactions_of_user(%L) AS t ON t.amount > u.balance']) AS query;
SELECT attack.by_all('1 credits of B, by reference and by number', ARRAY['SELECT * FROM usage.credit_transactions WHERE reference_id = ''secret-order''', 'SELECT * FROM usage.credit_transactions WHERE reference_id LIKE ''sec%''',
    'SELECT * FROM usage.credit_transactions WHERE amount = 666666 OR id > 2', 'SELECT * FROM usage.user_credits WHERE overdraft > 0', 'SELECT count(*) FROM usage.credit_transactions HAVING count(*) > 2',
    format('SELECT * FROM usage.user_credits WHERE user_id = %L', :b)], '00000', '00000 42501');
SELECT attack.by_all('1 credits themselves', array_agg(format('SELECT %I FROM %s', attname, relation)))
  FROM attack.relations() JOIN pg_attribute ON attrelid = relation AND attnum > 0 WHERE relation::text ~ '^usage[.]credit_(accounts|grants|ledger|costs|refills)$';

/* 4 */
SELECT attack.on_relations('4 views', 'SELECT * FROM %1$s', 'v', '00000', '00000 42501');
SELECT attack.on_relations('4 views, asked for B', 'SELECT * FROM %1$s WHERE user_id = %4$L', 'v', '00000 42703', '00000 42501 42703');
SELECT attack.on_relations('4 views, asked for anybody',
    'SELECT * FROM %1$s WHERE user_id IS NULL OR user_id = ANY (ARRAY[%4$L]::uuid[]) OR user_id::text LIKE ''%%''',
    'v', '00000 42703', '00000 42501 42703');
/* 12: what pages there are */
SELECT attack.on_relations('12 views, the last page', 'SELECT * FROM %1$s ORDER BY 1 DESC LIMIT 1000000', 'v', '00000', '00000 42501');
SELECT attack.on_relations('12 views, a page before the first', 'SELECT * FROM %1$s OFFSET -1', 'v', '2201X', '2201X 42501');

/* 5, 6: whatever takes a user id refuses B's, and nobody's */
SELECT attack.by_all('5 functions with B''s id', array_agg(attack.call(function, quote_literal(:b))))
  FROM attack.functions() WHERE of_user;
SELECT attack.by_all('6 functions with no id', array_agg(attack.call(function, 'NULL')))
  FROM attack.functions() WHERE of_user AND name NOT IN ('is_admin', 'has_role', 'usage_report');
SELECT attack.by_all('6 roles of nobody', ARRAY['SELECT true WHERE usage.is_admin(NULL) OR usage.has_role(NULL, ''admin'')'],
                     '00000', '00000 42501');
SELECT attack.by_all('6 functions with ' || wild, array_agg(attack.call(function, quote_literal(wild))), '22P02 42501', '22P02 42501')
  FROM attack.functions(), unnest('{"",*,%}'::text[]) AS wild WHERE of_user GROUP BY wild;
SELECT attack.by_all('5 functions for nobody in particular', array_agg(attack.call(function, 'NULL')))
  FROM attack.functions() WHERE NOT of_user AND name NOT IN ('current_user_id', '_sees_all_users')
   AND name !~ :'harmless';
SELECT attack.by_all('5 what a call costs is no secret, what else is in the book is', ARRAY[
    'SELECT true FROM usage.calculate_llm_cost(''acme'', ''secret'', 1, 0) AS c, usage.usage_from_openai(''{}'') AS u WHERE c.priced OR u.model IS NOT NULL',
    'SELECT true FROM usage.calculate_image_cost(''acme'', ''secret'') AS c WHERE c.priced',
    'SELECT true FROM usage.calculate_video_cost(''acme'', ''secret'', 1) AS c WHERE c.priced',
    'SELECT true FROM usage.calculate_openai_cost(1, 1, ''secret'') AS c WHERE c.priced'], '00000', '00000 42501');
SELECT attack.by_all('5 what everybody may ask',
       ARRAY['SELECT usage.current_user_id()', 'SELECT true WHERE usage._sees_all_users() OR usage.is_admin()'],
       '00000', '00000 42501');
SELECT is(attack.run(role, attack.call(function, quote_literal(:b)))::text,
          attack.run(role, attack.call(function, quote_literal(gen_random_uuid())))::text,
          format('5 %s tells %s the same of B and of nobody', name, role))
  FROM attack.functions(), attack.attackers
 WHERE of_user AND role = 'authenticated';

/* 13 */
SELECT attack.on_relations('13 COPY to a file', 'COPY %1$s TO ''/tmp/regress_ut_copy''', 'rpmf');
SELECT attack.on_relations('13 COPY through a program', 'COPY (SELECT * FROM %1$s) TO PROGRAM ''cat''');

/* 15 */
SELECT attack.on_relations('15 nextval', 'SELECT nextval(%1$L)', 'S');
SELECT attack.on_relations('15 currval', 'SELECT currval(%1$L)', 'S');
SELECT attack.on_relations('15 setval', 'SELECT setval(%1$L, 1)', 'S');
SELECT attack.on_relations('15 pg_sequence_last_value', 'SELECT ''secret'' WHERE pg_sequence_last_value(%1$L) IS NOT NULL', 'S',
                           '42501 00000', '42501 00000');
SELECT attack.by_all('15 pg_sequences', ARRAY['SELECT ''secret'' FROM pg_sequences WHERE schemaname = ''usage'' AND last_value IS NOT NULL'],
                     '00000', '00000');

/* 40 */
SELECT attack.by_all('40 row_security off', ARRAY[
    'SET LOCAL row_security = off; SELECT user_id FROM usage.user_subscriptions',
    'SET LOCAL row_security = off; SELECT set_config(''x.y'', user_id::text, false) FROM usage.user_subscriptions',
    'SET LOCAL row_security = off; SELECT cost FROM usage.usage_events', 'SET LOCAL row_security = off; SELECT * FROM usage.campaigns',
    'SET LOCAL row_security = off; SELECT total_cost FROM usage.api_usage']);
SELECT * FROM finish();
ROLLBACK;
