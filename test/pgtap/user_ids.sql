/* The three types of user ids, one after the other in one session, each in a
 * schema with an odd name and in public: what is an id and what is nobody, that
 * ids compare as they are written, which columns of a users table fit, and that
 * a database has one of the three extensions.
 *
 * All other tests are written for uuid and run for the others as well
 * (test/lib/translate-ids.pl); this one is about what differs. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT no_plan();
CREATE ROLE regress_ut_user;
CREATE SCHEMA test;
CREATE SCHEMA "Usage odd";
CREATE SCHEMA elsewhere;
GRANT USAGE ON SCHEMA test TO regress_ut_user;

/* What a setting or a token may say, and whom it means: NULL is nobody. */
CREATE TABLE test.forms (type text, form text, id text);
INSERT INTO test.forms
SELECT type, form, form FROM (VALUES
    ('uuid', '{aaaaaaaa-0000-4000-8000-00000000000a,00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff}'::text[]),
    ('bigint', '{0,7,-1,10,9223372036854775807,-9223372036854775808}'),
    ('text', ARRAY['ann', 'Ann', 'ann ', ' ann', ' ', '01', '7', 'ünï', '%s%n', ''' OR true; --', '{"sub": "x"}', E'a\r\nb\x01', 'null', 'aaaaaaaa-0000-4000-8000-00000000000a',
                   repeat('x', 255), repeat('é', 255), repeat('🎬', 255)])) AS v (type, forms), unnest(forms) AS form
 UNION ALL
SELECT type, form, NULL FROM (VALUES
    ('uuid', ARRAY['ann', '7', ' ', 'aaaaaaaa00004000800000000000000a', '{aaaaaaaa-0000-4000-8000-00000000000a}', 'aaaaaaaa-0000-4000-8000-00000000000a ',
                   ' aaaaaaaa-0000-4000-8000-00000000000a', E'aaaaaaaa-0000-4000-8000-00000000000a\n', 'aaaaaaaa-0000-4000-8000-00000000000aff',
                   'aaaaaaaa-0000-4000-8000-00000000000', 'aaaaaaaa-0000-4000-8000-00000000000g', 'aaaa-aaaa0000-4000-8000-00000000000a',
                   'aaaaaaaa-0000-4000-8000-0000000000é', 'aaaaaaaa-0000-4000-8000-00000000000a''; DROP TABLE x; --']),
    ('bigint', ARRAY['01', '007', '+1', ' 1', '1 ', E'1\n', '-', '-0', '--1', '- 1', '1.0', '1e3', '0x10', '1_000', '1,000', '٣', '１', 'ann', ' ', 'NaN', 'null', '1; DROP TABLE x',
                     '9223372036854775808', '-9223372036854775809', '18446744073709551617', '99999999999999999999', '100000000000000000000', repeat('1', 1000000),
                     'aaaaaaaa-0000-4000-8000-00000000000a']),
    ('text', ARRAY[repeat('x', 256), repeat('é', 256), repeat('🎬', 256), repeat('x', 1000000)])) AS v (type, forms), unnest(forms) AS form;
INSERT INTO test.forms VALUES ('uuid', 'AAAAAAAA-0000-4000-8000-00000000000A', 'aaaaaaaa-0000-4000-8000-00000000000a');

/* Users tables: what the column's type may hold, and the extension it is for. */
CREATE DOMAIN test.number AS integer;
CREATE DOMAIN test.name AS varchar(40);
CREATE TYPE test.mood AS ENUM ('7');
CREATE TABLE test.columns (column_type text, base text, fits text);
INSERT INTO test.columns VALUES
    ('uuid', 'uuid', 'usage_tracking'), ('text', 'text', 'usage_tracking_text'), ('varchar(40)', 'character varying', 'usage_tracking_text'),
    ('test.name', 'character varying', 'usage_tracking_text'), ('bigint', 'bigint', 'usage_tracking_bigint'), ('integer', 'integer', 'usage_tracking_bigint'),
    ('smallint', 'smallint', 'usage_tracking_bigint'), ('test.number', 'integer', 'usage_tracking_bigint'),
    ('numeric', 'numeric', NULL), ('char(36)', 'character', NULL), ('name', 'name', NULL), ('oid', 'oid', NULL), ('bytea', 'bytea', NULL), ('jsonb', 'jsonb', NULL),
    ('text[]', 'text[]', NULL), ('test.mood', 'test.mood', NULL), ('"char"', '"char"', NULL);

/* Two come before and after attaching, the first goes, the second is made admin:
 * who is known, who is marked, who is admin. */
CREATE FUNCTION test.sign_up(column_type text, one text, two text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    story text;
BEGIN
    DELETE FROM user_subscriptions;
    DELETE FROM user_roles;
    EXECUTE format('CREATE TABLE test.users (id %s, email text)', column_type);
    EXECUTE format('INSERT INTO test.users VALUES (%L, ''one@example.com''), (NULL, ''none@example.com'')', one);
    story := attach_users('test.users') || ' backfilled';
    EXECUTE format('INSERT INTO test.users VALUES (%L, ''two@example.com''); DELETE FROM test.users WHERE id::text = %L', two, one);
    PERFORM make_admin_by_email('two@example.com');
    story := concat_ws(', ', story, (SELECT string_agg(u.user_id::text, ' ' ORDER BY u.user_id) || ' known' FROM user_subscriptions AS u),
                       (SELECT string_agg(u.user_id::text, ' ') || ' marked' FROM deleted_users AS u),
                       (SELECT string_agg(u.user_id::text, ' ') || ' admin' FROM user_roles AS u));
    RAISE EXCEPTION USING MESSAGE = story, ERRCODE = 'UTEST';
EXCEPTION WHEN SQLSTATE 'UTEST' THEN
    RETURN SQLERRM;    -- and everything is as it was before
END
$$;

CREATE FUNCTION test.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
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

/* Who somebody is by what one source says. */
CREATE FUNCTION test.identity_of(said text, source text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id text;
BEGIN
    PERFORM set_config('usage_tracking.user_id_setting', 'test.me', true), set_config('usage_tracking.identity', replace(source, 'claims', 'jwt'), true);
    PERFORM set_config(CASE source WHEN 'user_id' THEN 'usage_tracking.user_id' WHEN 'setting' THEN 'test.me' ELSE 'request.jwt.claims' END,
                       CASE source WHEN 'jwt' THEN jsonb_build_object('sub', said)::text ELSE said END, true);
    id := current_user_id()::text;
    PERFORM set_config('usage_tracking.identity', 'user_id,jwt', true), set_config('usage_tracking.user_id', '', true),
            set_config('request.jwt.claims', '', true);
    RETURN id;
END
$$;

/* Calls as an end user: what a statement answers, or its SQLSTATE. */
CREATE FUNCTION test.as_user(me text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    PERFORM set_config('usage_tracking.user_id', me, true), set_config('role', 'regress_ut_user', true);
    BEGIN
        EXECUTE statement INTO answer;
    EXCEPTION WHEN OTHERS THEN
        answer := SQLSTATE;
    END;
    PERFORM set_config('role', 'none', true), set_config('usage_tracking.user_id', '', true);
    RETURN answer;
END
$$;

\set type uuid
\set extension usage_tracking
\set schema '"Usage odd"'
\ir lib/user_ids_of_type.sql
\set schema public
\ir lib/user_ids_of_type.sql

\set type text
\set extension usage_tracking_text
\set schema '"Usage odd"'
\ir lib/user_ids_of_type.sql
\set schema public
\ir lib/user_ids_of_type.sql

\set type bigint
\set extension usage_tracking_bigint
\set schema '"Usage odd"'
\ir lib/user_ids_of_type.sql
\set schema public
\ir lib/user_ids_of_type.sql

SELECT * FROM finish();
ROLLBACK;
