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
                    'SELECT usage.current_user_id(), usage.is_admin(), usage.has_role(%L, ''admin'')', 'SELECT FROM usage.user_usage', 'SELECT plan FROM usage.user_subscriptions']) AS statement;
SELECT is(used, 5::numeric, '57 what he used is counted') FROM usage.check_usage_limit(:a, 'call');
SELECT is(attack.trapped('authenticated', 'UPDATE usage.user_usage SET used = 0'), '42501 ' || told, '57 what he must not do is refused')
  FROM attack.run('authenticated', 'UPDATE usage.user_usage SET used = 0');
SELECT usage.grant_role(:a, 'admin') \g /dev/null
SELECT is(attack.trapped('authenticated', format(statement, :b)), '00000', '57 an admin: ' || statement)
  FROM unnest(ARRAY['SELECT usage.define_usage_type(''mail'')', 'SELECT usage.define_usage_limit(''mails'', ''mail'', 3, ''lifetime'', NULL)', 'SELECT usage.set_plan_limit(''pro'', ''mails'', 4)',
                    'SELECT usage.set_temporary_limit(''mails'', 5, now(), now() OPERATOR(pg_catalog.+) ''1 day''::pg_catalog.interval)', 'SELECT usage.set_user_limit(%L, ''mails'', 6)',
                    'SELECT usage.set_user_plan(%L, ''team'')', 'SELECT usage.set_user_clock(%L, ''Asia/Tokyo'')', 'SELECT usage.grant_role(%L, ''support'')', 'SELECT usage.revoke_role(%L, ''support'')',
                    'SELECT usage.make_admin_by_email(''a@example.com'')', 'SELECT usage.adjust_usage(%L, ''calls_daily'', 9)', 'SELECT usage.reset_user_usage(%L, ''calls_daily'')',
                    'UPDATE usage.user_usage SET used = 4, max_usage = 8 WHERE limit_type OPERATOR(pg_catalog.=) ''calls_daily'' AND user_id OPERATOR(pg_catalog.=) %L',
                    'SELECT usage.reverse_usage(%L, ' || (SELECT min(id) FROM usage.usage_events WHERE user_id = :b AND usage_type = 'film' AND corrects IS NULL) || ')',
                    'SELECT usage.export_user_data(%L)', 'SELECT usage.erase_user(''cccccccc-0000-4000-8000-00000000000c'')']) AS statement;
SELECT is((used, max_usage)::text, '(4,8)', '57 what the admin changed is changed') FROM usage.check_usage_limit(:b, 'calls_daily');
SELECT is(attack.trapped('service_role', format(statement, :b)), '00000', '57 a server: ' || statement)
  FROM unnest(ARRAY['SELECT usage.track_usage(%L, ''mail'')', 'SELECT usage.track_usage(%L, ''mail'', occurred_at => now() OPERATOR(pg_catalog.-) ''1 hour''::pg_catalog.interval, idempotency_key => ''k'')',
                    'SELECT usage.track_usage_batch(pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(''user_id'', %L::pg_catalog.text, ''usage_type'', ''mail'')))',
                    'SELECT usage.commit_usage(%1$L, (usage.reserve_usage(%1$L, ''mail'', idempotency_key => ''h'')).id)', 'SELECT usage.release_usage(%1$L, (usage.reserve_usage(%1$L, ''mail'')).id)',
                    'SELECT usage.commit_usage(%1$L, (SELECT 2::bigint))']) AS statement;
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

/* ---- 64: news that are not ---- */

SELECT attack.by_all('64 NOTIFY', ARRAY['NOTIFY usage_tracking, ''forged''', format('SELECT pg_notify(''usage_tracking'', %L)', :a), 'LISTEN usage_tracking'], '00000', '00000');
SELECT * FROM finish();
ROLLBACK;
