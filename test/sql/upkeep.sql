/* upkeep: what happens with time?
 *
 * Nothing here is needed for an exact answer; it makes partitions ahead, and
 * says what it did and what it had to leave.
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
\set partitions 'SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = ''usage_events''::regclass ORDER BY inhrelid::regclass::text COLLATE "C"'
BEGIN;
SELECT define_usage_type('video');

-- This month and the next two, once
SELECT * FROM usage_maintenance();
SELECT * FROM usage_maintenance();
:partitions;

-- By the extension's clock, in UTC, over the end of a year
SET usage_tracking.clock = '2026-11-30 23:59:59.999999+00';
SET TimeZone = 'Asia/Tokyo';
SELECT * FROM usage_maintenance(600);
SET TimeZone = 'UTC';
:partitions;
SET usage_tracking.clock = '2026-12-01 00:00+00';
SELECT * FROM usage_maintenance();

-- A month whose events are in DEFAULT already is left, and does not stop the others
SET usage_tracking.clock = '2026-06-15 12:00+00';
SELECT reason FROM consume_usage('00000000-0000-0000-0000-00000000000a', 'video');
SELECT * FROM usage_maintenance();
SELECT * FROM usage_maintenance();
SELECT tableoid::regclass FROM usage_events;
:partitions;

-- It takes a positive time
SELECT * FROM usage_maintenance(0);
SELECT * FROM usage_maintenance(-1);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
