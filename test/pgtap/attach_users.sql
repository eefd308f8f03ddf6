/*
 * Attaching a users table: on Supabase's shape and on an application's own, what
 * is refused and with which words, that a second call changes nothing, what a
 * deletion leaves behind, how it ends, and that code of the table's owner never
 * runs with the extension's rights.
 *
 * That a sign-up never fails because of us is test/t/020_signups.pl's, which
 * types of columns fit which extension user_ids.sql's.
 */
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT * FROM no_plan();

\set ada '\'0ada0000-0000-0000-0000-000000000000\''
\set bob '\'0b0b0000-0000-0000-0000-000000000000\''
\set cyd '\'0c0d0000-0000-0000-0000-000000000000\''

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY '{anon,authenticated,service_role,supabase_auth_admin,regress_ut_dev}'::text[] LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;
END
$$;

/* As Supabase does it, and default privileges that give everything away. */
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
SET LOCAL ROLE supabase_auth_admin;
CREATE TABLE auth.users (
    instance_id        uuid,
    id                 uuid NOT NULL PRIMARY KEY,
    email              character varying(255),
    email_confirmed_at timestamptz,
    raw_user_meta_data jsonb
);
ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT COALESCE(NULLIF(current_setting('request.jwt.claim.sub', true), ''),
                    NULLIF(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
RESET ROLE;
INSERT INTO auth.users (id, email, email_confirmed_at)
VALUES (:ada, 'Ada@Example.com', '2026-01-01'), (:bob, 'bob@example.com', NULL);

CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;

/* Every row of ours and of the catalog by its place: nothing may move. */
CREATE FUNCTION pg_temp.fingerprint() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
    part     text;
    whole    text := '';
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_class AS c
         WHERE (c.relkind = 'r' AND (c.relnamespace = 'usage'::regnamespace
                                     OR c.oid IN ('pg_class'::regclass, 'pg_attribute'::regclass, 'pg_type'::regclass,
                                                  'pg_trigger'::regclass, 'pg_proc'::regclass, 'pg_depend'::regclass,
                                                  'pg_constraint'::regclass, 'pg_inherits'::regclass,
                                                  'pg_init_privs'::regclass, 'pg_shdepend'::regclass)))
         ORDER BY c.oid
    LOOP
        EXECUTE format('SELECT md5(string_agg(concat(ctid, xmin, xmax), '' '' ORDER BY ctid)) FROM %s', relation) INTO part;
        whole := whole || relation::text || ' ' || COALESCE(part, 'empty') || E'\n';
    END LOOP;
    SELECT whole || string_agg(s::text, ' ' ORDER BY s.sequencename) INTO whole FROM pg_sequences AS s WHERE schemaname = 'usage';
    RETURN whole;
END
$$;

/* SQLSTATE, message and hint of a statement that must fail. */
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    hint    text;
BEGIN
    EXECUTE statement;
    RETURN 'was not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE || ' ' || message, NULLIF(hint, ''));
END
$$;

---- Supabase ----------------------------------------------------------------

SELECT is(usage.attach_users('auth.users'), 2::bigint, 'Supabase: users there are backfilled, whatever row security says');
SELECT results_eq('SELECT user_id, plan, status FROM usage.user_subscriptions ORDER BY 1',
                  format($$VALUES (%L::uuid, NULL::text, 'active'), (%L, NULL, 'active')$$, :ada, :bob),
                  'Supabase: each has one row, on the default plan');
SELECT set_eq('SELECT plan FROM usage.plans', '{demo,free,pro,team,enterprise}'::text[], 'Supabase: the default plans are there');

SET LOCAL ROLE supabase_auth_admin;
SET LOCAL row_security = on;
CREATE POLICY signup ON auth.users USING (true) WITH CHECK (true);
INSERT INTO auth.users (id, email) VALUES (:cyd, 'cyd@example.com');
RESET ROLE;
SELECT is((SELECT count(*) FROM usage.user_subscriptions WHERE user_id = :cyd), 1::bigint,
          'Supabase: a sign-up by a role without any right on us gets a row');

SELECT usage.grant_usage_access('authenticated');
SELECT usage.define_usage_limit('photos', 'photo', 1, 'lifetime');
SELECT set_config('request.jwt.claims', json_build_object('sub', :ada, 'role', 'authenticated')::text, true);
SET LOCAL ROLE authenticated;
SELECT is(usage.current_user_id(), auth.uid(), 'Supabase: current_user_id() is auth.uid()');
SELECT is((usage.consume_usage(auth.uid(), 'photo')).reason, 'ok', 'Supabase: a user uses up his own');
SELECT results_eq('SELECT user_id, used FROM usage.user_usage', format('VALUES (%L::uuid, 1::numeric)', :ada), 'Supabase: and sees his own');
RESET ROLE;
SELECT set_config('request.jwt.claims', '', true);
SELECT is_empty('SELECT * FROM usage.usage_security_check()', 'Supabase: nothing is open, the new partitions included');

SELECT is(pg_temp.refusal($$SELECT usage.make_admin_by_email('bob@example.com')$$),
          '55000 this email address is not confirmed | Grant the role by id, with grant_role().', 'an unconfirmed address makes no admin');
SELECT is(pg_temp.refusal($$SELECT usage.make_admin_by_email('nobody@example.com')$$),
          'P0002 no user has this email address', 'an unknown address makes no admin');
SELECT usage.make_admin_by_email('ada@EXAMPLE.com');
SELECT is((SELECT string_agg(user_id || ' ' || role, ', ') FROM usage.user_roles), :ada || ' admin', 'a confirmed one does, in whatever case');

---- a second call -------------------------------------------------------------

SELECT pg_temp.fingerprint() AS before \gset
SELECT usage.attach_users('auth.users') AS missing \gset
SELECT pg_temp.fingerprint() AS after \gset
SELECT is(:missing, 0, 'a second call with nobody missing returns 0');
SELECT is(:'after'::text, :'before', 'and moves no row, no sequence and no catalog entry');
DELETE FROM usage.user_subscriptions WHERE user_id = :bob;
SELECT is(usage.attach_users('auth.users'), 1::bigint, 'a second call adds who is missing, and only him');

---- while attached --------------------------------------------------------------

CREATE TABLE public.others (id uuid PRIMARY KEY, email text, mail text);
SELECT is(pg_temp.refusal(format('SELECT usage.attach_users(%s)', args)),
          '55000 table "users" is already attached' || wanted || ' | Call detach_users() first.', 'while attached: ' || args)
  FROM (VALUES ($$'others'$$, ''),
               ($$'auth.users', 'instance_id'$$, ' with other columns or another on_delete'),
               ($$'auth.users', on_delete => 'erase'$$, ' with other columns or another on_delete')) AS calls (args, wanted);
SELECT is(pg_temp.refusal('DROP EXTENSION usage_tracking'),
          '2BP01 cannot drop extension usage_tracking because other objects depend on it'
          ' | Use DROP ... CASCADE to drop the dependent objects too.', 'while attached: the extension is not dropped by mistake');

---- people go and come back --------------------------------------------------------

SELECT is_empty('SELECT * FROM usage.deleted_users', 'nobody was deleted yet');
DELETE FROM auth.users WHERE id = :cyd;
SELECT results_eq('SELECT user_id, on_delete FROM usage.deleted_users', format($$VALUES (%L::uuid, 'anonymize')$$, :cyd), 'a deletion writes one mark');
INSERT INTO auth.users (id) VALUES (:cyd);
SELECT is_empty('SELECT * FROM usage.deleted_users', 'who comes back under the same id is not marked any more');
DELETE FROM auth.users WHERE id = :cyd;
INSERT INTO auth.users (id) VALUES (:cyd);
DELETE FROM auth.users WHERE id IN (:cyd, :bob);
SELECT results_eq('SELECT user_id, on_delete FROM usage.deleted_users ORDER BY 1',
                  format($$VALUES (%L::uuid, 'anonymize'), (%L, 'anonymize')$$, :bob, :cyd), 'one mark each, however often');

SELECT usage.detach_users();
SELECT is(pg_temp.refusal('SELECT usage.detach_users()'), '55000 no users table is attached | Attach one with attach_users().', 'detached is detached');
DELETE FROM auth.users;
SELECT is((SELECT count(*) FROM usage.deleted_users WHERE user_id = :ada), 0::bigint, 'a deletion after detach_users() is no concern of ours');
SELECT is((SELECT count(*) FROM usage.usage_events), 1::bigint, 'usage stays');

---- what is refused -------------------------------------------------------------------

CREATE VIEW public.a_view AS SELECT * FROM others;
CREATE MATERIALIZED VIEW public.a_matview AS SELECT * FROM others;
CREATE FOREIGN DATA WRAPPER regress_ut_wrapper;
CREATE SERVER regress_ut_server FOREIGN DATA WRAPPER regress_ut_wrapper;
CREATE FOREIGN TABLE public.a_foreign (id uuid, email text) SERVER regress_ut_server;
CREATE SEQUENCE public.a_sequence;
CREATE TYPE public.a_type AS (id uuid, email text);
CREATE TABLE public.by_number (id uuid, email integer);

SELECT is(pg_temp.refusal(format('SELECT usage.attach_users(%s)', args)), wanted, 'refused: ' || args)
  FROM (VALUES
    ($$'a_view'$$, '42809 "a_view" is not a table'),
    ($$'a_matview'$$, '42809 "a_matview" is not a table'),
    ($$'a_foreign'$$, '42809 "a_foreign" is not a table'),
    ($$'a_sequence'$$, '42809 "a_sequence" is not a table'),
    ($$'a_type'$$, '42809 "a_type" is not a table'),
    ($$'others_pkey'$$, '42809 "others_pkey" is not a table'),
    ($$1::oid::regclass$$, '42P01 users table does not exist'),
    ($$'by_number'$$, '42804 column "email" of table "by_number" is not a text'),
    ($$'others', 'no_id'$$, '42703 column "no_id" of table "others" does not exist'),
    ($$'others', 'id', 'no_email'$$, '42703 column "no_email" of table "others" does not exist'),
    ($$'others', 'ctid'$$, '42703 column "ctid" of table "others" does not exist'),
    ($$'others', on_delete => 'forget'$$, '22023 argument "on_delete" must be anonymize, erase, or keep'),
    ($$NULL$$, '22004 argument "users" must not be null'),
    ($$'others', NULL$$, '22004 argument "id_column" must not be null'),
    ($$'others', 'id', NULL$$, '22004 argument "email_column" must not be null'),
    ($$'others', on_delete => NULL$$, '22004 argument "on_delete" must not be null')
  ) AS refusals (args, wanted);
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'usage%'), 0::bigint, 'a refusal leaves no trigger behind');

/* Whoever may call it at all must still own the table. */
GRANT USAGE ON SCHEMA usage TO regress_ut_dev;
GRANT EXECUTE ON FUNCTION usage.attach_users(regclass, name, name, text), usage.detach_users(),
                          usage.handle_new_user(), usage.handle_deleted_user() TO regress_ut_dev;
GRANT ALL ON others TO regress_ut_dev;
CREATE TABLE public.own (id uuid, email text);
ALTER TABLE own OWNER TO regress_ut_dev;
SET LOCAL ROLE regress_ut_dev;
SELECT is(pg_temp.refusal($$SELECT usage.attach_users('others')$$), '42501 must be owner of table others', 'refused: a table of another owner');
SELECT is(usage.attach_users('own'), 0::bigint, 'the owner of the table may, if he may call it');
RESET ROLE;
SELECT usage.detach_users();

---- tables of every shape ----------------------------------------------------------------

CREATE DOMAIN public.user_id AS uuid;
CREATE TABLE public.of_domain (id user_id, email varchar(99));
CREATE TABLE public."App Users" ("User Id" uuid, "E-mail" text, id integer);
CREATE TABLE public.parted (id uuid, email text) PARTITION BY HASH (id);
CREATE TABLE public.parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);

/* One comes before, one after attaching, one goes: "backfilled, known, marks". */
CREATE FUNCTION pg_temp.story(users regclass, id_column name, email_column name, on_delete text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    story text;
BEGIN
    TRUNCATE usage.user_subscriptions, usage.deleted_users;
    EXECUTE format('TRUNCATE %s', users);
    EXECUTE format('INSERT INTO %s (%I) SELECT gen_random_uuid()', users, id_column);
    story := usage.attach_users(users, id_column, email_column, on_delete)::text;
    EXECUTE format('INSERT INTO %s (%I) SELECT gen_random_uuid()', users, id_column);
    EXECUTE format('DELETE FROM %s WHERE %I = (SELECT %2$I FROM %1$s LIMIT 1)', users, id_column);
    story := concat_ws(', ', story, (SELECT count(*) FROM usage.user_subscriptions),
                       COALESCE((SELECT string_agg(d.on_delete, ' ') FROM usage.deleted_users AS d), 'none'));
    PERFORM usage.detach_users();
    RETURN story;
END
$$;
SELECT is(pg_temp.story(users, id_column, email_column, on_delete), '1, 2, ' || wanted, format('%s, on delete %s', users, on_delete))
  FROM (VALUES ('others'::regclass, 'id', 'email', 'anonymize', 'anonymize'), ('others', 'id', 'email', 'erase', 'erase'),
               ('others', 'id', 'mail', 'keep', 'none'), ('of_domain', 'id', 'email', 'erase', 'erase'),
               ('"App Users"', 'User Id', 'E-mail', 'erase', 'erase'), ('parted', 'id', 'email', 'erase', 'erase')
       ) AS stories (users, id_column, email_column, on_delete, wanted);

TRUNCATE usage.user_subscriptions;
CREATE TABLE public.crowd (id uuid, email text);
INSERT INTO crowd (id) SELECT gen_random_uuid() FROM generate_series(1, 20001);
INSERT INTO crowd (id) VALUES (NULL);
SELECT is(usage.attach_users('crowd'), 20001::bigint, 'a crowd is backfilled in batches, and a user without an id is nobody');

---- the table moves, and goes ---------------------------------------------------------------

ALTER TABLE crowd RENAME TO people;
SELECT is(usage.attach_users('people'), 0::bigint, 'a renamed table is the same table');
DROP TABLE people;
SELECT is(usage.attach_users('others'), (SELECT count(id) FROM others), 'after the table was dropped another one can be attached');

---- whose rights -------------------------------------------------------------------------------

/* The owner of an attached table gives its id a type whose conversion runs his
 * code: it must not run as the owner of the extension. */
SELECT usage.detach_users();
SELECT usage.attach_users('own');
CREATE TABLE public.ran_as (who name);
GRANT INSERT ON ran_as TO PUBLIC;
GRANT CREATE ON SCHEMA public TO regress_ut_dev;
SET LOCAL ROLE regress_ut_dev;
CREATE TYPE public.odd_id AS ENUM ('odd');
CREATE FUNCTION public.spy(odd_id) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.ran_as VALUES (current_user);
    RETURN gen_random_uuid();
END
$$;
CREATE CAST (odd_id AS uuid) WITH FUNCTION public.spy(odd_id) AS ASSIGNMENT;
ALTER TABLE own ALTER id TYPE odd_id USING 'odd';
INSERT INTO own VALUES ('odd', 'spy@example.com');
RESET ROLE;
SELECT is((SELECT count(*) FROM own), 1::bigint, 'a sign-up in a table that changed its type does not fail');
SELECT is_empty($$SELECT * FROM ran_as WHERE who <> 'regress_ut_dev'$$, 'a conversion of the table''s owner never runs as ours on a sign-up');
DELETE FROM ran_as;
SET LOCAL ROLE regress_ut_dev;
SELECT pg_temp.refusal('DELETE FROM own');  -- it may be, it may be not
RESET ROLE;
SELECT is_empty($$SELECT * FROM ran_as WHERE who <> 'regress_ut_dev'$$, 'nor on a deletion');

---- the end ----------------------------------------------------------------------------------------

SELECT usage.detach_users();
SELECT lives_ok('DROP EXTENSION usage_tracking', 'after detach_users() the extension goes without CASCADE');
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT is(usage.attach_users('others'), (SELECT count(id) FROM others), 'it can be made and attached again');
SELECT lives_ok('DROP EXTENSION usage_tracking CASCADE', 'or goes with CASCADE');
SELECT lives_ok('INSERT INTO others (id) VALUES (gen_random_uuid())', 'and leaves nothing on the users table');

SELECT * FROM finish();
ROLLBACK;
