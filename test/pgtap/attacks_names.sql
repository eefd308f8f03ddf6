/* Attacks by names, values and load: 57, 59-61, 63 and 64 of the suite; 58 is in
 * hostile.sql, and what needs sessions of their own in test/t/010_attacks.pl.
 *
 * A user fills his own schemas with tables, functions, operators and types named
 * like ours, and sends values of types of his own.  What he calls does what it
 * did, to the same tables. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
\ir lib/attackers.sql
SELECT no_plan();

/* ---- 57: names of ours, before ours ---- */

/* What must not be called says so. */
CREATE FUNCTION workshop.caught() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'an object of the attacker''s own was called' USING ERRCODE = 'UTATK';
END
$$;
CREATE FUNCTION workshop.within(jsonb, text) RETURNS text LANGUAGE sql AS 'SELECT workshop.caught()::text';
CREATE FUNCTION workshop.within(jsonb, text[]) RETURNS text LANGUAGE sql AS 'SELECT workshop.caught()::text';
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('CREATE TABLE %s.%I (user_id uuid DEFAULT CASE WHEN workshop.caught() THEN gen_random_uuid() END, role text, plan text, user_usage text)',
                      place, c.relname)
          FROM attack.relations() JOIN pg_class AS c ON c.oid = relation, unnest('{workshop,pg_temp}'::text[]) AS place
         UNION ALL
        SELECT format('CREATE FUNCTION workshop.%I(%s) RETURNS %s LANGUAGE sql AS %L', p.proname, pg_get_function_identity_arguments(p.oid), p.prorettype::regtype,
                      format('SELECT NULL::%s FROM workshop.caught()', p.prorettype::regtype))
          FROM attack.functions() JOIN pg_proc AS p ON p.oid = function WHERE p.prorettype NOT IN ('trigger'::regtype, 'record'::regtype)
         UNION ALL
        SELECT format('CREATE FUNCTION workshop.same(%s, %1$s) RETURNS boolean LANGUAGE sql AS ''SELECT workshop.caught()''', type)
          FROM (SELECT DISTINCT unnest('{uuid,text,bigint,numeric,timestamptz,boolean}'::text[]) AS type) AS t
         UNION ALL
        SELECT format('CREATE OPERATOR workshop.%s (LEFTARG = %s, RIGHTARG = %2$s, FUNCTION = workshop.same)', operator, type)
          FROM (SELECT DISTINCT unnest('{uuid,text,bigint,numeric,timestamptz,boolean}'::text[]) AS type) AS t, unnest('{=,<>,<,<=,>,>=,+}'::text[]) AS operator
         UNION ALL
        SELECT format('CREATE OPERATOR workshop.%s (LEFTARG = jsonb, RIGHTARG = %s, FUNCTION = workshop.within)', operator, type)
          FROM (VALUES ('->', 'text'), ('->>', 'text'), ('#>>', 'text[]'), ('?', 'text')) AS v (operator, type)
         UNION ALL
        SELECT format('CREATE TYPE workshop.%I AS ENUM (''x'')', name) FROM (SELECT DISTINCT unnest('{uuid,text,numeric,timestamptz,jsonb,regclass}'::text[]) AS name) AS t
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
GRANT ALL ON ALL TABLES IN SCHEMA workshop TO PUBLIC;
SELECT cmp_ok((SELECT count(*) FROM pg_class WHERE relnamespace IN ('workshop'::regnamespace, pg_my_temp_schema()) AND relkind = 'r')::int, '>', 40, '57 tables named like ours');
SELECT throws_ok('SET LOCAL search_path = workshop, pg_catalog; SELECT ''a''::pg_catalog.text = ''a''::pg_catalog.text', 'UTATK', NULL, '57 they are met by who looks for them');
SET LOCAL search_path = public;

/* Calls of an end user, of an admin and of a server, each with that path. */
CREATE FUNCTION attack.trapped(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    saw record := attack.run(who, 'SET LOCAL search_path = pg_temp, workshop, pg_catalog; ' || statement);
BEGIN
    RETURN saw.state || CASE WHEN saw.state <> '00000' THEN ' ' || saw.told ELSE '' END;
END
$$;
SELECT is(attack.trapped('authenticated', format(statement, :a)), '00000', '57 a user: ' || statement)
  FROM unnest(ARRAY['SELECT usage.consume_usage(%L, ''call'')', 'SELECT usage.consume_usage(%L, ''call'', idempotency_key => ''k'')', 'SELECT usage.require_usage(%L, ''call'')',
                    'SELECT usage.consume_usage(%L, ''call'', idempotency_key => ''k'')', 'SELECT usage.check_usage_limit(%L, ''call'')',
                    'SELECT usage.current_user_id(), usage.is_admin(), usage.has_role(%L, ''admin'')', 'SELECT FROM usage.user_usage', 'SELECT plan FROM usage.user_subscriptions',
                    'SELECT total_cost FROM usage.api_usage', 'SELECT kind FROM usage.get_usage_alerts(%L)', 'SELECT usage.calculate_llm_cost(''acme'', ''m1'', 1, 1)',
                    'SELECT usage.calculate_llm_cost(''text-completion-acme'', ''secret alias'', 1, 1)', 'SELECT usage.calculate_openai_cost(1, 1, ''gpt-5'')',
                    'SELECT usage.calculate_image_cost(''acme'', ''m1'', size => ''1x1'')', 'SELECT usage.calculate_video_cost(''acme'', ''m1'', 1)',
                    'SELECT usage.usage_from_openai(''{"usage": {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}}}''), usage.usage_from_anthropic(''{"input_tokens": 1}''),'
                    ' usage.usage_from_opentelemetry(''{"gen_ai.usage.input_tokens": 1}'')']) AS statement;
SELECT matches(attack.trapped('authenticated', 'SELECT * FROM usage.' || source), '^42501 permission denied for table ' || source, '57 nor is there another way to ' || source)
  FROM unnest('{campaigns,usage_events,usage_alerts}'::text[]) AS source;
SELECT is(c.total_cost, 0.75, '57 and what a session of a pool keeps of prices after him is right') FROM usage.calculate_llm_cost('acme', 'm1', 1, 1) AS c;
SELECT is(input_tokens, 2::bigint, '57 and what he has read is what was told') FROM usage.usage_from_openai('{"usage": {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}}}');
SELECT is(used, 5::numeric, '57 what he used is counted') FROM usage.check_usage_limit(:a, 'call');
SELECT is(attack.trapped('authenticated', 'UPDATE usage.user_usage SET used = 0'), '42501 ' || told, '57 what he must not do is refused')
  FROM attack.run('authenticated', 'UPDATE usage.user_usage SET used = 0');
SELECT usage.grant_role(:a, 'admin') \g /dev/null
SELECT is(attack.trapped('authenticated', format(statement, :b)), '00000', '57 an admin: ' || statement)
  FROM unnest(ARRAY['SELECT usage.define_usage_type(''mail'')', 'SELECT usage.define_usage_limit(''mails'', ''mail'', 3, ''lifetime'', NULL)', 'SELECT usage.set_plan_limit(''pro'', ''mails'', 4)',
                    'SELECT usage.set_temporary_limit(''mails'', 5, now(), now() OPERATOR(pg_catalog.+) ''1 day''::pg_catalog.interval)', 'SELECT usage.set_user_limit(%L, ''mails'', 6)',
                    'SELECT usage.set_user_plan(%L, ''team'')', 'SELECT usage.set_user_clock(%L, ''Asia/Tokyo'')', 'SELECT usage.grant_role(%L, ''support'')', 'SELECT usage.revoke_role(%L, ''support'')',
                    'SELECT usage.set_stripe_price(''price_1'', ''pro'')', 'SELECT usage.stripe_meter_events(''2020-01-01'')',
                    'SELECT usage.make_admin_by_email(''a@example.com'')', 'SELECT usage.adjust_usage(%L, ''calls_daily'', 9)', 'SELECT usage.reset_user_usage(%L, ''calls_daily'')',
                    'UPDATE usage.user_usage SET used = 4, max_usage = 8 WHERE limit_type OPERATOR(pg_catalog.=) ''calls_daily'' AND user_id OPERATOR(pg_catalog.=) %L',
                    'SELECT usage.reverse_usage(%L, ' || (SELECT min(id) FROM usage.usage_events WHERE user_id = :b AND usage_type = 'film' AND corrects IS NULL) || ')',
                    'SELECT usage.recost_usage(now() OPERATOR(pg_catalog.-) ''1 day''::pg_catalog.interval, now())', 'SELECT usage.define_campaign(%L, ''autumn'')', 'SELECT total_cost FROM usage.api_usage WHERE user_id OPERATOR(pg_catalog.=) %L',
                    'SELECT usage.export_user_data(%L)', 'SELECT usage.erase_user(''cccccccc-0000-4000-8000-00000000000c'')']) AS statement;
SELECT is((used, max_usage)::text, '(4,8)', '57 what the admin changed is changed') FROM usage.check_usage_limit(:b, 'calls_daily');
SELECT is(attack.trapped('service_role', format(statement, :b)), '00000', '57 a server: ' || statement)
  FROM unnest(ARRAY['SELECT usage.track_usage(%L, ''mail'')', 'SELECT usage.track_api_usage(%L, ''mail'', ''acme'', ''m1'', input_tokens => 2, status => ''failed'', metadata => ''{"Secret": 1}'')', 'SELECT usage.track_usage(%L, ''mail'', occurred_at => now() OPERATOR(pg_catalog.-) ''1 hour''::pg_catalog.interval, idempotency_key => ''k'')',
                    'SELECT usage.track_usage_batch(pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(''user_id'', %L::pg_catalog.text, ''usage_type'', ''mail'')))',
                    'SELECT usage.set_stripe_price(''price_1'', ''team'')', 'SELECT usage.stripe_meter_events(''2020-01-01'')',
                    'SELECT usage.apply_stripe_event(pg_catalog.jsonb_build_object(''id'', ''evt_7'', ''type'', ''customer.subscription.created'', ''created'', 1772323200, ''data'', pg_catalog.jsonb_build_object(''object'', pg_catalog.jsonb_build_object(''id'', ''sub_7'', ''subscription'', ''sub_7'', ''customer'', ''cus_7'', ''status'', ''active'', ''metadata'', pg_catalog.jsonb_build_object(''user_id'', %L::pg_catalog.text), ''items'', ''{"data": [{"price": "price_1"}]}''::pg_catalog.jsonb))))',
                    'SELECT usage.apply_stripe_event(pg_catalog.jsonb_build_object(''id'', ''evt_8'', ''type'', ''invoice.paid'', ''created'', 1772323200, ''data'', pg_catalog.jsonb_build_object(''object'', pg_catalog.jsonb_build_object(''id'', ''sub_7'', ''subscription'', ''sub_7'', ''customer'', ''cus_7'', ''status'', ''active'', ''metadata'', pg_catalog.jsonb_build_object(''user_id'', %L::pg_catalog.text), ''items'', ''{"data": [{"price": "price_1"}]}''::pg_catalog.jsonb))))', 'SELECT usage.set_stripe_price(''price_1'', ''pro'')',
                    'SELECT usage.commit_usage(%1$L, (usage.reserve_usage(%1$L, ''mail'', idempotency_key => ''h'')).id)', 'SELECT usage.release_usage(%1$L, (usage.reserve_usage(%1$L, ''mail'')).id)',
                    'SELECT usage.commit_usage(%1$L, (SELECT 2::bigint))']) AS statement;
SELECT results_eq('SELECT cost, metadata, status FROM usage.usage_events WHERE model = ''m1'' ORDER BY id DESC LIMIT 1', $$VALUES (1.0, '{"Secret": "[redacted]"}'::jsonb, 'failed')$$, '57 and costs what it costs');
SELECT is(used, 4::numeric, '57 what the server recorded is counted') FROM usage.check_usage_limit(:b, 'mails');

UPDATE usage.user_roles SET role = 'support' WHERE user_id = :a;    -- and is an attacker again

/* Functions that run as their owner, and what he calls himself. */
SET LOCAL search_path = pg_temp, workshop, pg_catalog;
INSERT INTO app.users VALUES ('dddddddd-0000-4000-8000-00000000000d', 'd@example.com');
DELETE FROM app.users WHERE id OPERATOR(pg_catalog.=) 'dddddddd-0000-4000-8000-00000000000d';
SELECT usage.usage_maintenance(), usage.usage_security_check(), usage.reconcile_usage(), usage.create_usage_partition('2040-01-01') \g /dev/null
SELECT usage.erase_user('dddddddd-0000-4000-8000-00000000000d') \g /dev/null
SET LOCAL search_path = public;
SELECT is_empty('SELECT * FROM usage.reconcile_usage()', '57 counters agree with events');
SELECT is_empty(format('SELECT 1 FROM %s', c.oid::regclass), format('57 nothing went into %s', c.oid::regclass))
  FROM pg_class AS c WHERE relnamespace IN ('workshop'::regnamespace, pg_my_temp_schema()) AND relkind = 'r' AND relname ~ '^(user_|usage_(events|counters|keys|changes|reservations|carried)$|deleted_)';

/* ---- 59: overloads and operators in our schema ---- */

SELECT attack.by_all('59 ' || what, array_agg(format(statement, name)))
  FROM (SELECT DISTINCT name FROM attack.functions()) AS f,
       (VALUES ('an overload', 'CREATE FUNCTION usage.%I(int) RETURNS int LANGUAGE sql AS ''SELECT 1'''), ('a procedure', 'CREATE PROCEDURE usage.%I(text, text) LANGUAGE sql AS '''''),
               ('an aggregate', 'CREATE AGGREGATE usage.%I(int) (sfunc = int4pl, stype = int)')) AS v (what, statement) GROUP BY what;
SELECT attack.by_all('59 other objects of his in our schema', ARRAY['CREATE TYPE usage.text AS ENUM ()', 'CREATE DOMAIN usage.uuid AS text', 'CREATE TABLE usage.pg_class ()', 'CREATE VIEW usage.pg_proc AS SELECT 1',
    'CREATE OPERATOR usage.= (LEFTARG = int, RIGHTARG = uuid, FUNCTION = workshop.same)', 'CREATE SEQUENCE usage.mine', 'CREATE COLLATION usage."C" FROM "C"',
    'ALTER FUNCTION workshop.caught() SET SCHEMA usage']);
GRANT CREATE ON SCHEMA usage TO regress_ut_guest;
SELECT is((SELECT count(*) FROM usage.usage_security_check() WHERE problem = 'regress_ut_guest may create objects beside ours')::int, 1, '59 whoever could is found');
REVOKE CREATE ON SCHEMA usage FROM regress_ut_guest;

/* ---- 60: values of types of his own ---- */

CREATE DOMAIN workshop.anyone AS uuid;
CREATE DOMAIN workshop.asking AS uuid CHECK (set_config('usage_tracking.user_id', VALUE::text, true) <> '');
CREATE TYPE workshop.mood AS ENUM ('call', 'film');
CREATE TYPE workshop.pair AS (id uuid, role text);
CREATE FUNCTION workshop.id_of(workshop.pair) RETURNS uuid LANGUAGE sql AS 'SELECT $1.id';
CREATE CAST (workshop.pair AS uuid) WITH FUNCTION workshop.id_of AS IMPLICIT;
CREATE CAST (workshop.mood AS text) WITH INOUT AS IMPLICIT;
SELECT attack.by_all('60 B''s id in other clothes: ' || call, ARRAY[
    format('SELECT usage.' || call, format('%L::workshop.anyone', :b)), format('SELECT usage.' || call, format('%L::workshop.asking', :b)),
    format('SELECT usage.' || call, format('row(%L, ''admin'')::workshop.pair', :b)),
    format('SELECT usage.' || call, format('(SELECT max(id::text)::uuid FROM (VALUES (%L::workshop.anyone)) AS v (id))', :b))])
  FROM unnest(ARRAY['consume_usage(%s, ''call'')', 'check_usage_limit(%s, ''call'')', 'require_usage(%s, ''call'')', 'reserve_usage(%s, ''film'')', 'release_usage(%s, 2)', 'reverse_usage(%s, 2)',
                    'adjust_usage(%s, ''calls_daily'', 0)', 'reset_user_usage(%s, ''calls_daily'')', 'export_user_data(%s)', 'erase_user(%s)', 'set_user_limit(%s, ''calls_daily'', 1)']) AS call;
SELECT attack.by_all('60 names of a type of his own', ARRAY[format('SELECT usage.check_usage_limit(%L, ''call''::workshop.mood)', :a)], '00000');
SELECT attack.by_all('60 names that are SQL', array_agg(format('SELECT usage.%s(%L, %L)', function, :a, 'call' || name)), 'UT004 22023')
  FROM unnest('{consume_usage,require_usage,check_usage_limit}'::text[]) AS function, unnest(ARRAY['''); DROP TABLE usage.plans; --', '''''', '"', ' OR true', '%s', '%n', E'\\', '$1', '{}', '; --']) AS name;
SELECT is_empty($$SELECT function FROM attack.functions() JOIN pg_proc AS p ON p.oid = function, unnest(proargtypes) AS t WHERE t::regtype::text ~ '^("?any|record|internal|cstring)'$$,
                '60 no function of ours takes values of any type');

/* ---- 61: advisory locks, which any user may hold ---- */

SELECT is((SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')::int, 0, '61 after all of the above there is no advisory lock');
SELECT is_empty('SELECT function FROM attack.functions() JOIN pg_proc AS p ON p.oid = function WHERE strpos(pg_get_functiondef(function), ''advisory'') > 0', '61 nor a function that takes one');

/* ---- 63: more and more of everything ---- */

SELECT attack.by_all('63 types nobody registered', ARRAY[format('SELECT usage.consume_usage(%L, ''type'' || n) FROM generate_series(1, 100) AS n', :a),
    format('SELECT usage.require_usage(%L, ''type'' || n) FROM generate_series(1, 100) AS n', :a), format('SELECT usage.check_usage_limit(%L, ''type'' || n) FROM generate_series(1, 100) AS n', :a)], 'UT004');
SELECT attack.by_all('63 keys of uses that were refused', ARRAY[
    format('SELECT usage.consume_usage(%L, ''call'', 1000, idempotency_key => ''k'' || n) FROM generate_series(1, 1000) AS n', :a)], '00000');
SELECT attack.by_all('63 ids of users', ARRAY['SELECT usage.consume_usage(gen_random_uuid(), ''call'') FROM generate_series(1, 100)',
    'SELECT usage.check_usage_limit(gen_random_uuid(), ''call'') FROM generate_series(1, 100)']);
SELECT attack.by_all('63 texts of 10 MB: ' || argument, array_agg(format('SELECT usage.%I(%L, ''film'', %s => repeat(''x'', 10000000))', function, :a, argument)), '22023')
  FROM unnest('{consume_usage,require_usage}'::text[]) AS function, unnest('{idempotency_key,event_subtype,resource_type,resource_id}'::text[]) AS argument GROUP BY argument;
SELECT attack.fingerprint(but_of => :a) AS before, (SELECT count(*) FROM attack.relations()) AS relations \gset
SELECT is(state, '00000', '63 metadata of 100 MB, by ' || role || told) FROM attack.attackers, attack.run(role, format('SELECT usage.consume_usage(%L, ''film'', metadata => jsonb_build_object(''x'', repeat(''x'', 100000000)))', :a)) WHERE is_user;
SELECT cmp_ok(max(pg_column_size(metadata)), '<=', 8200, '63 is cut before it is kept') FROM usage.usage_events;
SELECT is(attack.fingerprint(but_of => :a) || (SELECT count(*) FROM attack.relations()), :'before' || :relations, '63 and nobody else has anything of it, nor is there a new partition');

/* names of models: a session keeps the prices of so many, and no more */
SELECT is(state, '00000', '63 names of models, by ' || role || told) FROM attack.attackers,
       attack.run(role, 'SELECT count(*) FROM generate_series(1, 3000) AS n, usage.calculate_llm_cost(CASE n % 2 WHEN 0 THEN ''acme'' END, repeat(''m'', 200) || n, 1, 1) AS c WHERE c.priced') WHERE is_user;
SELECT ok(count(*) BETWEEN 100 AND 1025 AND sum(total_bytes) < 16000000, format('63 which takes %s contexts of %s bytes', count(*), sum(total_bytes))) FROM pg_backend_memory_contexts WHERE name = 'usage_tracking prices';
SELECT attack.by_all('63 as many tokens as there are', ARRAY[
    'SELECT true FROM usage.calculate_llm_cost(''acme'', ''m1'', 9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807,'
    ' 9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807) AS c WHERE c.total_cost <= 0 OR c.total_cost = ''NaN''',
    'SELECT true FROM usage.calculate_openai_cost(9223372036854775807, 9223372036854775807, ''acme/m1'') AS c WHERE c.total_cost <= 0 OR c.total_cost = ''NaN'''], '00000', '00000 42501');
SELECT attack.by_all('63 less than none', ARRAY['SELECT usage.calculate_llm_cost(''acme'', ''m1'', -1, 1)', 'SELECT usage.calculate_llm_cost(''acme'', ''m1'', 1, 1, requests => -1)', 'SELECT usage.calculate_image_cost(''acme'', ''m1'', -1)',
    'SELECT usage.calculate_video_cost(''acme'', ''m1'', ''NaN'')', 'SELECT usage.calculate_video_cost(''acme'', ''m1'', ''Infinity'')', 'SELECT usage.calculate_video_cost(''acme'', ''m1'', -1)',
    'SELECT usage.usage_from_openai(''{"prompt_tokens": -1}'')', 'SELECT usage.usage_from_openai(''{"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}'')',
    'SELECT usage.usage_from_anthropic(''{"input_tokens": 1.5}'')', 'SELECT usage.usage_from_anthropic(''{"cache_creation_input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 2}}'')',
    'SELECT usage.usage_from_opentelemetry(''{"gen_ai.usage.input_tokens": 9999999999999999999}'')', 'SELECT usage.usage_from_openai(jsonb_build_object(''prompt_tokens'', repeat(''9'', 10000000)))'], '22023', '22023 42501');
SELECT attack.by_all('63 deep and wide usage', ARRAY['SELECT usage.usage_from_openai((repeat(''{"usage":'', 1000) || ''1'' || repeat(''}'', 1000))::jsonb)', 'SELECT usage._token_count(''[1]'', ''{0}''), usage._token_count(NULL, NULL), usage._check_token_count(NULL, NULL)',
    'SELECT usage.usage_from_anthropic((SELECT jsonb_object_agg(n::text, n) FROM generate_series(1, 100000) AS n))', 'SELECT usage._token_count(''{}'', array_fill(''a''::text, ARRAY[100000]))'], '00000', '00000 42501');
SELECT attack.by_all('63 a server: ' || what, ARRAY[format('SELECT usage.track_api_usage(%L, ''api.content'', ''acme'', ''m1'', %s)', :a, what)]) FROM unnest(ARRAY['input_tokens => -1', 'quantity => ''NaN''']) AS what;
SELECT is(state, code, format('63 a server cannot record %s: %s', what, told))
  FROM (VALUES ('input_tokens => -1', '22023'), ('reasoning_tokens => -9223372036854775808', '22023'), ('quantity => ''NaN''', '22023'), ('quantity => -1', '22023'), ('quantity => ''Infinity''', '22023'), ('quantity => 1e29', '22003'),
               ('status => ''correction''', '22023'), ('duration_ms => -1', '22023'), ('service_tier => ''free''', '22023'), ('service_tier => NULL', '22004'), ('input_tokens => NULL', '22004'), ('total_cost => -1', '42883'),
               ('input_tokens => 9223372036854775807, output_tokens => 1', '22003')) AS v (what, code),
       attack.run('service_role', format('SELECT usage.track_api_usage(%L, ''api.content'', ''acme'', ''m1'', %s)', :a, what));

/* a price that was never true is not kept, by nobody's session */
CREATE FUNCTION attack.cost_of(model text, change text DEFAULT '', OUT during numeric, OUT after numeric) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE change;
        during := (usage.calculate_llm_cost('acme', model, 1, 1)).total_cost;
        RAISE 'undo' USING ERRCODE = 'UTEST';
    EXCEPTION WHEN SQLSTATE 'UTEST' THEN
        NULL;
    END;
    after := (usage.calculate_llm_cost('acme', model, 1, 1)).total_cost;
END
$$;
SELECT results_eq(format('SELECT * FROM attack.cost_of(%L, %L)', model, change), format('VALUES (%s::numeric, %s::numeric)', during, after), '63 rolled back: ' || change)
  FROM (VALUES ('m1', 'UPDATE usage.model_prices SET prices = ''{"input": 0, "output": 0}'' WHERE model = ''m1''', '0', '0.75'), ('m1', 'DELETE FROM usage.model_prices WHERE model = ''m1''', 'NULL', '0.75'),
               ('m1', 'TRUNCATE usage.model_prices', 'NULL', '0.75'), ('new', 'INSERT INTO usage.model_aliases VALUES (''acme'', ''new'', ''acme'', ''m1'')', '0.75', 'NULL'),
               ('secret alias', 'DELETE FROM usage.model_aliases', 'NULL', '0.75'), ('new', 'INSERT INTO usage.model_prices (provider, model, prices, valid_from) VALUES (''acme'', ''new'', ''{"input": 1, "output": 1}'', ''2020-01-01'')', '2', 'NULL'))
       AS v (model, change, during, after);

/* ---- 64: news that are not ---- */

SELECT attack.by_all('64 NOTIFY', ARRAY['NOTIFY usage_tracking, ''forged''', format('SELECT pg_notify(''usage_tracking'', %L)', :a), 'LISTEN usage_tracking'], '00000', '00000');
SELECT * FROM finish();
ROLLBACK;
