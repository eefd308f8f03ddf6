/* recipe video-quota: the system of the first seed, as its page prints it.
 *
 * In a database of its own, because a recipe commits.  "D0-1" names what was
 * wrong in the seed, and stands where it is shown to be gone.
 */
\getenv dir PG_ABS_SRCDIR
\set recipe :dir/../doc/recipes/video-quota.sql
\set before :DBNAME
CREATE DATABASE regress_ut_video_quota;
\c regress_ut_video_quota
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
CREATE SCHEMA "My Usage";
CREATE EXTENSION usage_tracking SCHEMA "My Usage";
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, email_confirmed_at timestamptz DEFAULT '2026-01-01 00:00+00');
INSERT INTO auth.users VALUES ('00000000-0000-0000-0000-00000000000a', 'user@example.com'),
                              ('00000000-0000-0000-0000-00000000000b', 'admin@example.com'),
                              ('00000000-0000-0000-0000-00000000000c', 'cy@example.com');
CREATE ROLE regress_ut_web;
CREATE ROLE regress_ut_other;
SET usage_tracking.clock = '2026-01-01 12:00+00';
\set ECHO none
\set schema app
\set role regress_ut_web
\i :recipe
\set ECHO all
\unset ON_ERROR_STOP
SET search_path = app;
\set quota 'SELECT a.email, q.videos_generated, q.videos_limit, q.last_reset_date, q.next_reset_date, q.created_at, q.updated_at FROM user_usage AS q JOIN auth.users AS a ON a.id = q.user_id ORDER BY a.id'
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set dan '00000000-0000-0000-0000-00000000000d'

-- What there is: the seed's columns; times have a zone (D0-14); policies on the tables behind the views; D0-4: no function for everybody
SELECT c.relname, c.relkind, a.attname, format_type(a.atttypid, NULL) FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
 WHERE c.relnamespace = 'app'::regnamespace AND a.attname <> 'id' ORDER BY c.relname, a.attnum;
SELECT p.proname, p.prosecdef, has_function_privilege('regress_ut_other', p.oid, 'EXECUTE') FROM pg_proc AS p WHERE p.pronamespace = 'app'::regnamespace ORDER BY 1;
SELECT p.polrelid::regclass, p.polname, p.polcmd FROM pg_policy AS p WHERE p.polname <> 'own_or_all' ORDER BY 1, 2;
SELECT * FROM "My Usage".usage_security_check();

-- Who was there has a row and who signs up gets one: 5 videos; nobody is an admin for having come first (D0-6)
INSERT INTO auth.users VALUES (:'dan', 'dan@example.com');
:quota;
SELECT count(*) FROM user_roles;

-- D0-15: whatever goes wrong with a sign-up, he is signed up; his row is there all the same
BEGIN;
ALTER TABLE "My Usage".user_subscriptions RENAME TO elsewhere;
INSERT INTO auth.users VALUES ('00000000-0000-0000-0000-00000000000e', 'eve@example.com') RETURNING email;
ROLLBACK;

-- Promoting an Admin; D0-5: whatever the case of the address
SELECT make_admin_by_email('user@example.com');
SELECT "My Usage".revoke_role(:'ann', 'admin');
SELECT make_admin_by_email('admin@example.com');
SELECT "My Usage".revoke_role(:'ann', 'admin');
INSERT INTO auth.users VALUES ('00000000-0000-0000-0000-00000000000f', 'CY@example.com'),
                              ('00000000-0000-0000-0000-000000000010', 'gus@example.com');
UPDATE auth.users SET email_confirmed_at = NULL WHERE email = 'gus@example.com';
SELECT make_admin_by_email('CY@Example.com');
SELECT make_admin_by_email('gus@example.com');
SELECT make_admin_by_email('nobody@example.com');
DELETE FROM auth.users WHERE email IN ('CY@example.com', 'gus@example.com');
SELECT make_admin_by_email('ADMIN@example.com');
SELECT a.email, u.role FROM user_roles AS u JOIN auth.users AS a ON a.id = u.user_id;

-- Video generation, D0-7: asked and counted in one; the sixth is refused, and so is what is only held
SELECT d.allowed, d.reason, d.used, d.remaining FROM generate_series(1, 4) AS n, "My Usage".consume_usage(:'ann', 'video', idempotency_key => 'video ' || n) AS d;
SELECT d.allowed, d.reason, d.used, d.id AS held FROM "My Usage".reserve_usage(:'ann', 'video') AS d \gset
SELECT :'allowed', :'used';
SELECT d.allowed, d.reason, d.used FROM "My Usage".consume_usage(:'ann', 'video') AS d;
SELECT d.allowed, d.used FROM "My Usage".commit_usage(:'ann', :held) AS d;
SELECT d.allowed, d.reason, d.reset_at FROM "My Usage".consume_usage(:'ann', 'video') AS d;
:quota;

-- D0-8: who was refused and did nothing since may go on when the period is over
SET usage_tracking.clock = '2026-01-31 12:00+00';
SELECT d.allowed, d.used FROM "My Usage".check_usage_limit(:'ann', 'video') AS d;
SELECT videos_generated FROM user_usage WHERE user_id = :'ann';
-- D0-9: the first use of a period counts
SELECT d.allowed, d.used FROM "My Usage".consume_usage(:'ann', 'video') AS d;
-- D0-10: periods of 30 days since the first, however late somebody looks: no drift
SET usage_tracking.clock = '2026-05-09 23:00+00';
SELECT last_reset_date, next_reset_date, next_reset_date - last_reset_date, (next_reset_date - '2026-01-01 12:00+00') / 30 FROM user_usage WHERE user_id = :'ann';
-- D0-17: what was counted stays on record
SELECT count(*), sum(quantity) FROM "My Usage".get_user_usage_history(:'ann');

-- Adjusting User Limits
SELECT d.used FROM "My Usage".consume_usage(:'ann', 'video', 2) AS d;
UPDATE user_usage
SET videos_limit = 10
WHERE user_id = (SELECT id FROM auth.users WHERE email = 'user@example.com');
:quota;
-- D0-16: who raised what is on record
SELECT table_name, action, old ->> 'max_usage' AS old, new ->> 'max_usage' AS new, changed_by FROM "My Usage".usage_changes WHERE table_name = 'user_limits';
-- D0-5: an address that is nobody's reaches nobody; by id, NULL is an error
SELECT "My Usage".set_user_limit((SELECT id FROM auth.users WHERE email = 'nobody@example.com'), 'videos_monthly', 10);

-- Resetting a User's Usage: now() is the real one, so the clock is as well
RESET usage_tracking.clock;
SELECT d.allowed FROM "My Usage".consume_usage(:'ann', 'video', 2) AS d;
BEGIN;
SELECT d.allowed FROM "My Usage".consume_usage(:'ann', 'video', 3) AS d;
UPDATE user_usage
SET videos_generated = 0,
    last_reset_date = now(),
    next_reset_date = now() + INTERVAL '30 days'
WHERE user_id = (SELECT id FROM auth.users WHERE email = 'user@example.com');
SELECT videos_generated, videos_limit, last_reset_date = now(), next_reset_date = now() + INTERVAL '30 days' FROM user_usage WHERE user_id = :'ann';
COMMIT;
SELECT d.used, d.max_usage FROM "My Usage".consume_usage(:'ann', 'video') AS d;
-- Only one of the dates; D0-13: NULL keeps what is
UPDATE user_usage SET next_reset_date = '2026-03-20 00:00+00' WHERE user_id = :'bob';
SET usage_tracking.clock = '2026-03-01 00:00+00';
SELECT last_reset_date, next_reset_date FROM user_usage WHERE user_id = :'bob';
UPDATE user_usage SET last_reset_date = NULL, next_reset_date = NULL WHERE user_id = :'bob';
SELECT last_reset_date, next_reset_date FROM user_usage WHERE user_id = :'bob';
UPDATE user_usage SET videos_generated = 3 WHERE user_id = :'bob' RETURNING videos_generated, videos_limit, updated_at;
UPDATE user_usage SET videos_limit = -1 WHERE user_id = :'bob' RETURNING videos_limit;
UPDATE user_usage SET videos_limit = NULL WHERE user_id = :'bob' RETURNING videos_limit;
UPDATE user_usage SET user_id = :'ann' WHERE user_id = :'bob';

-- Missing Usage Records: he has a row; D0-11: a second one changes nothing, and doubles no quota
SELECT videos_generated, videos_limit FROM user_usage WHERE user_id = :'ann';
INSERT INTO user_usage (user_id, videos_generated, videos_limit)
VALUES (
  (SELECT id FROM auth.users WHERE email = 'user@example.com'),
  0,
  5
);
SELECT videos_generated, videos_limit FROM user_usage WHERE user_id = :'ann';
SELECT count(*), count(DISTINCT user_id), count(DISTINCT id) FROM user_usage;
-- one whose row was lost, and one with a limit of his own
DELETE FROM "My Usage".user_subscriptions WHERE user_id = :'dan';
SELECT count(*) FROM user_usage WHERE user_id = :'dan';
INSERT INTO user_usage (user_id, videos_generated, videos_limit) VALUES (:'dan', 1, 7) RETURNING videos_generated, videos_limit;
SELECT videos_generated, videos_limit FROM user_usage WHERE user_id = :'dan';
-- D0-5: nobody's address gives nobody a row
INSERT INTO user_usage (user_id, videos_generated, videos_limit) VALUES ((SELECT id FROM auth.users WHERE email = 'nobody@example.com'), 0, 5);

-- Admin Access Issues
\o /dev/null
SELECT * FROM user_roles
WHERE user_id = (SELECT id FROM auth.users WHERE email = 'admin@example.com');
\o
SELECT :ROW_COUNT;
SELECT make_admin_by_email('admin@example.com');

-- A user sees himself; D0-1: he changes nothing, neither his limit, count and dates nor another's
SET usage_tracking.user_id = :'ann';
SET ROLE regress_ut_web;
SELECT user_id = :'ann', videos_limit FROM user_usage;
UPDATE user_usage SET videos_limit = 1000000, videos_generated = 0, next_reset_date = 'infinity' WHERE user_id = :'ann';
UPDATE user_usage SET videos_limit = 1000000;
UPDATE user_usage SET videos_generated = 0;
UPDATE user_usage SET last_reset_date = now();
UPDATE user_usage SET updated_at = now();
UPDATE user_usage SET videos_limit = 1000000 WHERE user_id = :'bob';
\set VERBOSITY sqlstate
DELETE FROM user_usage;
\set VERBOSITY default
-- D0-12: he need not make his row, and cannot choose its limit
INSERT INTO user_usage (user_id, videos_generated, videos_limit) VALUES (:'ann', 0, 1000000);
INSERT INTO user_usage (user_id, videos_limit) VALUES ('00000000-0000-0000-0000-00000000000e', 1000000);
-- D0-2, D0-4: nor does he make himself an admin
SELECT make_admin_by_email('user@example.com');
INSERT INTO user_roles (user_id, role) VALUES (:'ann', 'admin');
SELECT count(*) FROM user_roles;
SELECT "My Usage".get_user_roles(:'bob');
SELECT FROM "My Usage".user_roles;
SELECT FROM auth.users;
-- nobody, that is a session of no user, sees nothing
RESET ROLE;
RESET usage_tracking.user_id;
SET ROLE regress_ut_web;
SELECT count(*) FROM user_usage;
SELECT count(*) FROM user_roles;

-- An admin sees all and manages all; D0-3: no policy asks itself
RESET ROLE;
SET usage_tracking.user_id = :'bob';
SET ROLE regress_ut_web;
SELECT count(*) FROM user_usage;
UPDATE user_usage SET videos_limit = 20 WHERE user_id = :'ann' RETURNING videos_limit;
INSERT INTO user_roles (user_id, role) VALUES (:'ann', 'support');
SELECT user_id = :'bob', role FROM user_roles ORDER BY role;
RESET ROLE;
SET usage_tracking.user_id = :'ann';
SET ROLE regress_ut_web;
SELECT role FROM user_roles;
RESET ROLE;
SET usage_tracking.user_id = :'bob';
SET ROLE regress_ut_web;
DELETE FROM user_roles WHERE user_id = :'ann';
SELECT user_id = :'bob', role FROM user_roles ORDER BY role;
RESET ROLE;
RESET usage_tracking.user_id;
-- what the policies alone would let through, were the tables open
\set ON_ERROR_ROLLBACK on
BEGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON "My Usage".user_subscriptions, "My Usage".user_roles TO regress_ut_web;
SET usage_tracking.user_id = :'ann';
SET ROLE regress_ut_web;
SELECT user_id = :'ann' FROM "My Usage".user_subscriptions;
UPDATE "My Usage".user_subscriptions SET anchor = '2026-01-02' RETURNING true;
SELECT count(*) FROM "My Usage".user_roles;
INSERT INTO "My Usage".user_roles VALUES (:'ann', 'admin');
ROLLBACK;
RESET usage_tracking.user_id;

-- A second run is refused and changes nothing
\setenv PGDATABASE :DBNAME
\setenv RECIPE :recipe
\! psql -Xq -v schema=app -f "$RECIPE" 2>&1 | sed -n 's/.*ERROR/ERROR/p'
\! psql -Xq -v schema=other -v users=auth.nothing -f "$RECIPE" 2>&1 | sed -n 's/.*ERROR/ERROR/p'
SELECT count(*) FROM pg_namespace WHERE nspname = 'other';

-- How to undo it
SET client_min_messages = warning;
DROP SCHEMA app CASCADE;
RESET client_min_messages;
DROP POLICY user_usage_select_policy ON "My Usage".user_subscriptions;
DROP POLICY admin_user_usage_policy ON "My Usage".user_subscriptions;
DROP POLICY user_usage_update_policy ON "My Usage".user_subscriptions;
DROP POLICY user_roles_select_policy ON "My Usage".user_roles;
DROP POLICY admin_user_roles_policy ON "My Usage".user_roles;
DROP POLICY bootstrap_admin_policy ON "My Usage".user_roles;

-- Moving in, under the same names: the seed's own tables, functions and triggers
CREATE SCHEMA shop;
SET search_path = shop;
CREATE TABLE user_usage (id uuid, user_id uuid REFERENCES auth.users, videos_generated integer DEFAULT 0, videos_limit integer DEFAULT 5,
    last_reset_date timestamp, next_reset_date timestamp, created_at timestamp, updated_at timestamp);
CREATE TABLE user_roles (id uuid, user_id uuid REFERENCES auth.users, role text, created_at timestamp);
CREATE FUNCTION handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
$$BEGIN INSERT INTO shop.user_usage (user_id) VALUES (NEW.id); RETURN NEW; END$$;
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION handle_new_user();
CREATE FUNCTION reset_user_usage() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE TRIGGER reset_usage BEFORE UPDATE ON user_usage FOR EACH ROW EXECUTE FUNCTION reset_user_usage();
CREATE FUNCTION make_admin_by_email(email text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
INSERT INTO auth.users VALUES ('00000000-0000-0000-0000-000000000011', 'hal@example.com'), ('00000000-0000-0000-0000-000000000012', 'ida@example.com');
TRUNCATE user_usage;
-- in its period, with a limit of his own; over (D0-8), twice; without an end (D0-13); hal has none
INSERT INTO user_usage (user_id, videos_generated, videos_limit, last_reset_date, next_reset_date, created_at)
VALUES (:'ann', 4, 12, '2026-03-01 10:00', '2026-03-31 10:00', '2025-06-01 10:00'),
       (:'bob', 5, 5, '2025-12-05 08:00', '2026-01-04 08:00', '2025-06-02 10:00'),
       ('00000000-0000-0000-0000-00000000000c', 2, 5, '2026-02-20 00:00', NULL, '2025-06-03 10:00'),
       ('00000000-0000-0000-0000-000000000012', 2, 5, '2026-03-01 00:00', '2026-03-31 00:00', '2025-06-04 10:00'),
       ('00000000-0000-0000-0000-000000000012', 2, 5, '2026-03-01 00:00', '2026-03-31 00:00', '2025-06-04 10:00');
UPDATE user_usage SET updated_at = created_at WHERE ctid = (SELECT max(ctid) FROM user_usage);
INSERT INTO user_roles (user_id, role, created_at) VALUES (:'bob', 'admin', '2025-06-02 11:00'), (:'ann', 'editor', '2025-07-01 00:00'), (:'ann', 'editor', '2025-06-30 00:00');
SET usage_tracking.clock = '2026-03-10 12:00+00';

-- D0-11: a user with two rows and so twice the quota is a difference; everything stays as it was
\setenv PGOPTIONS '-c usage_tracking.clock=2026-03-10T12:00Z'
\! psql -Xqt -v schema=shop -v from=shop -f "$RECIPE" 2>&1 | sed -nE 's/.*(ERROR|DETAIL):/\1:/p' | sed -E 's/"user_id": *[^,}]*/"user_id": -/g'
SELECT c.relname, c.relkind FROM pg_class AS c WHERE c.relnamespace = 'shop'::regnamespace ORDER BY 1;
SELECT tgname, tgrelid::regclass FROM pg_trigger WHERE tgfoid::regproc::text ~ '^(shop[.])?(handle|reset)' ORDER BY 1;
SELECT count(*) FROM user_usage;
SELECT count(*) FROM "My Usage".user_subscriptions WHERE started_at < '2026-01-01';
-- so is a period of another length
DELETE FROM user_usage WHERE updated_at IS NOT NULL;
UPDATE user_usage SET next_reset_date = '2026-04-07 10:00' WHERE user_id = :'ann';
\! psql -Xqt -v schema=shop -v from=shop -f "$RECIPE" 2>&1 | sed -nE 's/.*(ERROR|DETAIL):/\1:/p' | sed -E 's/"user_id": *[^,}]*/"user_id": -/g'
UPDATE user_usage SET next_reset_date = '2026-03-31 10:00' WHERE user_id = :'ann';

-- Without them it is the same
\! psql -Xqt -v schema=shop -v from=shop -f "$RECIPE" 2>&1 | grep .
SELECT c.relname, c.relkind FROM pg_class AS c WHERE c.relnamespace = 'shop'::regnamespace ORDER BY 1;
SELECT a.email, q.videos_generated, q.videos_limit, q.last_reset_date, q.next_reset_date, q.created_at FROM user_usage AS q JOIN auth.users AS a ON a.id = q.user_id ORDER BY a.id;
SELECT a.email, r.role, r.created_at FROM user_roles AS r JOIN auth.users AS a ON a.id = r.user_id ORDER BY 1;
SELECT count(*) FROM user_usage_before;
SELECT d.used, d.max_usage FROM "My Usage".consume_usage(:'ann', 'video') AS d;
INSERT INTO auth.users VALUES ('00000000-0000-0000-0000-000000000013', 'jo@example.com');
SELECT videos_limit FROM user_usage WHERE user_id = '00000000-0000-0000-0000-000000000013';
SELECT make_admin_by_email('jo@example.com');
SELECT * FROM "My Usage".usage_security_check();
SELECT * FROM "My Usage".reconcile_usage();

\c :before
DROP DATABASE regress_ut_video_quota WITH (FORCE);
DROP ROLE regress_ut_web, regress_ut_other;
