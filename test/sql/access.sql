/* access: who may see and call?
 *
 * Nothing is granted until grant_usage_access() grants it.  Then an end user acts
 * for himself, a server role for everybody, and an admin changes the rules.
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
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
BEGIN;
SELECT install_default_plans();
SELECT define_usage_limit('videos_daily', 'video', 3);
CREATE ROLE regress_ut_user;
CREATE ROLE regress_ut_server;
CREATE ROLE regress_ut_member IN ROLE regress_ut_server;
CREATE ROLE regress_ut_other;

-- Before any grant nobody may do anything
SET LOCAL ROLE regress_ut_user;
SELECT current_user_id();
SELECT check_usage_limit(:'ann', 'video');
SELECT * FROM user_usage;
RESET ROLE;

-- What each kind of role may call and touch, and how
SELECT grant_usage_access('regress_ut_user');
SELECT grant_usage_access('regress_ut_server', server => true);
SELECT p.proname, has_function_privilege('regress_ut_user', p.oid, 'EXECUTE') AS "user", has_function_privilege('regress_ut_server', p.oid, 'EXECUTE') AS server
  FROM pg_depend AS d JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = 'usage_tracking'
  JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
 WHERE d.refclassid = 'pg_extension'::regclass AND has_function_privilege('regress_ut_server', p.oid, 'EXECUTE') ORDER BY p.proname COLLATE "C";
SELECT c.relname, a.privilege_type, string_agg(g.rolname, ' ' ORDER BY g.rolname)
  FROM pg_class AS c, aclexplode(c.relacl) AS a JOIN pg_roles AS g ON g.oid = a.grantee
 WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner GROUP BY 1, 2 ORDER BY 1, 2;
SELECT t.attrelid::regclass, a.privilege_type, string_agg(DISTINCT t.attname::text, ' ' ORDER BY t.attname::text)
  FROM pg_attribute AS t, aclexplode(t.attacl) AS a WHERE t.attrelid::regclass::text LIKE '%us%' AND a.grantee::regrole::text LIKE 'regress%' GROUP BY 1, 2;
SELECT bool_or(has_function_privilege('regress_ut_other', p.oid, 'EXECUTE')) FROM pg_proc AS p WHERE p.probin LIKE '%usage_tracking';
SELECT * FROM usage_security_check();

-- Nobody: no identity, no use
SET LOCAL ROLE regress_ut_user;
SELECT current_user_id();
SELECT consume_usage(:'ann', 'video');
\echo :LAST_ERROR_SQLSTATE
SELECT consume_usage(NULL, 'video');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- An end user: himself, positive amounts, now
SET usage_tracking.user_id = :'ann';
SET LOCAL ROLE regress_ut_user;
SELECT reason, used FROM consume_usage(:'ann', 'video');
SELECT reason, used FROM require_usage(:'ann', 'video');
SELECT reason, used FROM check_usage_limit(:'ann', 'video');
SELECT limit_type, used FROM user_usage;
SELECT plan, status, anchor FROM user_subscriptions;
SELECT consume_usage(:'ann', 'video', -1);
\echo :LAST_ERROR_SQLSTATE
SELECT consume_usage(:'bob', 'video');
\echo :LAST_ERROR_SQLSTATE
SELECT check_usage_limit(gen_random_uuid(), 'video');
\echo :LAST_ERROR_SQLSTATE
SELECT check_usage_limit(NULL, 'video');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT track_usage(:'ann', 'video', 1);
SELECT define_usage_limit('mine', 'video', 1000);
SELECT define_usage_type('mine');
SELECT set_user_limit(:'ann', 'videos_daily', 1000);
SELECT set_plan_limit('free', 'videos_daily', 1000);
SELECT set_user_plan(:'ann', 'pro');
SELECT set_user_clock(:'ann', anchor => '2026-03-10 12:00+00');
SELECT grant_role(:'ann', 'admin');
SELECT make_admin_by_email('ann@example.com');
SELECT act_for_any_user();
SELECT reconcile_usage();
SELECT grant_usage_access('regress_ut_user', server => true);
SELECT stripe_customer_id FROM user_subscriptions;
SELECT * FROM usage_events;
SELECT * FROM usage_limits;
INSERT INTO user_limits VALUES (:'ann', 'videos_daily', 1000);
UPDATE user_subscriptions SET plan = 'pro';
UPDATE usage_counters SET used = 0;
DELETE FROM usage_events_default;
TRUNCATE usage_keys;
SELECT nextval('usage_events_id_seq');
\set VERBOSITY default
RESET ROLE;
RESET usage_tracking.user_id;

-- A server role, and who is a member of it: for everybody, but no admin
SET LOCAL ROLE regress_ut_member;
SELECT reason, used FROM consume_usage(:'bob', 'video');
SELECT track_usage(:'bob', 'video') > 0;
SELECT set_user_clock(:'bob', 'Europe/Berlin');
SELECT right(user_id::text, 1), used, reset_at FROM user_usage ORDER BY user_id;
SELECT consume_usage(NULL, 'video');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT define_usage_limit('mine', 'video', 1000);
SELECT grant_role(:'bob', 'admin');
SELECT * FROM usage_events;
\set VERBOSITY default
RESET ROLE;

-- An admin in a role of end users: the rules, for everybody
SELECT grant_role(:'ann', 'admin');
SET usage_tracking.user_id = :'ann';
SET LOCAL ROLE regress_ut_user;
SELECT define_usage_limit('images_daily', 'image', 7);
SELECT set_plan_limit('free', 'images_daily', 8);
SELECT set_user_limit(:'bob', 'images_daily', 9);
SELECT set_user_clock(:'bob', 'Asia/Tokyo');
SELECT grant_role(:'bob', 'support');
SELECT right(user_id::text, 1), limit_type, max_usage FROM user_usage ORDER BY 1, 2;
\set VERBOSITY terse
SELECT track_usage(:'bob', 'video');
SELECT * FROM usage_events;
\set VERBOSITY default
RESET ROLE;

-- Each way to do more than the rules say is a finding, and nothing is found when it is undone
SELECT * FROM usage_security_check();
SAVEPOINT s;
GRANT SELECT ON usage_events TO regress_ut_user;
GRANT UPDATE (used) ON usage_counters TO regress_ut_user;
GRANT SELECT (metadata) ON user_subscriptions TO regress_ut_user;
GRANT SELECT ON user_usage TO PUBLIC;
GRANT EXECUTE ON FUNCTION check_usage_limit(uuid, text, numeric, bigint, numeric) TO PUBLIC;
GRANT EXECUTE ON FUNCTION create_usage_partition(date), track_usage TO regress_ut_user;
GRANT CREATE ON SCHEMA public TO regress_ut_user;
ALTER TABLE plans DISABLE ROW LEVEL SECURITY;
ALTER VIEW user_usage RESET (security_invoker);
ALTER TABLE user_roles OWNER TO regress_ut_other;
CREATE POLICY mine ON user_limits USING (true);
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER nothing BEFORE INSERT ON usage_keys FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing();
ALTER TABLE usage_events_default DISABLE TRIGGER history_is_not_truncated;
SELECT * FROM usage_security_check() ORDER BY object COLLATE "C", problem COLLATE "C";
ROLLBACK TO s;
SELECT * FROM usage_security_check();

-- To whom it cannot be granted
SELECT grant_usage_access('regress_ut_nobody');
SELECT grant_usage_access(NULL);
\set VERBOSITY sqlstate
SELECT grant_usage_access('public', server => true);
SELECT * FROM usage_security_check();
ROLLBACK;
