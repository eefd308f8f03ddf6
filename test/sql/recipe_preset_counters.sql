/* recipe preset-counters: the system of the fourth seed, as its page prints it.
 *
 * In a database of its own, because a recipe commits.  "D3-1" names what was
 * wrong in the seed, and stands where it is shown to be gone.
 */
\getenv dir PG_ABS_SRCDIR
\set recipe :dir/../doc/recipes/preset-counters.sql
\set before :DBNAME
CREATE DATABASE regress_ut_preset_counters;
\c regress_ut_preset_counters
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE ROLE regress_ut_web;
\set ECHO none
\set schema app
\set role regress_ut_web
\i :recipe
\set ECHO all
\unset ON_ERROR_STOP
SET search_path = app;
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set counts 'SELECT p.name, p.usage_count, (SELECT count(*) FROM preset_usage AS u WHERE u.preset_id = p.id) AS actual, p.last_used_at IS NOT DISTINCT FROM (SELECT max(u.created_at) FROM preset_usage AS u WHERE u.preset_id = p.id) AS latest FROM presets AS p ORDER BY p.name'
INSERT INTO presets (name) VALUES ('portrait'), ('landscape'), ('abstract');
SELECT id AS portrait FROM presets WHERE name = 'portrait' \gset
SELECT lpad('', 32, 'c') AS nowhere \gset
SELECT id AS landscape FROM presets WHERE name = 'landscape' \gset

-- What there is: the trigger is there and enabled, functions are not for everybody
SELECT t.tgname, t.tgenabled, t.tgfoid::regproc FROM pg_trigger AS t WHERE t.tgrelid = 'preset_usage'::regclass AND NOT t.tgisinternal ORDER BY 1;
SELECT p.proname, p.prosecdef, a.grantee FROM pg_proc AS p LEFT JOIN LATERAL (SELECT 'PUBLIC' AS grantee FROM aclexplode(p.proacl) AS a WHERE a.grantee = 0) AS a ON true
 WHERE p.pronamespace = 'app'::regnamespace ORDER BY 1;

-- 1. Synced Historical Data: it is counted already, so this changes nothing
INSERT INTO preset_usage (preset_id, user_id, usage_type) VALUES (:'portrait', :'ann', 'playground_generation'), (:'portrait', :'bob', 'playground_generation');
:counts;
UPDATE presets p
SET usage_count = (
    SELECT COUNT(*)
    FROM preset_usage pu
    WHERE pu.preset_id = p.id
);
:counts;
-- 2. Auto-Increment Trigger: the recipe has made it, and counted under a lock (D3-4)
-- 3. Removed Daily Constraint
DROP INDEX IF EXISTS idx_preset_usage_daily_unique;

-- Testing: an end user, twice on one day, with row security on presets and no right to change them (D3-1)
ALTER TABLE presets ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_see ON presets FOR SELECT USING (true);
SET usage_tracking.user_id = :'ann';
SET ROLE regress_ut_web;
SELECT track_preset_usage(:'portrait', 'playground_generation', '{"test": true}') IS NOT NULL;
SELECT track_preset_usage(:'portrait', 'playground_generation', '{"test": true}') IS NOT NULL;
SELECT name, usage_count FROM presets ORDER BY name;
-- D3-7: once for each key; for himself; of a preset that is there; what it says is checked
SELECT track_preset_usage(:'landscape', 'playground_generation', idempotency_key => 'request 1') AS first \gset
SELECT track_preset_usage(:'landscape', 'playground_generation', idempotency_key => 'request 1') = :'first';
SELECT track_preset_usage(:'portrait', 'playground_generation', idempotency_key => 'request 1');
SELECT track_preset_usage(:'landscape', 'playground_generation', user_id => :'bob');
\set VERBOSITY terse
SELECT track_preset_usage(:'nowhere', 'playground_generation');
\set VERBOSITY default
\set VERBOSITY sqlstate
SELECT track_preset_usage(NULL, 'playground_generation');
SELECT track_preset_usage(:'landscape', 'Any text; whatever');
SELECT track_preset_usage(:'landscape', NULL);
SELECT track_preset_usage(:'landscape', 'use', '[1]');
SELECT track_preset_usage(:'landscape', 'use', jsonb_build_object('a', repeat('x', 9000)));
SELECT track_preset_usage(:'landscape', 'use', idempotency_key => '');
INSERT INTO preset_usage (preset_id, user_id, usage_type) VALUES (:'landscape', :'bob', 'use');
INSERT INTO preset_usage (preset_id, user_id, usage_type, created_at) VALUES (:'landscape', :'ann', 'use', '2036-01-01');
DELETE FROM preset_usage;
UPDATE presets SET usage_count = 1000000;
SELECT auto_increment_preset_usage_count();
\set VERBOSITY default
SELECT user_id = :'ann' FROM preset_usage GROUP BY 1;
RESET ROLE;
RESET usage_tracking.user_id;
:counts;
-- many uses of one user are one point; what trends is what many use
SELECT p.name, r.users, r.uses, round(r.score) FROM usage.trending_resources('presets', 'usage_count', half_life => '1 year') AS r JOIN presets AS p ON p.id::text = r.key ORDER BY 1;

-- D3-2: code that counts by itself counts nothing: neither by the function, nor by an UPDATE, nor with a preset that comes with a count
GRANT INSERT, UPDATE ON presets TO regress_ut_web;
CREATE POLICY all_write ON presets USING (true);
SET ROLE regress_ut_web;
SELECT increment_preset_usage(:'landscape');
UPDATE presets SET usage_count = usage_count + 1, last_used_at = '2036-01-01' WHERE name = 'landscape' RETURNING usage_count;
INSERT INTO presets (name, usage_count, last_used_at) VALUES ('mine', 1000000, '2036-01-01') RETURNING usage_count, last_used_at;
-- nor from a trigger of his own
CREATE TEMPORARY TABLE lever (n integer);
CREATE FUNCTION pg_temp.pull() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN UPDATE presets SET usage_count = 1000000 WHERE name = 'landscape'; RETURN NULL; END$$;
CREATE TRIGGER pull AFTER INSERT ON lever FOR EACH ROW EXECUTE FUNCTION pg_temp.pull();
INSERT INTO lever VALUES (1);
RESET ROLE;
:counts;

-- D3-3: what goes is no longer counted, nor is what moves
DELETE FROM preset_usage WHERE user_id = :'ann' AND preset_id = :'portrait';
:counts;
UPDATE preset_usage SET preset_id = :'landscape' WHERE user_id = :'bob';
:counts;
TRUNCATE preset_usage;
:counts;
INSERT INTO preset_usage (preset_id, user_id, usage_type) SELECT :'landscape', :'bob', 'use' FROM generate_series(1, 3);

-- Verification
SELECT
    p.name,
    p.usage_count as displayed_count,
    COUNT(pu.id) as actual_records
FROM presets p
LEFT JOIN preset_usage pu ON p.id = pu.preset_id
WHERE p.id = :'landscape'
GROUP BY p.id, p.name, p.usage_count;
-- D3-8: what differs is found, and corrected
UPDATE presets SET usage_count = 100 WHERE name = 'landscape';
SELECT v.displayed, v.actual FROM usage.verify_usage_tally('presets', 'usage_count') AS v;
SELECT usage.sync_usage_tally('presets', 'usage_count');
SELECT * FROM usage.verify_usage_tally('presets', 'usage_count');

-- Support
\o /dev/null
SELECT * FROM pg_trigger WHERE tgname LIKE '%usage%';
\o
SELECT :ROW_COUNT > 0;
\o /dev/null
SELECT * FROM pg_proc WHERE proname LIKE '%usage%';
\o
SELECT :ROW_COUNT > 0;
\o /dev/null
SELECT * FROM preset_usage ORDER BY created_at DESC LIMIT 10;
\o
SELECT :ROW_COUNT;
SELECT * FROM usage.usage_security_check();

-- A pause: dropped and made again, it has counted what came meanwhile
SELECT auto_increment_preset_usage_count();
DROP TRIGGER trigger_auto_increment_preset_usage_count ON preset_usage;
INSERT INTO preset_usage (preset_id, user_id, usage_type) VALUES (:'landscape', :'bob', 'use');
SELECT auto_increment_preset_usage_count();
DELETE FROM preset_usage WHERE ctid = (SELECT max(ctid) FROM preset_usage);
:counts;
SELECT t.tgname FROM pg_trigger AS t WHERE t.tgrelid = 'preset_usage'::regclass AND NOT t.tgisinternal ORDER BY 1;

-- Rollback: nothing of ours counts any more
DROP TRIGGER IF EXISTS trigger_auto_increment_preset_usage_count ON preset_usage;
DROP FUNCTION IF EXISTS auto_increment_preset_usage_count();
INSERT INTO preset_usage (preset_id, user_id, usage_type) SELECT :'landscape', :'bob', 'use' FROM generate_series(1, 2);
DELETE FROM preset_usage WHERE ctid = (SELECT min(ctid) FROM preset_usage);
UPDATE preset_usage SET preset_id = :'portrait' WHERE ctid = (SELECT min(ctid) FROM preset_usage);
:counts;
TRUNCATE preset_usage;
:counts;
SELECT usage.sync_usage_tally('presets', 'usage_count');
SELECT usage.detach_usage_tallies('preset_usage');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'preset_usage'::regclass AND NOT tgisinternal;
-- D3-5: the index of the page cannot be made; this one can, beside the uses there are, for one use a day from now on
INSERT INTO preset_usage (preset_id, user_id, usage_type, created_at) SELECT :'landscape', :'bob', 'use', '2026-03-10 12:00+00' FROM generate_series(1, 2);
CREATE UNIQUE INDEX idx_preset_usage_daily_unique
ON preset_usage(preset_id, user_id, usage_type, DATE(created_at));
CREATE UNIQUE INDEX idx_preset_usage_daily_unique
ON preset_usage (preset_id, user_id, usage_type, ((created_at AT TIME ZONE 'UTC')::date)) WHERE created_at >= '2026-03-11 00:00+00';
INSERT INTO preset_usage (preset_id, user_id, usage_type, created_at) VALUES (:'landscape', :'bob', 'use', '2026-03-11 01:00+00'), (:'landscape', :'bob', 'use', '2026-03-12 01:00+00');
\set VERBOSITY sqlstate
INSERT INTO preset_usage (preset_id, user_id, usage_type, created_at) VALUES (:'landscape', :'bob', 'use', '2026-03-12 23:00+00');
\set VERBOSITY default

-- A second run is refused and changes nothing
\setenv PGDATABASE :DBNAME
\setenv RECIPE :recipe
\! psql -Xqt -v schema=app -f "$RECIPE" 2>&1 | sed -n 's/.*ERROR/ERROR/p'
\! psql -Xqt -v schema=app -v from=app -f "$RECIPE" 2>&1 | sed -n 's/.*ERROR/ERROR/p'
SELECT to_regclass('app.idx_preset_usage_daily_unique');

-- Moving in: the seed's own tables, functions and trigger, with counts that are wrong
CREATE SCHEMA shop;
SET search_path = shop;
CREATE TABLE presets (id serial PRIMARY KEY, name varchar(100), usage_count integer, last_used_at timestamp);
CREATE TABLE preset_usage (id serial PRIMARY KEY, preset_id integer, user_id uuid, usage_type varchar(50), usage_data jsonb, created_at timestamp DEFAULT now());
CREATE FUNCTION auto_increment_preset_usage_count() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN UPDATE shop.presets SET usage_count = usage_count + 1 WHERE id = NEW.preset_id; RETURN NEW; END$$;
CREATE TRIGGER trigger_auto_increment_preset_usage_count AFTER INSERT ON preset_usage FOR EACH ROW EXECUTE FUNCTION auto_increment_preset_usage_count();
CREATE FUNCTION track_preset_usage(p_preset_id integer) RETURNS void LANGUAGE sql AS 'INSERT INTO shop.preset_usage (preset_id) VALUES (p_preset_id)';
CREATE FUNCTION increment_preset_usage(p_preset_id integer) RETURNS void LANGUAGE sql AS 'UPDATE shop.presets SET usage_count = usage_count + 1';
CREATE UNIQUE INDEX idx_preset_usage_daily_unique ON preset_usage (preset_id, user_id, usage_type, date(created_at));
INSERT INTO presets (name, usage_count) VALUES ('oil', 7), ('ink', NULL), ('chalk', 0);
INSERT INTO preset_usage (preset_id, user_id, usage_type, created_at) VALUES (1, :'ann', 'Old Type', '2026-03-01'), (1, :'bob', 'use', '2026-03-02'), (2, :'bob', 'use', '2026-03-03'), (9, :'ann', 'use', '2026-03-04');
-- a use of no preset is a difference: everything stays as it was
\! psql -Xqt -v schema=gallery -v from=shop -f "$RECIPE" 2>&1 | sed -n 's/.*ERROR/ERROR/p'
SELECT id, usage_count FROM shop.presets ORDER BY id;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'shop.preset_usage'::regclass;
SELECT count(*) FROM pg_namespace WHERE nspname = 'gallery';
DELETE FROM preset_usage WHERE preset_id = 9;
\! psql -Xqt -v schema=gallery -v from=shop -v role=regress_ut_web -f "$RECIPE" 2>&1 | grep .
SET search_path = gallery;
SELECT id, name, usage_count, last_used_at FROM presets ORDER BY id;
SELECT id, preset_id, usage_type FROM preset_usage ORDER BY id;
SELECT to_regclass('shop.presets'), to_regclass('gallery.idx_preset_usage_daily_unique');
SET usage_tracking.user_id = :'ann';
SET ROLE regress_ut_web;
SELECT track_preset_usage(3, 'use');
SELECT track_preset_usage(3, 'use', user_id => :'bob');
SELECT track_preset_usage(3, 'use', user_id => NULL);
RESET ROLE;
RESET usage_tracking.user_id;
SET ROLE regress_ut_web;
SELECT track_preset_usage(3, 'use');
RESET ROLE;
SELECT id, usage_count, last_used_at IS NOT NULL FROM presets ORDER BY id;

\c :before
DROP DATABASE regress_ut_preset_counters WITH (FORCE);
DROP ROLE regress_ut_web;
