/* signups: how do people come and go?
 *
 * One call ties the application's table of users to the extension: who is there
 * is backfilled, who comes gets a subscription, who goes leaves a mark.
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set subscriptions 'SELECT right(user_id::text, 1), plan, status, started_at, anchor FROM user_subscriptions ORDER BY user_id'
BEGIN;
CREATE TABLE members (id uuid UNIQUE, email text);
INSERT INTO members VALUES ('00000000-0000-0000-0000-00000000000a', 'ann@example.com'),
                           ('00000000-0000-0000-0000-00000000000b', 'Bob@Example.com'),
                           ('00000000-0000-0000-0000-00000000000c', 'twin@example.com'),
                           (NULL, 'nobody@example.com');

-- Nothing is attached yet
SELECT detach_users();
\echo :LAST_ERROR_SQLSTATE
SELECT make_admin_by_email('ann@example.com');
\echo :LAST_ERROR_SQLSTATE

-- Attach: users there are backfilled, plans and partitions are made
SELECT attach_users('members');
:subscriptions;
SELECT count(*) AS admins FROM user_roles;
SELECT string_agg(plan, ' ' ORDER BY plan) FROM plans;
SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'usage_events'::regclass ORDER BY 1;

-- Who signs up gets a subscription; two in one statement; a row without an id gets a warning
SET usage_tracking.clock = '2026-03-11 12:00+00';
INSERT INTO members VALUES ('00000000-0000-0000-0000-00000000000d', 'dan@example.com'), ('00000000-0000-0000-0000-00000000000e', 'Twin@example.com');
INSERT INTO members VALUES (NULL, 'none@example.com');
:subscriptions;

-- Again it only adds who is missing, and touches nobody else
SELECT attach_users('members');
DELETE FROM user_subscriptions WHERE user_id = '00000000-0000-0000-0000-00000000000b';
SELECT attach_users('members');
SELECT count(*) FROM user_subscriptions;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'members'::regclass AND NOT tgisinternal;

-- Attached otherwise, or another table: detach first
\set VERBOSITY sqlstate
SELECT attach_users('members', on_delete => 'erase');
CREATE TABLE others (LIKE members);
SELECT attach_users('others');
\set VERBOSITY default

-- The first admin is named by his address, in whatever case; it must be one, and known
SELECT make_admin_by_email('bOB@example.COM');
SELECT right(user_id::text, 1), role, granted_by FROM user_roles;
SELECT make_admin_by_email('twin@example.com');
\echo :LAST_ERROR_SQLSTATE
SELECT make_admin_by_email('%@example.com');
\echo :LAST_ERROR_SQLSTATE
SELECT make_admin_by_email(' ann@example.com');
SELECT make_admin_by_email(NULL);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE members ADD email_confirmed_at timestamptz;
SELECT make_admin_by_email('ann@example.com');
\echo :LAST_ERROR_SQLSTATE
UPDATE members SET email_confirmed_at = '2026-01-01' WHERE email LIKE 'ann%';
SELECT make_admin_by_email('ann@example.com');
SELECT right(user_id::text, 1), role FROM user_roles ORDER BY user_id;

-- A sign-up never fails because of us: it warns
ALTER TABLE user_subscriptions ADD CONSTRAINT broken CHECK (started_at < '2026-03-12');
SET usage_tracking.clock = '2026-03-12 12:00+00';
INSERT INTO members VALUES ('00000000-0000-0000-0000-00000000000f', 'fay@example.com');
ALTER TABLE user_subscriptions DROP CONSTRAINT broken;
SELECT count(*) FROM members WHERE email LIKE 'fay%';
SELECT attach_users('members');

-- Who is deleted leaves a mark, who comes back takes it away; usage stays until upkeep
SELECT define_usage_type('video');
SELECT reason FROM consume_usage('00000000-0000-0000-0000-00000000000d', 'video');
DELETE FROM members WHERE id > '00000000-0000-0000-0000-00000000000c' OR id IS NULL;
SELECT right(user_id::text, 1), on_delete FROM deleted_users ORDER BY user_id;
INSERT INTO members VALUES ('00000000-0000-0000-0000-00000000000e', 'eve@example.com');
SELECT right(user_id::text, 1), on_delete FROM deleted_users ORDER BY user_id;
SELECT count(*) FROM usage_events;

-- Detached, the table is its own again; attached anew, on other terms
SELECT detach_users();
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'members'::regclass AND NOT tgisinternal;
INSERT INTO members VALUES ('00000000-0000-0000-0000-000000000001', 'one@example.com');
SELECT attach_users('members', on_delete => 'keep');
DELETE FROM members WHERE id = '00000000-0000-0000-0000-000000000001';
SELECT detach_users();
ALTER TABLE members RENAME id TO "Member Id";
ALTER TABLE members RENAME email TO "E'mail";
ALTER TABLE members RENAME TO "My ""members""";
SELECT attach_users('"My ""members"""', 'Member Id', 'E''mail', 'erase');
DELETE FROM "My ""members""" WHERE "E'mail" LIKE 'ann%';
SELECT make_admin_by_email('EVE@example.com');
\echo :LAST_ERROR_SQLSTATE
SELECT right(user_id::text, 1), on_delete FROM deleted_users ORDER BY user_id;
DROP TABLE "My ""members""";
SELECT detach_users();

-- What cannot be attached
CREATE VIEW member_view AS SELECT * FROM others;
CREATE TABLE nameless (id uuid, email bytea);
CREATE ROLE regress_ut_user;
SELECT attach_users('member_view');
SELECT attach_users('nameless');
SELECT attach_users('others', 'uid');
SELECT attach_users('others', email_column => 'mail');
SELECT attach_users('others', on_delete => 'delete');
SELECT attach_users(0);
GRANT EXECUTE ON FUNCTION attach_users(regclass, name, name, text) TO regress_ut_user;
SET LOCAL ROLE regress_ut_user;
SELECT attach_users('others');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- Our own functions may be called by a trigger only
SELECT handle_new_user();
SELECT handle_deleted_user();
ROLLBACK;
