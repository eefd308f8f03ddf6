/* rates: how fast, how many at once?
 *
 * Decisions about levels and leases to the letter.  The clock stands at noon.  A
 * decision reads
 *   allowed | reason | limit | used | maximum | remaining | reset | retry after | id
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
\set decision 'allowed, reason, limit_type, used, max_usage, remaining, reset_at, retry_after, id'
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
\set dan '00000000-0000-0000-0000-00000000000d'
BEGIN;
SELECT install_default_plans() > 0 AS plans;
SELECT define_usage_limit('disk_mb', 'storage', 100, 'gauge');
SELECT define_usage_limit('renders', 'render', 2, 'gauge');
SELECT define_usage_limit('daily', 'render', 1000);

-- ---- levels ----

-- Setting one is a fact, whatever the limit; no row is a level of 0
SELECT :decision FROM check_usage_limit(:'ann', 'disk_mb', 100);
SELECT count(*) FROM usage_levels;
SELECT :decision FROM set_usage_level(:'ann', 'disk_mb', 60.50);
SELECT :decision FROM set_usage_level(:'ann', 'disk_mb', 100);
SELECT :decision FROM set_usage_level(:'ann', 'disk_mb', 160);
SELECT :decision FROM check_usage_limit(:'ann', 'disk_mb', 0);
SELECT :decision FROM check_usage_limit(:'ann', 'disk_mb');
SELECT limit_type, used, held, max_usage, remaining, percent, window_start, reset_at, is_enforced
  FROM user_usage WHERE user_id = :'ann' ORDER BY 1;

-- Adding is refused if it does not fit; taking away never is, also above the limit
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 1);
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', -50);
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', -20.25);
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 10.26);
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 10.25);
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 0);
SELECT add_usage_level(:'ann', 'disk_mb', -100.000000001);
\echo :LAST_ERROR_SQLSTATE
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', -100);

-- A refusal leaves nothing, not even a row for the user
SELECT :decision FROM add_usage_level(:'bob', 'disk_mb', 101);
SELECT count(*) FROM usage_levels WHERE user_id = :'bob';
SELECT count(*) FROM user_subscriptions WHERE user_id = :'bob';

-- Whatever says how much somebody may says it here
SELECT set_user_limit(:'ann', 'disk_mb', 10);
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 11);
SELECT set_user_limit(:'ann', 'disk_mb', -1);
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 100000);
SELECT set_user_limit(:'ann', 'disk_mb', NULL);
SELECT (set_usage_level(:'ann', 'disk_mb', 100)).reason;
SELECT set_plan_limit('pro', 'disk_mb', 500), set_user_plan(:'ann', 'pro');
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 400);
SELECT set_temporary_limit('disk_mb', 600, '2026-03-10', '2026-03-11');
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 50);
SET usage_tracking.limit_overrides = 'disk_mb.pro=700';
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 101);
RESET usage_tracking.limit_overrides;
SELECT :decision FROM check_usage_limit(:'ann', 'disk_mb', 1);
SET usage_tracking.enforce_limits = off;
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 1);
RESET usage_tracking.enforce_limits;
SELECT define_usage_limit('disk_mb', 'storage', 100, 'gauge', enforcement => 'soft');
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 1);
SELECT define_usage_limit('disk_mb', 'storage', 100, 'gauge', is_active => false);
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 1);
SELECT :decision FROM set_usage_level(:'ann', 'disk_mb', 1000);
SELECT define_usage_limit('disk_mb', 'storage', 100, 'gauge');
SET usage_tracking.enabled = off;
SELECT :decision FROM set_usage_level(:'ann', 'disk_mb', 1);
SELECT :decision FROM add_usage_level(:'ann', 'disk_mb', 1);
SELECT :decision FROM acquire_lease(:'ann', 'disk_mb');
RESET usage_tracking.enabled;
SELECT level, changed_at FROM usage_levels WHERE user_id = :'ann' AND limit_type = 'disk_mb';

-- Only of gauges; and gauges only so
SELECT set_usage_level(:'ann', 'disk_gb', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT add_usage_level(:'ann', 'daily', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT acquire_lease(:'ann', 'daily');
\echo :LAST_ERROR_SQLSTATE
SELECT adjust_usage(:'ann', 'disk_mb', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT reset_user_usage(:'ann', 'disk_mb');
\echo :LAST_ERROR_SQLSTATE
SELECT (set_usage_level(:'ann', 'disk_mb', 99999999999999999999999999999)).remaining;
SELECT set_user_limit(:'ann', 'disk_mb', -1);
SELECT (add_usage_level(:'ann', 'disk_mb', 99999999999999999999999999999)).used;
SELECT (add_usage_level(:'ann', 'disk_mb', 99999999999999999999999999999 * 9)).used;
\echo :LAST_ERROR_SQLSTATE
SELECT set_user_limit(:'ann', 'disk_mb', NULL);
SELECT (set_usage_level(:'ann', 'disk_mb', 7)).used;

-- A use takes nothing from a gauge and is not asked about it
SELECT :decision FROM check_usage_limit(:'ann', 'storage', 1000);
SELECT reason, limit_type FROM consume_usage(:'ann', 'storage', 1000);
SELECT used FROM user_usage WHERE user_id = :'ann' AND limit_type = 'disk_mb';

-- A level is of the name: it follows a rename, outlasts another kind, and goes with the limit
UPDATE usage_limits SET limit_type = 'disk' WHERE limit_type = 'disk_mb';
SELECT define_usage_limit('disk', 'storage', 100, 'lifetime');
SELECT used FROM user_usage WHERE user_id = :'ann' AND limit_type = 'disk';
SELECT define_usage_limit('disk', 'storage', 100, 'gauge');
SELECT used FROM user_usage WHERE user_id = :'ann' AND limit_type = 'disk';
DELETE FROM usage_limits WHERE limit_type = 'disk';
SELECT count(*) FROM usage_levels WHERE level > 0;

-- ---- leases ----

SELECT :decision FROM acquire_lease(:'ann', 'renders');
SELECT :decision FROM acquire_lease(:'ann', 'renders', '1 hour');
SELECT :decision FROM acquire_lease(:'ann', 'renders');
SELECT :decision FROM check_usage_limit(:'ann', 'renders');
SELECT used, held, remaining FROM user_usage WHERE user_id = :'ann' AND limit_type = 'renders';
SELECT :decision FROM acquire_lease(:'bob', 'renders');
SELECT id, limit_type, acquired_at, expires_at, released_at FROM usage_leases ORDER BY id;

-- An instant before it expires it is held, at the instant it is not
SET usage_tracking.clock = '2026-03-10 12:14:59.999999+00';
SELECT :decision FROM acquire_lease(:'ann', 'renders');
SET usage_tracking.clock = '2026-03-10 12:15:00+00';
SELECT :decision FROM check_usage_limit(:'ann', 'renders', 1);
SELECT :decision FROM renew_lease(:'ann', 1);
SELECT :decision FROM acquire_lease(:'ann', 'renders', '10 minutes');
SELECT :decision FROM acquire_lease(:'ann', 'renders');

-- Renewing counts from now, also when the limit is lower by now
SELECT set_user_limit(:'ann', 'renders', 1);
SELECT :decision FROM renew_lease(:'ann', 2, '1 minute');
SELECT expires_at FROM usage_leases WHERE id = 2;
SELECT set_user_limit(:'ann', 'renders', NULL);
SET usage_tracking.clock = '2026-03-10 12:16:00+00';
SELECT :decision FROM renew_lease(:'ann', 2);
SELECT :decision FROM acquire_lease(:'ann', 'renders');

-- Released is free at once; again it changes nothing
SELECT release_lease(:'ann', 5);
SELECT :decision FROM acquire_lease(:'ann', 'renders', '3 minutes');
SELECT release_lease(:'ann', 5), release_lease(:'ann', 2);
SELECT :decision FROM acquire_lease(:'ann', 'renders');
SELECT id, expires_at, released_at FROM usage_leases WHERE user_id = :'ann' ORDER BY id;
SELECT renew_lease(:'bob', 6);
\echo :LAST_ERROR_SQLSTATE
SELECT release_lease(:'bob', 6);
\echo :LAST_ERROR_SQLSTATE
SELECT renew_lease(:'bob', 99);
\echo :LAST_ERROR_SQLSTATE

-- A key holds one place; its answer says whether that still is
SELECT :decision FROM acquire_lease(:'cat', 'renders', '5 minutes', 'k');
SELECT :decision FROM acquire_lease(:'cat', 'renders', '5 minutes', 'k');
SELECT used FROM check_usage_limit(:'cat', 'renders');
SET usage_tracking.clock = '2026-03-10 12:21:00+00';
SELECT :decision FROM acquire_lease(:'cat', 'renders', '5 minutes', 'k');
SELECT used FROM check_usage_limit(:'cat', 'renders');
SELECT define_usage_limit('exports_at_once', 'export', 1, 'gauge');
SELECT acquire_lease(:'cat', 'exports_at_once', idempotency_key => 'k');
\echo :LAST_ERROR_SQLSTATE
SELECT consume_usage(:'cat', 'export', idempotency_key => 'k');
\echo :LAST_ERROR_SQLSTATE
SELECT allowed, reason FROM acquire_lease(:'cat', 'exports_at_once', idempotency_key => 'n'),
       LATERAL (SELECT) AS one;
SELECT allowed, reason FROM acquire_lease(:'cat', 'exports_at_once', idempotency_key => 'm');
SELECT count(*) FROM usage_keys WHERE idempotency_key = 'm';

-- Levels and leases of one gauge add up
SELECT :decision FROM set_usage_level(:'dan', 'renders', 1);
SELECT :decision FROM acquire_lease(:'dan', 'renders');
SELECT :decision FROM acquire_lease(:'dan', 'renders');
SELECT :decision FROM add_usage_level(:'dan', 'renders', 1);
SELECT :decision FROM set_usage_level(:'dan', 'renders', 2);
SELECT used, held FROM user_usage WHERE user_id = :'dan' AND limit_type = 'renders';

-- A lease of the session; what is rolled back was never held
SELECT :decision FROM acquire_lease(:'dan', 'exports_at_once', NULL);
SET usage_tracking.clock = '2027-03-10 12:00+00';
SELECT :decision FROM acquire_lease(:'dan', 'exports_at_once', NULL);
SELECT expires_at FROM usage_leases WHERE user_id = :'dan' AND limit_type = 'exports_at_once';
SAVEPOINT sp;
SELECT :decision FROM renew_lease(:'dan', (SELECT max(id) FROM usage_leases), '1 minute');
SELECT expires_at, session_token IS NULL FROM usage_leases WHERE user_id = :'dan' AND limit_type = 'exports_at_once';
ROLLBACK TO SAVEPOINT sp;
SELECT release_lease(:'dan', max(id)) FROM usage_leases;
SAVEPOINT sp;
SELECT allowed FROM acquire_lease(:'dan', 'exports_at_once', NULL);
ROLLBACK TO SAVEPOINT sp;
SELECT allowed FROM acquire_lease(:'dan', 'exports_at_once', NULL);
-- of a session that is gone, or of another server, nothing is held
UPDATE usage_leases SET session_token = session_token # 1 WHERE expires_at = 'infinity';
SELECT held FROM user_usage WHERE user_id = :'dan' AND limit_type = 'exports_at_once';
SELECT (renew_lease(:'dan', max(id))).reason FROM usage_leases;
SELECT allowed FROM acquire_lease(:'dan', 'exports_at_once', NULL);
SELECT count(*) AS ended FROM usage_leases WHERE expires_at = released_at AND limit_type = 'exports_at_once' AND user_id = :'dan';
SELECT _session_lives(0, 0), _session_lives(-1, 1), _session_lives(4294967296, 1), _session_lives(7, 7), _session_lives(NULL, 1);

-- What is over goes when its keys do
SELECT count(*) FROM usage_leases;
SELECT done > 0 AS swept FROM usage_maintenance() WHERE task = 'reservations';
SELECT count(*), min(expires_at) FROM usage_leases;
SELECT held FROM user_usage WHERE user_id = :'dan' AND limit_type = 'exports_at_once';

-- Forgotten with the user; nothing of it is in the history of usage
SELECT erase_user(:'dan');
SELECT count(*) FROM usage_levels WHERE user_id = :'dan';
SELECT count(*) FROM usage_leases WHERE user_id = :'dan';
SELECT * FROM reconcile_usage();
ROLLBACK;

-- ---- a gauge that follows a table ----

SET usage_tracking.clock = '2026-03-10 12:00+00';
BEGIN;
SELECT define_usage_limit('projects', 'project', 3, 'gauge'), define_usage_limit('bytes', 'storage', 1000, 'gauge');
SELECT define_usage_limit('daily', 'render', 1000);
CREATE TABLE project (id integer PRIMARY KEY, owner uuid, bytes bigint);
INSERT INTO project VALUES (1, :'ann', 100), (2, :'ann', NULL), (3, :'bob', 5), (4, NULL, 7);
SELECT (set_usage_level(:'cat', 'projects', 2)).used;
SELECT attach_usage_gauge('project', 'projects', 'owner'), attach_usage_gauge('project', 'bytes', 'owner', 'bytes');
CREATE VIEW levels AS SELECT right(user_id::text, 1) AS who, limit_type, level FROM usage_levels ORDER BY 1, 2;
TABLE levels;
SELECT count(*) AS known FROM user_subscriptions;

-- Every kind of statement, from whoever
INSERT INTO project VALUES (5, :'ann', 50);
INSERT INTO project VALUES (6, :'bob', 1), (7, :'ann', 1);
\echo :LAST_ERROR_SQLSTATE
UPDATE project SET owner = :'ann' WHERE id = 3;
\echo :LAST_ERROR_SQLSTATE
UPDATE project SET bytes = 1000;
\echo :LAST_ERROR_SQLSTATE
TABLE levels;
INSERT INTO project VALUES (1, :'ann', 1), (8, :'cat', 10) ON CONFLICT (id) DO UPDATE SET owner = :'bob', bytes = 20;
TABLE levels;
MERGE INTO project AS p USING (VALUES (1), (9)) AS n (id) ON p.id = n.id
    WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (n.id, '00000000-0000-0000-0000-00000000000d', 4);
TABLE levels;
COPY project FROM STDIN;
10	00000000-0000-0000-0000-00000000000d	1
11	00000000-0000-0000-0000-00000000000d	2
\.
COPY project FROM STDIN;
12	00000000-0000-0000-0000-00000000000d	3
13	00000000-0000-0000-0000-00000000000e	3
\.
\echo :LAST_ERROR_SQLSTATE
UPDATE project SET id = id + 100;
DELETE FROM project WHERE owner = :'bob';
TABLE levels;
SELECT * FROM verify_usage_gauge('projects') UNION ALL SELECT * FROM verify_usage_gauge('bytes');

-- Above a lower limit less is always allowed, and as much as before
SELECT set_user_limit(:'ann', 'bytes', 10);
UPDATE project SET bytes = bytes - 1 WHERE owner = :'ann';
UPDATE project SET bytes = bytes + 1 WHERE owner = :'ann';
\echo :LAST_ERROR_SQLSTATE
UPDATE project SET bytes = COALESCE(bytes, 49) WHERE owner = :'ann' AND bytes IS NULL;
\echo :LAST_ERROR_SQLSTATE
UPDATE project SET bytes = CASE WHEN bytes IS NULL THEN 49 END WHERE owner = :'ann';
SELECT level FROM usage_levels WHERE user_id = :'ann' AND limit_type = 'bytes';

-- Leases count beside rows
SELECT allowed, used FROM acquire_lease('00000000-0000-0000-0000-00000000000c', 'projects', '1 hour');
INSERT INTO project VALUES (20, :'cat', 0);
INSERT INTO project VALUES (21, :'cat', 0);
\echo :LAST_ERROR_SQLSTATE

-- A role that may do nothing but write the table
CREATE ROLE regress_ut_writer;
GRANT INSERT, DELETE, SELECT ON project TO regress_ut_writer;
SET ROLE regress_ut_writer;
INSERT INTO project VALUES (30, :'bob', 0);
INSERT INTO project SELECT n, :'bob', 0 FROM generate_series(31, 33) AS n;
\echo :LAST_ERROR_SQLSTATE
SELECT level FROM usage_levels;
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- The table is the truth: nobody sets the level otherwise, and the gauge stays
SELECT set_usage_level(:'ann', 'projects', 0);
\echo :LAST_ERROR_SQLSTATE
SELECT add_usage_level(:'ann', 'projects', -1);
\echo :LAST_ERROR_SQLSTATE
UPDATE usage_limits SET limit_type = 'others' WHERE limit_type = 'projects';
\echo :LAST_ERROR_SQLSTATE
DELETE FROM usage_limits WHERE limit_type = 'projects';
\echo :LAST_ERROR_SQLSTATE
CREATE TABLE other (owner uuid, bytes double precision, data json);
SELECT attach_usage_gauge('other', 'projects', 'owner');
\echo :LAST_ERROR_SQLSTATE

-- With limits switched off it is counted all the same; of another kind too
SET usage_tracking.enforce_limits = off;
INSERT INTO project SELECT n, :'bob', 0 FROM generate_series(41, 43) AS n;
RESET usage_tracking.enforce_limits;
SET usage_tracking.enabled = off;
INSERT INTO project VALUES (44, :'bob', 0);
RESET usage_tracking.enabled;
SELECT define_usage_limit('projects', 'project', 3, 'lifetime');
INSERT INTO project VALUES (45, :'bob', 0);
SELECT define_usage_limit('projects', 'project', 3, 'gauge');
SELECT * FROM verify_usage_gauge('projects') UNION ALL SELECT * FROM verify_usage_gauge('bytes');
SELECT level FROM usage_levels WHERE user_id = :'bob' AND limit_type = 'projects';

-- A renamed table goes on, a renamed column is missed
ALTER TABLE project RENAME TO projekt;
INSERT INTO projekt VALUES (50, '00000000-0000-0000-0000-00000000000f', 1);
ALTER TABLE projekt RENAME COLUMN owner TO creator;
INSERT INTO projekt VALUES (51, '00000000-0000-0000-0000-00000000000f', 1);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE projekt RENAME COLUMN creator TO owner;

-- What a forgotten user left behind does not bring him back when it goes
SELECT erase_user('00000000-0000-0000-0000-00000000000f');
SELECT * FROM verify_usage_gauge('projects');
DELETE FROM projekt WHERE id = 50;
SELECT count(*) FROM usage_levels WHERE user_id = '00000000-0000-0000-0000-00000000000f';

TRUNCATE projekt;
SELECT DISTINCT level FROM usage_levels;
SELECT detach_usage_gauge('projekt', 'projects');
SELECT detach_usage_gauge('projekt', 'projects');
\echo :LAST_ERROR_SQLSTATE
SELECT detach_usage_gauge('projekt', 'nothing');
\echo :LAST_ERROR_SQLSTATE
SELECT detach_usage_gauge('other', 'bytes');
\echo :LAST_ERROR_SQLSTATE
SELECT verify_usage_gauge('projects');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO projekt VALUES (60, :'ann', 1);
TABLE levels;
SELECT DISTINCT limit_type, target FROM _attached_gauges();

-- What cannot be followed
SELECT attach_usage_gauge('projekt', 'nothing', 'owner');
\echo :LAST_ERROR_SQLSTATE
SELECT attach_usage_gauge('projekt', 'daily', 'owner');
\echo :LAST_ERROR_SQLSTATE
SELECT attach_usage_gauge('other', 'projects', 'nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT attach_usage_gauge('other', 'projects', 'data');
\echo :LAST_ERROR_SQLSTATE
SELECT attach_usage_gauge('other', 'projects', 'owner', 'bytes');
\echo :LAST_ERROR_SQLSTATE
SELECT attach_usage_gauge('levels', 'projects', 'owner');
\echo :LAST_ERROR_SQLSTATE
CREATE TABLE parted (owner uuid) PARTITION BY LIST (owner);
CREATE TABLE part PARTITION OF parted DEFAULT;
SELECT attach_usage_gauge('parted', 'projects', 'owner');
\echo :LAST_ERROR_SQLSTATE
SELECT attach_usage_gauge('part', 'projects', 'owner');
\echo :LAST_ERROR_SQLSTATE
SELECT attach_usage_gauge(0, 'projects', 'owner');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_ut_writer;
SELECT attach_usage_gauge('projekt', 'projects', 'owner');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT attach_usage_gauge('pg_class', 'projects', 'relname');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
