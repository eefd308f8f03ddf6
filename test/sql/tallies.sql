/* tallies: how often was this row used?
 *
 * A preset's usage_count is the number of rows of preset_usage that name it,
 * whatever statement brings or takes them, and whoever sends it.
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
\set presets 'SELECT id, usage_count, last_used_at FROM presets ORDER BY id'
\set wrong 'SELECT * FROM verify_usage_tally(''presets'', ''usage_count'')'
BEGIN;
CREATE TABLE presets (id integer PRIMARY KEY, name text, usage_count integer NOT NULL DEFAULT 0, last_used_at timestamptz);
CREATE TABLE preset_usage (id serial PRIMARY KEY, preset_id integer REFERENCES presets ON DELETE CASCADE, user_id text,
                           created_at timestamptz DEFAULT '2026-03-10 12:00+00', note text);
INSERT INTO presets SELECT n, 'preset ' || n FROM generate_series(1, 4) AS n;
INSERT INTO preset_usage (preset_id, user_id, created_at)
VALUES (1, 'ann', '2026-03-01'), (1, 'bob', '2026-03-02'), (2, 'ann', '2026-03-03'), (NULL, 'ann', '2026-03-04');

-- Attach: what was used before is counted
SELECT attach_usage_tally('presets', 'id', 'usage_count', 'preset_usage', 'preset_id', 'last_used_at', 'created_at', 'user_id');
:presets;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'preset_usage'::regclass AND NOT tgisinternal ORDER BY 1;

-- The same again is nothing; another one is refused
SELECT attach_usage_tally('presets', 'id', 'usage_count', 'preset_usage', 'preset_id', 'last_used_at', 'created_at', 'user_id');
SELECT attach_usage_tally('presets', 'id', 'usage_count', 'preset_usage', 'preset_id');
\echo :LAST_ERROR_SQLSTATE

-- INSERT: one row, several, none, of no preset
INSERT INTO preset_usage (preset_id) VALUES (3);
INSERT INTO preset_usage (preset_id, created_at) VALUES (1, '2026-03-11'), (1, '2026-03-09'), (4, NULL), (NULL, '2026-03-12');
INSERT INTO preset_usage (preset_id) SELECT 1 WHERE false;
:presets;
:wrong;

-- UPDATE: of the key, to and from none, of the time, of something else
UPDATE preset_usage SET preset_id = 2 WHERE preset_id = 3;
UPDATE preset_usage SET preset_id = NULL WHERE created_at = '2026-03-11';
UPDATE preset_usage SET preset_id = 4 WHERE created_at = '2026-03-04';
:presets;
:wrong;
UPDATE preset_usage SET created_at = '2026-03-05' WHERE preset_id = 2;
:presets;
:wrong;
CREATE FUNCTION count_writes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% % rows', TG_OP, (SELECT count(*) FROM changed); RETURN NULL; END $$;
CREATE TRIGGER count_writes AFTER UPDATE ON presets REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_writes();
UPDATE preset_usage SET note = 'x';
UPDATE preset_usage SET preset_id = preset_id;
INSERT INTO preset_usage (preset_id) SELECT 1 + n % 3 FROM generate_series(1, 300) AS n;
DELETE FROM preset_usage WHERE id IN (SELECT id FROM preset_usage ORDER BY id DESC LIMIT 300);
DROP TRIGGER count_writes ON presets;
:wrong;

-- A trigger before the row changes the key, which the statement does not name
CREATE FUNCTION move_use() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.preset_id := 4; RETURN NEW; END $$;
CREATE TRIGGER move_use BEFORE UPDATE ON preset_usage FOR EACH ROW WHEN (NEW.note = 'move') EXECUTE FUNCTION move_use();
UPDATE preset_usage SET note = 'move' WHERE preset_id = 2;
:presets;
:wrong;
DROP TRIGGER move_use ON preset_usage;

-- DELETE: the latest use is an earlier one again, or none
DELETE FROM preset_usage WHERE preset_id = 1 AND created_at > '2026-03-02';
DELETE FROM preset_usage WHERE preset_id = 4 AND created_at IS NULL;
:presets;
DELETE FROM preset_usage WHERE preset_id = 4;
:presets;
:wrong;

-- INSERT ... ON CONFLICT, MERGE, COPY, several changes in one statement
INSERT INTO preset_usage (id, preset_id) VALUES (1, 3), (1000, 3) ON CONFLICT (id) DO UPDATE SET preset_id = 3;
:presets;
:wrong;
MERGE INTO preset_usage AS u USING (VALUES (1), (2), (1001)) AS v (id) ON u.id = v.id
 WHEN MATCHED AND v.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET preset_id = 4 WHEN NOT MATCHED THEN INSERT (id, preset_id) VALUES (v.id, 2);
:presets;
:wrong;
COPY preset_usage (preset_id) FROM stdin;
1
1
\N
4
\.
WITH gone AS (DELETE FROM preset_usage WHERE preset_id = 1 RETURNING 2 AS preset_id)
INSERT INTO preset_usage (preset_id) SELECT preset_id FROM gone;
:presets;
:wrong;

-- Rollback, savepoints
SAVEPOINT s;
INSERT INTO preset_usage (preset_id) VALUES (1);
ROLLBACK TO s;
:wrong;

-- A preset goes, with its uses; another one's key changes, its uses follow
DELETE FROM presets WHERE id = 4;
:presets;
:wrong;

-- What the application writes itself is found and mended
UPDATE presets SET usage_count = 99 WHERE id = 1;
UPDATE presets SET last_used_at = '2030-01-01' WHERE id = 2;
:wrong;
SELECT sync_usage_tally('presets', 'usage_count');
SELECT sync_usage_tally('presets', 'usage_count');
:wrong;

-- TRUNCATE, also by the table it depends on
SAVEPOINT s;
TRUNCATE preset_usage;
:presets;
ROLLBACK TO s;
TRUNCATE presets CASCADE;
INSERT INTO presets SELECT n, 'preset ' || n FROM generate_series(1, 4) AS n;

-- A count beyond the column's type
UPDATE presets SET usage_count = 2147483647 WHERE id = 1;
INSERT INTO preset_usage (preset_id) VALUES (1);
\echo :LAST_ERROR_SQLSTATE
SELECT sync_usage_tally('presets', 'usage_count');

-- Whatever the caller may do: nothing but INSERT, behind row security, with a path of his own
CREATE ROLE regress_ut_guest;
CREATE SCHEMA trap AUTHORIZATION regress_ut_guest;
ALTER TABLE presets ENABLE ROW LEVEL SECURITY;
ALTER TABLE presets FORCE ROW LEVEL SECURITY;
GRANT INSERT ON preset_usage TO regress_ut_guest;
GRANT USAGE ON SEQUENCE preset_usage_id_seq TO regress_ut_guest;
SET LOCAL ROLE regress_ut_guest;
CREATE FUNCTION trap.no(bigint, integer) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR trap.<> (FUNCTION = trap.no, LEFTARG = bigint, RIGHTARG = integer);
CREATE FUNCTION trap.sum(integer) RETURNS bigint LANGUAGE sql AS 'SELECT 1000::bigint';
CREATE TEMP TABLE presets (id integer PRIMARY KEY, usage_count integer);
CREATE TEMP TABLE usage_tracking_new (preset_id integer, created_at timestamptz);
SET LOCAL search_path = trap, pg_temp, pg_catalog;
INSERT INTO public.preset_usage (preset_id, user_id, created_at)
VALUES (1, 'gus', '2026-03-10 11:00+00'), (2, 'gus', '2026-03-10 10:00+00');
SET LOCAL check_function_bodies = off;
INSERT INTO public.preset_usage (preset_id, user_id, created_at) VALUES (2, 'gus', '2026-03-10 11:00+00');
RESET check_function_bodies;
DROP TABLE pg_temp.presets, pg_temp.usage_tracking_new;
RESET ROLE;
SET LOCAL search_path = public;
:presets;
:wrong;

-- A restore has counted already
SET LOCAL check_function_bodies = off;
INSERT INTO preset_usage (preset_id) VALUES (3);
RESET check_function_bodies;
:wrong;
SELECT sync_usage_tally('presets', 'usage_count');

-- Reports
INSERT INTO preset_usage (preset_id, user_id, created_at)
SELECT 1, 'mallory', '2026-03-10 11:59+00' FROM generate_series(1, 1000);
INSERT INTO preset_usage (preset_id, user_id, created_at) SELECT 2, 'user ' || n, '2026-03-03 12:00+00' FROM generate_series(1, 10) AS n;
INSERT INTO preset_usage (preset_id, user_id, created_at) VALUES (3, 'ann', '2026-03-12'), (3, NULL, '2026-03-10'), (2, 'ann', '2025-01-01');
SELECT * FROM popular_resources('presets', 'usage_count');
SELECT * FROM popular_resources('presets', 'usage_count', 1);
SELECT * FROM trending_resources('presets', 'usage_count');
SELECT * FROM trending_resources('presets', 'usage_count', '1 day', 1);
SELECT * FROM get_top_resource_users('presets', 'usage_count', '1');
SELECT * FROM get_top_resource_users('presets', 'usage_count', '2', 2);
SELECT * FROM get_usage_heatmap('presets', 'usage_count') WHERE uses > 0;
SELECT * FROM get_usage_heatmap('presets', 'usage_count', '2', 1, 'Asia/Tokyo') WHERE uses > 0;
SELECT count(*), min(weekday), max(weekday), min(hour), max(hour) FROM get_usage_heatmap('presets', 'usage_count');
\set VERBOSITY terse
SELECT * FROM get_usage_heatmap('presets', 'usage_count', 'no number');
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE

-- They show what their caller may read, and no more
SELECT grant_usage_access('regress_ut_guest') \g /dev/null
SET LOCAL ROLE regress_ut_guest;
SELECT * FROM popular_resources('presets', 'usage_count');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
GRANT SELECT ON presets, preset_usage TO regress_ut_guest;
ALTER TABLE preset_usage ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON preset_usage USING (user_id = 'gus');
CREATE POLICY few ON presets USING (id > 1);
SET LOCAL ROLE regress_ut_guest;
SELECT * FROM popular_resources('presets', 'usage_count');
SELECT * FROM trending_resources('presets', 'usage_count');
SELECT * FROM get_top_resource_users('presets', 'usage_count', '1');
SELECT * FROM get_usage_heatmap('presets', 'usage_count') WHERE uses > 0;
SELECT sync_usage_tally('presets', 'usage_count');
RESET ROLE;
ALTER TABLE preset_usage DISABLE ROW LEVEL SECURITY;

-- Detach: counts stay, and change no more
SELECT detach_usage_tally('presets', 'usage_count') \g /dev/null
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'preset_usage'::regclass AND NOT tgisinternal;
DELETE FROM preset_usage;
SELECT id, usage_count FROM presets ORDER BY id;
:wrong;
\echo :LAST_ERROR_SQLSTATE
SELECT detach_usage_tally('presets', 'usage_count');
SELECT sync_usage_tally('presets', 'name');

-- Two tallies of one source, two of one target; of one table in itself; text, numeric, a domain, times without zone
CREATE DOMAIN slug AS text CHECK (VALUE <> 'evil');
CREATE TABLE tags (slug varchar(20) PRIMARY KEY, uses numeric, likes bigint, last_like timestamp);
CREATE TABLE words (tag slug, id integer UNIQUE, parent bigint, replies smallint DEFAULT 0);
CREATE TABLE likes ("the ""tag""" slug, "when" timestamp);
INSERT INTO tags VALUES ('a'), ('b');
SELECT attach_usage_tally('tags', 'slug', 'uses', 'words', 'tag'), attach_usage_tally('words', 'id', 'replies', 'words', 'parent'),
       attach_usage_tally('tags', 'slug', 'likes', 'likes', 'the "tag"', 'last_like', 'when');
INSERT INTO words VALUES ('a', 1, NULL), ('a', 2, 1), ('b', 3, 1);
INSERT INTO words VALUES ('c', 4, 3);
INSERT INTO likes VALUES ('b', '2026-03-10 10:00'), ('b', NULL), ('a', '2026-03-10 10:00');
UPDATE words SET parent = 2 WHERE id = 3;
DELETE FROM likes WHERE "the ""tag""" = 'a';
TABLE tags ORDER BY slug;
SELECT id, replies FROM words ORDER BY id;
SELECT 'wrong', * FROM verify_usage_tally('tags', 'uses');
SELECT 'wrong', * FROM verify_usage_tally('tags', 'likes');
SELECT 'wrong', * FROM verify_usage_tally('words', 'replies');
SELECT * FROM popular_resources('tags', 'likes');
SELECT * FROM trending_resources('tags', 'likes');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM get_usage_heatmap('tags', 'uses');
SELECT key, uses FROM popular_resources('words', 'replies');
SELECT weekday, hour, uses FROM get_usage_heatmap('tags', 'likes') WHERE uses > 0;
SELECT detach_usage_tallies('words');
SELECT detach_usage_tallies('words');

-- Renamed: the next change says so
ALTER TABLE tags RENAME TO labels;
INSERT INTO likes VALUES ('a');
\echo :LAST_ERROR_SQLSTATE
SELECT detach_usage_tally('labels', 'likes');
SELECT detach_usage_tallies('likes');
INSERT INTO likes VALUES ('a');
SELECT attach_usage_tally('labels', 'slug', 'likes', 'likes', 'the "tag"');
ALTER TABLE labels RENAME likes TO loves;
INSERT INTO likes VALUES ('a');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE labels RENAME loves TO likes;
ALTER TABLE likes RENAME "the ""tag""" TO tag;
DELETE FROM likes;
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE likes RENAME tag TO "the ""tag""";
ALTER TABLE likes RENAME TO loves;
INSERT INTO loves VALUES ('a');
SELECT slug, likes FROM labels ORDER BY slug;
ALTER TABLE labels ALTER likes TYPE text;
INSERT INTO loves VALUES ('a');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE labels ALTER likes TYPE integer USING likes::integer;
ALTER TABLE loves ALTER "the ""tag""" TYPE integer USING 1;
INSERT INTO loves VALUES (1);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE loves ALTER "the ""tag""" TYPE text;
ALTER TABLE loves OWNER TO regress_ut_guest;
INSERT INTO loves VALUES ('a');
\echo :LAST_ERROR_SQLSTATE
DROP TABLE labels CASCADE;
TRUNCATE loves;
\echo :LAST_ERROR_SQLSTATE

-- Partitions: by the parent, by themselves, from one to another; attached and detached later
CREATE TABLE things (id integer, uses integer DEFAULT 0, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE things_1 PARTITION OF things FOR VALUES FROM (0) TO (10);
CREATE TABLE things_2 PARTITION OF things DEFAULT;
CREATE TABLE thing_uses (thing integer, day integer) PARTITION BY RANGE (day);
CREATE TABLE thing_uses_1 PARTITION OF thing_uses FOR VALUES FROM (0) TO (10);
CREATE TABLE thing_uses_2 (day integer, gone text, thing integer);
ALTER TABLE thing_uses_2 DROP gone;
ALTER TABLE thing_uses ATTACH PARTITION thing_uses_2 FOR VALUES FROM (10) TO (20);
INSERT INTO things VALUES (1), (2), (20);
SELECT attach_usage_tally('things', 'id', 'uses', 'thing_uses', 'thing');
INSERT INTO thing_uses VALUES (1, 1), (1, 11), (20, 1), (20, 2);
INSERT INTO thing_uses_2 VALUES (12, 20), (13, 2);
UPDATE thing_uses SET day = 15 WHERE day = 1;
UPDATE thing_uses_2 SET thing = 1 WHERE thing = 2;
DELETE FROM thing_uses_1;
TABLE things ORDER BY id;
SELECT 'wrong', * FROM verify_usage_tally('things', 'uses');
TRUNCATE thing_uses_2;
TABLE things ORDER BY id;
CREATE TABLE thing_uses_3 PARTITION OF thing_uses DEFAULT;
INSERT INTO thing_uses VALUES (1, 100);
SELECT attach_usage_tally('things', 'id', 'uses', 'thing_uses', 'thing');
INSERT INTO thing_uses_3 VALUES (1, 101);
TABLE things ORDER BY id;
ALTER TABLE thing_uses DETACH PARTITION thing_uses_3;
SELECT * FROM verify_usage_tally('things', 'uses');
SELECT sync_usage_tally('things', 'uses');
INSERT INTO thing_uses_3 VALUES (1, 101);
SELECT 'wrong', * FROM verify_usage_tally('things', 'uses');
SELECT detach_usage_tally('things', 'uses') \g /dev/null
SELECT count(*) FROM pg_trigger WHERE tgname ~ '^usage_tally' AND tgrelid::regclass::text ~ '^thing';

-- Refused
CREATE VIEW preset_view AS SELECT id AS preset_id FROM presets;
CREATE TEMP TABLE temporary_uses (preset_id integer);
CREATE TABLE parent (preset_id integer, "time" date, user_id text, usage_count text);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE ruled (id integer PRIMARY KEY, uses integer);
CREATE RULE nothing AS ON UPDATE TO ruled DO INSTEAD NOTHING;
CREATE TABLE foreign_owner (preset_id integer, preset_name text COLLATE "C", kind point);
ALTER TABLE foreign_owner OWNER TO regress_ut_guest;
CREATE TYPE own AS (x integer);
CREATE TABLE plain (preset_id integer, preset_name text COLLATE "C", kind own, "time" date, stamp timestamp);
CREATE FUNCTION pg_temp.refused(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE hint text; BEGIN
    EXECUTE format('SELECT attach_usage_tally(%s)', arguments);
    RETURN 'attached';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, NULLIF(hint, ''));
END $$;
ALTER TABLE presets ADD UNIQUE (name);
SELECT arguments || ': ' || pg_temp.refused(arguments) FROM unnest(ARRAY[
    '''preset_view'', ''preset_id'', ''usage_count'', ''preset_usage'', ''preset_id''',
    '''presets'', ''id'', ''usage_count'', ''preset_view'', ''preset_id''',
    '''presets'', ''id'', ''usage_count'', 1, ''preset_id''',
    '2, ''id'', ''usage_count'', ''preset_usage'', ''preset_id''',
    '''presets'', ''id'', ''usage_count'', ''temporary_uses'', ''preset_id''',
    '''presets'', ''id'', ''usage_count'', ''parent'', ''preset_id''',
    '''presets'', ''id'', ''usage_count'', ''child'', ''preset_id''',
    '''presets'', ''id'', ''usage_count'', ''thing_uses_1'', ''thing''',
    '''parent'', ''preset_id'', ''usage_count'', ''preset_usage'', ''preset_id''',
    '''ruled'', ''id'', ''uses'', ''preset_usage'', ''preset_id''',
    '''presets'', ''usage_count'', ''id'', ''preset_usage'', ''preset_id''',
    '''presets'', ''nothing'', ''usage_count'', ''preset_usage'', ''preset_id''',
    '''presets'', ''id'', ''nothing'', ''preset_usage'', ''preset_id''',
    '''presets'', ''id'', ''name'', ''preset_usage'', ''preset_id''',
    '''presets'', ''id'', ''id'', ''preset_usage'', ''preset_id''',
    '''presets'', ''id'', ''usage_count'', ''preset_usage'', ''nothing''',
    '''presets'', ''id'', ''usage_count'', ''preset_usage'', ''ctid''',
    '''presets'', ''id'', ''usage_count'', ''preset_usage'', ''note''',
    '''presets'', ''id'', ''usage_count'', ''preset_usage'', ''preset_id'', ''last_used_at''',
    '''presets'', ''id'', ''usage_count'', ''preset_usage'', ''preset_id'', ''last_used_at'', ''nothing''',
    '''presets'', ''id'', ''usage_count'', ''preset_usage'', ''preset_id'', ''nothing'', ''created_at''',
    '''presets'', ''id'', ''usage_count'', ''preset_usage'', ''preset_id'', ''usage_count'', ''created_at''',
    '''presets'', ''id'', ''usage_count'', ''plain'', ''preset_id'', NULL, ''time''',
    '''presets'', ''id'', ''usage_count'', ''plain'', ''preset_id'', ''last_used_at'', ''stamp''',
    '''presets'', ''id'', ''usage_count'', ''preset_usage'', ''preset_id'', NULL, NULL, ''nobody''',
    '''presets'', ''id'', ''usage_count'', ''plain'', ''kind''',
    '''presets'', ''name'', ''usage_count'', ''plain'', ''preset_name''',
    '''presets'', ''id'', ''usage_count'', ''foreign_owner'', ''preset_id''',
    'NULL, ''id'', ''usage_count'', ''preset_usage'', ''preset_id''',
    '''presets'', ''id'', ''usage_count'', ''preset_usage'', NULL']) AS arguments;
SELECT attach_usage_tally('presets', 'id', 'usage_count', 'preset_usage', 'preset_id') \g /dev/null
SELECT pg_temp.refused('''presets'', ''id'', ''usage_count'', ''plain'', ''preset_id''');

-- Not somebody else's tables; not by whoever may make triggers on a table
GRANT USAGE ON SCHEMA public TO regress_ut_guest;
GRANT TRIGGER, UPDATE ON preset_usage TO regress_ut_guest;
SET LOCAL ROLE regress_ut_guest;
SELECT attach_usage_tally('presets', 'id', 'usage_count', 'preset_usage', 'preset_id');
CREATE TRIGGER own AFTER INSERT ON preset_usage REFERENCING NEW TABLE AS usage_tracking_new FOR EACH STATEMENT
    EXECUTE FUNCTION _count_tally('public', 'presets', 'id', 'id', 'preset_id', '', '', '', '');
RESET ROLE;
GRANT EXECUTE ON FUNCTION attach_usage_tally, detach_usage_tally, detach_usage_tallies, sync_usage_tally, verify_usage_tally, _count_tally TO regress_ut_guest;
GRANT CREATE ON SCHEMA public TO regress_ut_guest;
SET LOCAL ROLE regress_ut_guest;
SELECT attach_usage_tally('presets', 'id', 'usage_count', 'preset_usage', 'preset_id');
SELECT attach_usage_tally('presets', 'id', 'usage_count', 'foreign_owner', 'preset_id');
SELECT detach_usage_tally('presets', 'usage_count');
SELECT detach_usage_tallies('preset_usage');
SELECT sync_usage_tally('presets', 'usage_count');
SELECT * FROM verify_usage_tally('presets', 'usage_count');

-- The owner of the tables, if he was granted the functions; what he makes by hand changes nobody else's table
CREATE TABLE own_presets (id integer PRIMARY KEY, uses integer DEFAULT 0);
INSERT INTO own_presets VALUES (1);
SELECT attach_usage_tally('own_presets', 'id', 'uses', 'foreign_owner', 'preset_id');
INSERT INTO foreign_owner VALUES (1);
TABLE own_presets;
CREATE TRIGGER own AFTER INSERT ON foreign_owner REFERENCING NEW TABLE AS usage_tracking_new FOR EACH STATEMENT
    EXECUTE FUNCTION _count_tally('public', 'presets', 'id', 'usage_count', 'preset_id', '', '', '', '');
INSERT INTO foreign_owner VALUES (1);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT detach_usage_tally('presets', 'usage_count') \g /dev/null
SELECT attach_usage_tally('presets', 'id', 'usage_count', 'preset_usage', 'preset_id') \g /dev/null
SET LOCAL ROLE regress_ut_guest;
DROP TRIGGER own ON foreign_owner;
CREATE TRIGGER own AFTER INSERT ON foreign_owner REFERENCING NEW TABLE AS other_name FOR EACH STATEMENT
    EXECUTE FUNCTION _count_tally('public', 'own_presets', 'id', 'uses', 'preset_id', '', '', '', '');
INSERT INTO foreign_owner VALUES (1);
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER own ON foreign_owner;
CREATE TRIGGER own AFTER INSERT ON foreign_owner FOR EACH ROW
    EXECUTE FUNCTION _count_tally('public', 'own_presets', 'id', 'uses', 'preset_id', '', '', '', '');
INSERT INTO foreign_owner VALUES (1);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- The trigger for INSERT is the tally, under whatever name; while it is disabled, and without it, the others do nothing
CREATE TABLE songs (id integer PRIMARY KEY, uses integer NOT NULL DEFAULT 0);
CREATE TABLE plays (song integer, day integer) PARTITION BY RANGE (day);
CREATE TABLE plays_1 PARTITION OF plays FOR VALUES FROM (0) TO (10);
INSERT INTO songs VALUES (1), (2);
INSERT INTO plays VALUES (1, 1), (1, 2), (2, 3);
SELECT attach_usage_tally('songs', 'id', 'uses', 'plays', 'song');
ALTER TRIGGER usage_tally_insert_1 ON plays RENAME TO count_plays;
INSERT INTO plays VALUES (1, 4);
DELETE FROM plays WHERE song = 2;
SELECT attach_usage_tally('songs', 'id', 'uses', 'plays', 'song');
TABLE songs ORDER BY id;
ALTER TABLE plays DISABLE TRIGGER count_plays;
INSERT INTO plays VALUES (2, 5);
DELETE FROM plays WHERE song = 2;
TABLE songs ORDER BY id;
ALTER TABLE plays ENABLE TRIGGER count_plays;
DROP TRIGGER count_plays ON plays;
INSERT INTO plays VALUES (2, 6), (1, 6);
INSERT INTO plays_1 VALUES (2, 7);
UPDATE plays SET song = 2 WHERE day < 2;
UPDATE plays_1 SET song = 2 WHERE day = 2;
DELETE FROM plays_1 WHERE day = 6;
TRUNCATE plays_1;
TRUNCATE plays;
TABLE songs ORDER BY id;
SELECT sync_usage_tally('songs', 'uses');
INSERT INTO plays VALUES (2, 8);
SELECT attach_usage_tally('songs', 'id', 'uses', 'plays', 'song');
INSERT INTO plays VALUES (2, 9);
DELETE FROM plays_1 WHERE day = 8;
TABLE songs ORDER BY id;
SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgrelid::regclass::text ~ '^plays' GROUP BY 1 ORDER BY 1;
DROP TRIGGER usage_tally_insert_1 ON plays;
SELECT detach_usage_tallies('plays');
SELECT count(*) FROM pg_trigger WHERE tgrelid::regclass::text ~ '^plays';

-- The extension goes when it is told to take the triggers with it
\set VERBOSITY terse
DROP EXTENSION usage_tracking;
\echo :LAST_ERROR_SQLSTATE
SET LOCAL client_min_messages = warning;
DROP EXTENSION usage_tracking CASCADE;
INSERT INTO preset_usage (preset_id) VALUES (1);
SELECT count(*) FROM pg_trigger WHERE tgname ~ '^usage_tally';
ROLLBACK;
