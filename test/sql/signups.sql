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

-- ---- leaving ----

/* Totals, by type, status and window, whosever they are; and what is left of one user. */
\set a 'a1a1a1a1-0000-0000-0000-00000000000a'
\set b 'a1a1a1a1-0000-0000-0000-00000000000b'
\set c 'a1a1a1a1-0000-0000-0000-00000000000c'
\set d 'a1a1a1a1-0000-0000-0000-00000000000d'
\set nobody 'a1a1a1a1-0000-0000-0000-00000000000f'
BEGIN;
CREATE TABLE members (id uuid PRIMARY KEY, email text);
INSERT INTO members VALUES (:'a', 'ann'), (:'b', 'bob'), (:'c', 'cleo'), (:'d', 'dan');
CREATE VIEW totals AS
    SELECT 'events' AS what, concat_ws(' ', usage_type, status, occurred_at, count(*), sum(quantity), sum(tokens), sum(cost), sum(corrected_events)) AS total
      FROM usage_events GROUP BY usage_type, status, occurred_at
     UNION ALL SELECT 'counter', concat_ws(' ', limit_id, window_start, window_end, used) FROM usage_counters
     UNION ALL SELECT 'carried', concat_ws(' ', usage_type, status, month, quantity) FROM usage_carried
     UNION ALL SELECT 'difference', r::text FROM reconcile_usage() AS r;
CREATE FUNCTION traces(id uuid) RETURNS TABLE (relation text, rows bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR relation IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT IN ('before', 'members') ORDER BY relname COLLATE "C" LOOP
        EXECUTE format('SELECT count(*) FROM %s AS t WHERE strpos(t::text, $1) > 0', relation) INTO rows USING id::text;
        IF rows > 0 THEN RETURN NEXT; END IF;
    END LOOP;
END $$;
CREATE FUNCTION live(id uuid) RETURNS void LANGUAGE sql AS $$
    SELECT consume_usage(id, 'video', 2, 10, 0.5, 'key of ' || id, 'subtype of ' || id, 'type of ' || id, 'resource of ' || id, to_jsonb(id));
    SELECT track_usage(id, 'video', 3, status => 'failed', duration_ms => 7, error_message => 'error of ' || id, parent_resource_id => id::text, occurred_at => '2026-03-01');
    SELECT reverse_usage(id, (SELECT max(e.id) FROM usage_events AS e WHERE e.user_id = $1 AND status = 'success'), 1, 'reason of ' || id);
    SELECT track_usage(id, 'video', 100), reserve_usage(id, 'clip'), set_user_limit(id, 'daily', 4, reason => 'for ' || id), grant_role(id, 'support');
    INSERT INTO usage_carried VALUES (id, 'clip', 'success', 0, '2025-01-01', 1, 2, 3, 4);
$$;
CREATE TABLE before AS TABLE totals;
\set remember 'DELETE FROM before; INSERT INTO before TABLE totals'
\set changed '(TABLE totals EXCEPT ALL TABLE before) UNION ALL (TABLE before EXCEPT ALL TABLE totals)'
\set maintain 'SELECT * FROM usage_maintenance() WHERE task = ''deleted_users'''
SELECT define_usage_type('clip'), define_usage_limit('daily', 'video', 10), define_usage_limit('ever', 'video', 9, 'lifetime', measure => 'events', statuses => '{success,failed}');
SELECT live(id) FROM members \g /dev/null
UPDATE user_roles SET granted_by = :'b' WHERE user_id = :'c';
SELECT complete FROM _copy_default_rows('infinity');
SELECT attach_users('members');

-- Anonymized: under one fresh id, without what he or the application wrote; so are copies that are on their way to a partition
SELECT * FROM traces(:'b');
DELETE FROM members WHERE id = :'b';
:remember;
:maintain;
:changed;
SELECT * FROM traces(:'b');
SELECT count(*), count(DISTINCT user_id) AS ids, count(duration_ms) AS durations, count(overage) AS overages, count(event_subtype) + count(error_message)
       + count(resource_type) + count(resource_id) + count(parent_resource_id) + count(metadata) + count(reason) AS texts, count(corrects) AS corrections
  FROM usage_events WHERE user_id <> ALL (ARRAY[:'a', :'c', :'d']::uuid[]);
SELECT (SELECT count(*) FROM usage_counters WHERE user_id = e.user_id) AS counters, (SELECT count(*) FROM usage_carried WHERE user_id = e.user_id) AS carried
  FROM usage_events AS e WHERE user_id <> ALL (ARRAY[:'a', :'c', :'d']::uuid[]) LIMIT 1;
SELECT granted_by FROM user_roles WHERE user_id = :'c';
SELECT tableoid::regclass, count(*) FROM usage_events GROUP BY 1;
:maintain;

-- Erased: what described the uses without being counted went too
SELECT detach_users(), attach_users('members', on_delete => 'erase');
DELETE FROM members WHERE id = :'d';
:remember;
:maintain;
:changed;
SELECT * FROM traces(:'d');
SELECT count(duration_ms) AS durations, count(overage) AS overages FROM usage_events WHERE user_id <> ALL (ARRAY[:'a', :'c']::uuid[]);  -- of the one before

-- Who is there again is left alone, whatever the mark says; where no table is attached, nobody can tell
INSERT INTO deleted_users VALUES (:'a', 'erase');
:maintain;
SELECT count(*) FROM usage_events WHERE user_id = :'a';
SELECT detach_users();
INSERT INTO deleted_users VALUES (:'nobody', 'erase');
:maintain;
SELECT attach_users('members');
:maintain;

-- A table whose ids cannot be read keeps its mark, and keeps nobody else from anything
DELETE FROM members WHERE id = :'c';
ALTER TABLE members RENAME id TO key;
:maintain;
ALTER TABLE members RENAME key TO id;
:maintain;
SELECT * FROM traces(:'c');

-- At once, of a user who may be there; again it finds nothing
SELECT live(:'c') \g /dev/null
:remember;
SELECT erase_user(:'a'), erase_user(:'c'), erase_user(:'nobody'), erase_user(:'a');
:changed;
SELECT * FROM traces(:'a') UNION ALL SELECT * FROM traces(:'c');
SELECT reason, used FROM consume_usage(:'a', 'video');
SELECT * FROM reconcile_usage();
SELECT erase_user(NULL);
\echo :LAST_ERROR_SQLSTATE

-- Everything that is stored about one user, and nothing about another
SELECT live(:'c'), grant_role(:'a', 'admin') \g /dev/null
UPDATE user_roles SET granted_by = :'a' WHERE user_id = :'c';
SELECT export_user_data(:'c') AS data \gset
SELECT key, CASE jsonb_typeof(value) WHEN 'array' THEN jsonb_array_length(value) END AS rows FROM jsonb_each(:'data') ORDER BY key COLLATE "C";
SELECT :'data'::jsonb #> '{user_limits,0,max_usage}', :'data'::jsonb #> '{user_roles,0,role}', strpos(:'data', :'a') AS of_another;
SELECT (SELECT count(*) FROM jsonb_object_keys(:'data'::jsonb #> '{usage_events,0}')) = count(*) - 1 AS all_columns
  FROM pg_attribute WHERE attrelid = 'usage_events'::regclass AND attnum > 0 AND NOT attisdropped;
SELECT key FROM jsonb_each(export_user_data(:'nobody')) WHERE value <> '[]';
SELECT export_user_data(NULL);
\echo :LAST_ERROR_SQLSTATE

-- By an admin or a server role; not by others, not even of themselves
CREATE ROLE regress_ut_user;
SELECT grant_usage_access('regress_ut_user');
SET LOCAL ROLE regress_ut_user;
SELECT set_config('request.jwt.claims', jsonb_build_object('sub', :'c')::text, true) IS NOT NULL AS somebody;
SELECT erase_user(:'c');
\echo :LAST_ERROR_SQLSTATE
SELECT export_user_data(:'c');
SELECT _forget_user(:'c', true);
SELECT _forget_events(:'c', true);
SELECT set_config('request.jwt.claims', jsonb_build_object('sub', :'a')::text, true) IS NOT NULL AS somebody;
SELECT jsonb_array_length(export_user_data(:'c') -> 'usage_events') AS events;
SELECT erase_user(:'c');
RESET ROLE;
SELECT * FROM traces(:'c');
ROLLBACK;
