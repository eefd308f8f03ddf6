/* Hostile surroundings: the application's users table belongs to somebody who is
 * no superuser, and everything he can hang on it (triggers, defaults, policies,
 * constraints, indexes, types, casts) or put in the way of a name (operators and
 * functions that shadow PostgreSQL's, tables named like ours) writes down who
 * runs it.  That is never the extension's owner, nor any superuser: what happens
 * on that table happens with the rights of whoever changed it, or of its owner
 * (design: Whose rights).  The superuser here only calls our functions.  58 of the
 * suite of attacks. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL statement_timeout = '60s';
SET LOCAL search_path = public;
SELECT no_plan();
CREATE ROLE regress_ut_shop;
CREATE ROLE regress_ut_shopper;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT format('CREATE SCHEMA %I', current_user) \gexec
CREATE SCHEMA aside;
SELECT format('GRANT ALL ON SCHEMA aside, %I TO regress_ut_shop', current_user) \gexec
CREATE SCHEMA shop AUTHORIZATION regress_ut_shop;

/* ---- the shop builds its users table ---- */

SET LOCAL ROLE regress_ut_shop;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
CREATE TABLE shop.log (what text, who name);
GRANT ALL ON shop.log TO PUBLIC;
CREATE FUNCTION shop.note(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shop.log VALUES (what, current_user);
    RETURN true;
END
$$;
/* An expression of an index or a generated column must be immutable: it lies. */
CREATE FUNCTION shop.noted(what text, value text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    PERFORM shop.note(what);
    RETURN value;
END
$$;
CREATE FUNCTION shop.note_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM shop.note(TG_NAME);
    RETURN COALESCE(NEW, OLD);
END
$$;
CREATE DOMAIN shop.email AS text CHECK (shop.note('domain'));
CREATE TABLE shop.users (
    id        uuid PRIMARY KEY DEFAULT shop.noted('default', gen_random_uuid()::text)::uuid,
    email     shop.email CHECK (shop.note('check')),
    nickname  text GENERATED ALWAYS AS (shop.noted('generated', 'x')) STORED,
    email_confirmed_at timestamptz DEFAULT now()
);
CREATE INDEX by_noted ON shop.users (shop.noted('index', email::text));
CREATE INDEX where_noted ON shop.users (email) WHERE shop.noted('index predicate', id::text) IS NOT NULL;
DO $$
DECLARE
    place text;
    event text;
BEGIN
    FOREACH place IN ARRAY '{aaa,zzz}'::text[] LOOP    -- before and after ours, in order of names
        FOREACH event IN ARRAY '{BEFORE INSERT,AFTER INSERT,BEFORE DELETE,AFTER DELETE}'::text[] LOOP
            EXECUTE format('CREATE TRIGGER %I %s ON shop.users FOR EACH ROW EXECUTE FUNCTION shop.note_trigger()', place || ' ' || event, event);
            EXECUTE format('CREATE TRIGGER %I %s ON shop.users FOR EACH STATEMENT EXECUTE FUNCTION shop.note_trigger()', place || ' all ' || event, event);
        END LOOP;
    END LOOP;
END
$$;
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT OR DELETE ON shop.users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (shop.note('when')) EXECUTE FUNCTION shop.note_trigger();
CREATE POLICY noting ON shop.users USING (shop.note('policy')) WITH CHECK (shop.note('policy check'));
ALTER TABLE shop.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT ALL ON shop.users TO regress_ut_shopper;

/* Names in the way, in every schema of the path that comes before pg_catalog. */
CREATE FUNCTION shop.fill(place text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    EXECUTE format('CREATE FUNCTION %I.lower(text) RETURNS text LANGUAGE sql AS $f$ SELECT shop.noted(''lower'', $1) $f$', place);
    EXECUTE format('CREATE FUNCTION %I.format(text, text) RETURNS text LANGUAGE sql AS $f$ SELECT shop.noted(''format'', $1) $f$', place);
    EXECUTE format('CREATE FUNCTION %I._record_signup(uuid) RETURNS void LANGUAGE sql AS $f$ SELECT shop.note(''_record_signup'') $f$', place);
    EXECUTE format('CREATE FUNCTION %I.handle_new_user() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM shop.note(''handle_new_user''); RETURN NULL; END $f$', place);
    EXECUTE format('CREATE FUNCTION %I.%I(text) RETURNS uuid LANGUAGE sql AS $f$ SELECT shop.noted(''%2$s'', $1)::uuid $f$', place, 'uuid');
    EXECUTE format('CREATE TABLE %I.user_roles (user_id uuid DEFAULT shop.noted(''column'', NULL)::uuid, role text)', place);
    EXECUTE format('CREATE TABLE %I.deleted_users (user_id uuid, on_delete text, x text DEFAULT shop.noted(''column'', NULL))', place);
    /* operators for pairs of types that PostgreSQL has none for, so that an
     * unqualified operator in a schema of the path is an exact match */
    FOR one IN
        SELECT l, r, array_agg(DISTINCT o) AS operators
          FROM unnest('{=,<>,<,<=,>,>=,@>,<@,~}'::text[]) AS o,
               unnest('{int4,int8,numeric,text,text[],name,char,oid,regclass,regproc,regprocedure,regrole,regnamespace,xid8,jsonb,uuid,bool,date,timestamptz,interval}'::regtype[]) AS l,
               unnest('{int4,int8,numeric,text,text[],name,char,oid,regclass,regproc,regprocedure,regrole,regnamespace,xid8,jsonb,uuid,bool,date,timestamptz,interval}'::regtype[]) AS r
         WHERE NOT EXISTS (SELECT FROM pg_operator WHERE oprname = o AND oprleft = l AND oprright = r AND oprnamespace = 'pg_catalog'::regnamespace)
         GROUP BY l, r
    LOOP
        EXECUTE format('CREATE FUNCTION %I.catch(%s, %s) RETURNS boolean IMMUTABLE LANGUAGE sql AS $f$ SELECT shop.noted(''operator of %2$s and %3$s'', '''') <> '''' $f$',
                       place, one.l, one.r);
        FOR i IN 1 .. cardinality(one.operators) LOOP
            EXECUTE format('CREATE OPERATOR %I.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = %1$I.catch)', place, one.operators[i], one.l, one.r);
        END LOOP;
    END LOOP;
    /* these PostgreSQL does have, and they are found first by this path */
    FOR one IN SELECT DISTINCT * FROM unnest('{uuid,text}'::regtype[]) AS type LOOP
        EXECUTE format('CREATE FUNCTION %I.same(%s, %2$s) RETURNS boolean LANGUAGE sql AS $f$ SELECT shop.note(''= of %2$s'') $f$', place, one.type);
        EXECUTE format('CREATE OPERATOR %I.= (LEFTARG = %s, RIGHTARG = %2$s, FUNCTION = %1$I.same)', place, one.type);
    END LOOP;
END
$$;
SELECT shop.fill('aside'), shop.fill((SELECT session_user)) \g /dev/null
RESET ROLE;
CREATE TEMP TABLE user_roles (user_id uuid, role text);
CREATE TEMP TABLE deleted_users (user_id uuid, on_delete text);

CREATE SCHEMA test;
CREATE FUNCTION test.lines() RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(string_agg(DISTINCT what || ' as ' || who, ', '), 'none')
      FROM shop.log JOIN pg_roles ON rolname = who WHERE rolsuper OR who NOT IN ('regress_ut_shop', 'regress_ut_shopper')
$$;

/* ---- attach, sign-up, deletion, admin ---- */

SET LOCAL ROLE regress_ut_shop;
INSERT INTO shop.users (email) VALUES ('early@example.com');
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
RESET ROLE;
SELECT is((SELECT count(DISTINCT what) FROM shop.log WHERE who = 'regress_ut_shop' AND what NOT LIKE '%DELETE'
             AND what = ANY ('{domain,check,generated,default,index,index predicate,aaa BEFORE INSERT,zzz AFTER INSERT,deferred,when}'))::int, 10,
          'everything that hangs on the table writes down who runs it');
SELECT count(*) AS lines FROM shop.log \gset

SET LOCAL search_path = "$user", aside, shop, pg_catalog, pg_temp;
SELECT usage.attach_users('shop.users') AS attached \gset
SELECT usage.attach_users('shop.users') AS attached_again \gset
SET LOCAL search_path = public;
SELECT is(:attached, 1, 'attach_users() backfills, hostile path or not');
SELECT is(:attached_again, 0, 'and once');
SELECT is(test.lines(), 'none', 'attach_users() by a superuser runs nothing of the shop''s as a superuser');

SET LOCAL ROLE regress_ut_shopper;
SET LOCAL search_path = "$user", aside, shop, pg_catalog, pg_temp;
INSERT INTO shop.users (email) VALUES ('late@example.com'), ('ops@example.com');
DELETE FROM shop.users WHERE email OPERATOR(pg_catalog.=) 'late@example.com';
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
SET LOCAL search_path = public;
RESET ROLE;
SELECT is((SELECT count(*) FROM usage.user_subscriptions)::int, 3, 'sign-ups are recorded');
SELECT is((SELECT count(*) FROM usage.deleted_users)::int, 1, 'and a deletion is marked');
SELECT is((SELECT array_agg(DISTINCT what ORDER BY what) FROM shop.log WHERE who = 'regress_ut_shopper' AND what ~ 'DELETE'),
          ARRAY['aaa AFTER DELETE', 'aaa BEFORE DELETE', 'aaa all AFTER DELETE', 'aaa all BEFORE DELETE',
                'zzz AFTER DELETE', 'zzz BEFORE DELETE', 'zzz all AFTER DELETE', 'zzz all BEFORE DELETE'], 'its triggers ran, as who deleted');
SELECT is(test.lines(), 'none', 'sign-up and deletion run nothing of the shop''s as the extension''s owner');

SET LOCAL search_path = "$user", aside, shop, pg_catalog, pg_temp;
SELECT usage.make_admin_by_email('OPS@example.com') \g /dev/null
SET LOCAL search_path = public;
SELECT is((SELECT count(*) FROM usage.user_roles JOIN shop.users ON id = user_id WHERE role = 'admin' AND email::text = 'ops@example.com')::int, 1,
          'make_admin_by_email() finds the one user');
DELETE FROM shop.log WHERE what = 'policy' AND who = current_user;    -- of the line above
SELECT is(test.lines(), 'none', 'make_admin_by_email() by a superuser runs nothing of the shop''s as a superuser');

/* ---- the table's owner changes what the trigger reads ---- */

SET LOCAL ROLE regress_ut_shop;
CREATE TYPE shop.id AS (id text);
CREATE FUNCTION shop.id_to_uuid(shop.id) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
    PERFORM shop.note('cast');
    RETURN ($1).id::uuid;
END
$$;
CREATE CAST (shop.id AS uuid) WITH FUNCTION shop.id_to_uuid(shop.id) AS IMPLICIT;
DROP INDEX shop.by_noted, shop.where_noted;
ALTER TABLE shop.users DROP CONSTRAINT users_pkey, ALTER id DROP DEFAULT, ALTER id TYPE shop.id USING row(id::text)::shop.id;
SET LOCAL client_min_messages = error;
INSERT INTO shop.users (id, email) VALUES (row('cccccccc-0000-4000-8000-00000000000c')::shop.id, 'cast@example.com');
SAVEPOINT deletion;
DO $$
BEGIN
    DELETE FROM shop.users WHERE email::text = 'cast@example.com';
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'a deletion may be refused';
END
$$;
RESET ROLE;
SELECT is(test.lines(), 'none', 'a cast of the shop''s own type to uuid does not run as the extension''s owner');

/* The look-up by address does meet casts of the shop's own: as the shop. */
SET CONSTRAINTS ALL IMMEDIATE;
DELETE FROM shop.log;
SET LOCAL ROLE regress_ut_shop;
CREATE TYPE shop.address AS (address text);
CREATE FUNCTION shop.address_to_text(shop.address) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM shop.note('cast');
    RETURN ($1).address;
END
$$;
CREATE CAST (shop.address AS text) WITH FUNCTION shop.address_to_text(shop.address);
DROP POLICY noting ON shop.users;
ALTER TABLE shop.users DISABLE ROW LEVEL SECURITY, DROP COLUMN nickname, DROP COLUMN email, ADD COLUMN email shop.address;
INSERT INTO shop.users (id, email) VALUES (row('dddddddd-0000-4000-8000-00000000000d')::shop.id, row('new@example.com')::shop.address);
RESET ROLE;
RESET client_min_messages;
SELECT usage.make_admin_by_email('new@example.com') \g /dev/null
SELECT results_eq('SELECT DISTINCT what, who FROM shop.log WHERE what = ''cast''', $$VALUES ('cast', 'regress_ut_shop'::name)$$,
                  'make_admin_by_email() runs the casts of the shop''s types, as the shop');
SELECT is(test.lines(), 'none', 'and nothing as a superuser');

-- somebody looks at a dashboard: what ran then, even as the shop, would act in his name
DELETE FROM shop.log;
SELECT is(usage._email_of('dddddddd-0000-4000-8000-00000000000d'), NULL, 'an address of the shop''s type is not shown');
SELECT is_empty('SELECT what FROM shop.log', 'and its casts do not run');

/* ---- tallies: what hangs on the target runs as its owner, whoever changes the source ---- */

DELETE FROM shop.log;
SET LOCAL ROLE regress_ut_shop;
CREATE TABLE shop.goods (id integer PRIMARY KEY, sold integer DEFAULT 0 CHECK (shop.note('check')), last_sold timestamptz,
                         twice text GENERATED ALWAYS AS (shop.noted('generated', sold::text)) STORED);
CREATE INDEX ON shop.goods (shop.noted('index', sold::text));
CREATE TRIGGER before BEFORE UPDATE ON shop.goods FOR EACH ROW EXECUTE FUNCTION shop.note_trigger();
CREATE TRIGGER after AFTER UPDATE ON shop.goods FOR EACH ROW EXECUTE FUNCTION shop.note_trigger();
CREATE TRIGGER everything AFTER UPDATE ON shop.goods FOR EACH STATEMENT EXECUTE FUNCTION shop.note_trigger();
CREATE POLICY noting ON shop.goods USING (shop.note('policy')) WITH CHECK (shop.note('policy check'));
ALTER TABLE shop.goods ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE shop.goods NO FORCE ROW LEVEL SECURITY;
INSERT INTO shop.goods VALUES (1), (2);
ALTER TABLE shop.goods FORCE ROW LEVEL SECURITY;
CREATE TABLE shop.sales (good bigint, at timestamptz, who text);
INSERT INTO shop.sales VALUES (1, '2026-03-01', 'x');
GRANT ALL ON shop.sales TO regress_ut_shopper;
RESET ROLE;
DELETE FROM shop.log;
SET LOCAL search_path = "$user", aside, shop, pg_catalog, pg_temp;
SELECT usage.attach_usage_tally('shop.goods', 'id', 'sold', 'shop.sales', 'good', 'last_sold', 'at', 'who') AS synced \gset
INSERT INTO shop.sales VALUES (1, '2026-03-02', 'y');
INSERT INTO shop.sales VALUES (2, '2026-03-02', 'y'), (1, '2026-03-03', 'y'), (2, '2026-03-04', 'z');
SET LOCAL ROLE regress_ut_shopper;
INSERT INTO shop.sales VALUES (2, '2026-03-05', 'z');
UPDATE shop.sales SET good = 1 WHERE at OPERATOR(pg_catalog.=) '2026-03-05';
DELETE FROM shop.sales WHERE at OPERATOR(pg_catalog.>) '2026-03-03';
RESET ROLE;
SELECT count(*) AS wrong FROM usage.verify_usage_tally('shop.goods', 'sold') \gset
SELECT usage.sync_usage_tally('shop.goods', 'sold') AS repaired \gset
TRUNCATE shop.sales;
SET LOCAL search_path = public;
SELECT is(:synced, 1, 'attach_usage_tally() counts what is there, hostile path or not');
SELECT is(:wrong + :repaired, 0, 'and goes on counting');
SELECT results_eq('SELECT sum(sold)::int FROM shop.goods', 'VALUES (0)', 'to the last row');
DELETE FROM shop.log WHERE what ~ '^(policy|generated)' AND who = current_user;    -- of the line above
SELECT bag_eq('SELECT DISTINCT what FROM shop.log', $$VALUES ('check'), ('generated'), ('index'), ('before'), ('after'), ('everything')$$, 'what hangs on the target ran');
SELECT is(test.lines(), 'none', 'as its owner');
SELECT is((SELECT count(*) FROM shop.log WHERE who <> 'regress_ut_shop')::int, 0, 'and not as who changed the source');
SET LOCAL ROLE regress_ut_shop;
CREATE TYPE shop.good AS (good bigint);
CREATE FUNCTION shop.good_to_bigint(shop.good) RETURNS bigint LANGUAGE sql AS $$ SELECT ($1).good FROM shop.note('cast') $$;
CREATE CAST (shop.good AS bigint) WITH FUNCTION shop.good_to_bigint(shop.good) AS IMPLICIT;
ALTER TABLE shop.sales ALTER good TYPE shop.good USING row(good)::shop.good;
RESET ROLE;
SELECT throws_ok('INSERT INTO shop.sales VALUES (row(1)::shop.good)', '42804', NULL, 'a key that became a type of the shop''s own is refused');
SELECT usage.detach_usage_tally('shop.goods', 'sold') \g /dev/null

/* ---- only tables, only one's own ---- */

DELETE FROM shop.log;
SELECT usage.detach_users() \g /dev/null
SELECT is(test.lines(), 'none', 'detach_users() runs nothing of the shop''s as a superuser');
CREATE VIEW shop.a_view AS SELECT gen_random_uuid() AS id, 'x'::text AS email;
CREATE MATERIALIZED VIEW shop.a_copy AS SELECT * FROM shop.a_view;
CREATE SEQUENCE shop.a_sequence;
CREATE TABLE shop.not_his (id uuid, email text);
SELECT throws_ok(format('SELECT usage.attach_users(%L)', 'shop.' || kind), '42809', NULL, 'attach_users() takes no ' || kind)
  FROM unnest('{a_view,a_copy,a_sequence}'::text[]) AS kind;
GRANT USAGE ON SCHEMA usage TO regress_ut_shop;
GRANT EXECUTE ON FUNCTION usage.attach_users, usage.detach_users, usage.handle_new_user, usage.handle_deleted_user TO regress_ut_shop;
SET LOCAL ROLE regress_ut_shop;
SELECT throws_ok(format('SELECT usage.attach_users(%L)', t), '42501', NULL, 'attach_users() takes nobody else''s table: ' || t)
  FROM unnest('{shop.not_his,usage.user_subscriptions,pg_catalog.pg_authid}'::text[]) AS t;
RESET ROLE;

/* ---- a schema that others have filled before CREATE EXTENSION ---- */

DROP EXTENSION usage_tracking;
DELETE FROM shop.log;
SET LOCAL search_path = "$user", aside, pg_catalog;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.grant_usage_access('regress_ut_shopper'), usage.define_usage_limit('calls', 'call', 3), usage.usage_maintenance() \g /dev/null
SELECT allowed FROM usage.consume_usage('cccccccc-0000-4000-8000-00000000000c', 'call', idempotency_key => 'k') \g /dev/null
SELECT allowed FROM usage.consume_usage('cccccccc-0000-4000-8000-00000000000c', 'call', idempotency_key => 'k') \g /dev/null
SELECT usage.track_usage_batch('[{"user_id": "cccccccc-0000-4000-8000-00000000000c", "usage_type": "call", "idempotency_key": "b"}, {"user_id": "cccccccc-0000-4000-8000-00000000000c", "usage_type": "none"}]') \g /dev/null
SELECT (usage.reserve_usage('cccccccc-0000-4000-8000-00000000000c', 'call', idempotency_key => 'h')).id AS hold \gset
SELECT usage.commit_usage('cccccccc-0000-4000-8000-00000000000c', :hold), usage.release_usage('cccccccc-0000-4000-8000-00000000000c', :hold) \g /dev/null
SELECT usage.reverse_usage('cccccccc-0000-4000-8000-00000000000c', max(id), 1, 'why') FROM usage.usage_events \g /dev/null
SELECT usage.install_default_plans() \g /dev/null
SET LOCAL usage_tracking.credits_enabled = on;
SELECT usage.set_credit_cost('call', 2), usage.set_credit_refill('free', 5, '1 day', 2), usage.set_credit_overdraft('cccccccc-0000-4000-8000-00000000000c', 1) \g /dev/null
SELECT usage.grant_credits('cccccccc-0000-4000-8000-00000000000c', 9, reference_id => 'g', expires_at => '2100-01-01', max_rollover => 1, rollover_until => '2100-02-01'),
       usage.grant_credits('cccccccc-0000-4000-8000-00000000000c', 9, reference_id => 'g') \g /dev/null
SELECT (usage.spend_credits('cccccccc-0000-4000-8000-00000000000c', 3, 's')).id AS spent \gset
SELECT usage.spend_credits('cccccccc-0000-4000-8000-00000000000c', 3, 's'), usage.refund_credits('cccccccc-0000-4000-8000-00000000000c', :spent, 1, 'r') \g /dev/null
SELECT (usage.consume_usage('cccccccc-0000-4000-8000-00000000000c', 'call', 0.5)).id AS paid \gset
SELECT usage.reverse_usage('cccccccc-0000-4000-8000-00000000000c', :paid), usage.track_usage('cccccccc-0000-4000-8000-00000000000c', 'call', 20),
       usage.credit_balance('cccccccc-0000-4000-8000-00000000000c', pg_catalog.now()), usage.credit_balance('cccccccc-0000-4000-8000-00000000000c') \g /dev/null
SELECT pg_catalog.count(*) AS charged FROM usage.credit_transactions \gset
SELECT pg_catalog.count(*) FROM usage.user_credits \g /dev/null
RESET usage_tracking.credits_enabled;
SELECT usage.adjust_usage('cccccccc-0000-4000-8000-00000000000c', 'calls', 2, reason => 'why'), usage.reset_user_usage('cccccccc-0000-4000-8000-00000000000c', 'calls'),
       usage.set_temporary_limit('calls', 9, '2020-01-01', '2100-01-01', reason => 'why'), usage.set_user_limit('cccccccc-0000-4000-8000-00000000000c', 'calls', 8),
       usage.set_user_plan('cccccccc-0000-4000-8000-00000000000c', 'free'), usage.set_user_clock('cccccccc-0000-4000-8000-00000000000c', 'Asia/Tokyo') \g /dev/null
INSERT INTO usage.user_subscriptions (user_id) VALUES ('dddddddd-0000-4000-8000-00000000000d');
UPDATE usage.user_usage SET used = 1, max_usage = 7 \g /dev/null
SELECT pg_catalog.count(*) AS written FROM usage.usage_events WHERE corrects IS NOT NULL \gset
SELECT usage.reconcile_usage(), usage.usage_security_check(), usage.check_usage_limit('cccccccc-0000-4000-8000-00000000000c', 'call') \g /dev/null
SELECT usage.export_user_data('cccccccc-0000-4000-8000-00000000000c'), usage.erase_user('cccccccc-0000-4000-8000-00000000000c') \g /dev/null
INSERT INTO usage.deleted_users VALUES ('dddddddd-0000-4000-8000-00000000000d', 'anonymize');
SELECT usage.usage_maintenance(600), usage.create_usage_partition('2031-01-01') \g /dev/null
SELECT pg_catalog.count(*) FROM usage.user_usage \g /dev/null
SET LOCAL search_path = public;
SELECT cmp_ok(:written, '>', 0, '58 there was something to correct, under a hostile path');
SELECT cmp_ok(:charged, '>', 5, '58 and to pay');
SELECT is(test.lines(), 'none', '58 installed and used under a hostile path, it calls nothing of it');
DROP EXTENSION usage_tracking;

GRANT ALL ON SCHEMA usage TO regress_ut_shop;
SET LOCAL ROLE regress_ut_shop;
SELECT shop.fill('usage') \g /dev/null
DROP FUNCTION usage._record_signup(uuid), usage.handle_new_user();
DROP TABLE usage.user_roles, usage.deleted_users;
RESET ROLE;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.usage_security_check() \g /dev/null
SELECT is(test.lines(), 'none', '58 installed into a schema others have filled, it calls nothing of theirs');
SELECT is_empty($$SELECT pg_describe_object(d.classid, d.objid, d.objsubid), pg_describe_object(d.refclassid, d.refobjid, 0)
                    FROM pg_depend d
                   WHERE (d.refclassid = 'pg_operator'::regclass AND d.refobjid IN (SELECT oid FROM pg_operator WHERE oprnamespace = 'usage'::regnamespace)
                          OR d.refclassid = 'pg_proc'::regclass AND d.refobjid IN (SELECT oid FROM pg_proc WHERE proowner = 'regress_ut_shop'::regrole AND pronamespace = 'usage'::regnamespace))
                     AND NOT (d.classid = 'pg_operator'::regclass)$$,
                'nor does anything of it depend on theirs');
SELECT * FROM finish();
ROLLBACK;
