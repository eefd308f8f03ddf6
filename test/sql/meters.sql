/* meters: what can be counted?
 *
 * A type is registered, or a use of it is an error: a typing mistake must never
 * be "allowed".
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
BEGIN;

-- Registered once; the same again changes nothing, a description given changes it
SELECT define_usage_type('video', 'Rendered videos');
SELECT define_usage_type('image');
SELECT xmin AS before FROM usage_types WHERE usage_type = 'video' \gset
SELECT define_usage_type('video', 'Rendered videos');
SELECT define_usage_type('video');
SELECT description, xmin = :before AS untouched FROM usage_types WHERE usage_type = 'video';
SELECT define_usage_type('video', 'Videos');
SELECT * FROM usage_types ORDER BY usage_type;

-- It counts from the next statement on, also when registered by hand, until it is taken away
SELECT reason FROM consume_usage(:'ann', 'render.4k');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO usage_types VALUES ('render.4k');
SELECT reason FROM consume_usage(:'ann', 'render.4k');
DELETE FROM usage_types WHERE usage_type = 'render.4k';
SELECT reason FROM consume_usage(:'ann', 'render.4k');
\echo :LAST_ERROR_SQLSTATE

-- Rolled back, it was never there
SAVEPOINT s;
SELECT define_usage_type('gone');
SELECT reason FROM check_usage_limit(:'ann', 'gone');
ROLLBACK TO s;
SELECT reason FROM check_usage_limit(:'ann', 'gone');

-- Names; a type of a limit stays as long as the limit
\set VERBOSITY terse
SELECT define_usage_type('a' || repeat('_', 62));
SELECT define_usage_type('a' || repeat('_', 63));
\echo :LAST_ERROR_SQLSTATE
SELECT define_usage_type('Video');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
INSERT INTO usage_types VALUES ('1video');
SELECT define_usage_limit('videos_daily', 'video', 5);
DELETE FROM usage_types WHERE usage_type = 'video';
\set VERBOSITY default

-- A name is a type or a limit, not both, whichever comes first and however it comes
SELECT define_usage_type('videos_daily');
\echo :LAST_ERROR_SQLSTATE
SELECT define_usage_limit('image', 'video', 5);
\echo :LAST_ERROR_SQLSTATE
SELECT define_usage_limit('both', 'both', 5);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO usage_types VALUES ('videos_daily');
\echo :LAST_ERROR_SQLSTATE
UPDATE usage_limits SET limit_type = 'image';
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
