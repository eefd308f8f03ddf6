/* upkeep: what happens with time?
 *
 * Nothing here is needed for an exact answer, and nothing here changes one:
 * user_usage and reconcile_usage() say the same before and after, whether events
 * change their place, are dropped and summed, or counters go.
 *
 * What concurrent sessions see is in the specs retention_while_writing and
 * moving_while_writing; deleted users are in signups.
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
\set partitions 'SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = ''usage_events''::regclass ORDER BY inhrelid::regclass::text COLLATE "C"'
\set maintain 'SELECT * FROM usage_maintenance() WHERE done > 0 OR "left" > 0'
\set carried 'SELECT right(user_id::text, 1), usage_type, status, limit_id > 0 AS adjusts, month::date, events, quantity, tokens, cost FROM usage_carried ORDER BY 1, month, usage_type, status, limit_id'
BEGIN;
SELECT define_usage_type('video');

-- This month and the next two, once; every task says what it did
SELECT * FROM usage_maintenance();
:maintain;
:partitions;

-- By the extension's clock, in UTC, over the end of a year
SET usage_tracking.clock = '2026-11-30 23:59:59.999999+00';
SET TimeZone = 'Asia/Tokyo';
:maintain;
SET TimeZone = 'UTC';
:partitions;
SET usage_tracking.clock = '2026-12-01 00:00+00';
:maintain;

-- It takes a positive time, and a snapshot of its own
SELECT * FROM usage_maintenance(0);
SELECT * FROM usage_maintenance(-1);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM usage_maintenance();
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- ---- months whose events lie in the DEFAULT partition ----

BEGIN;
CREATE TABLE before (what text, state text);
CREATE FUNCTION state() RETURNS TABLE (what text, state text) LANGUAGE sql VOLATILE AS $$
    SELECT 'events', md5(string_agg(e::text, ',' ORDER BY id)) FROM usage_events AS e
     UNION ALL SELECT 'usage of ' || right(s.user_id::text, 1), u::text FROM user_subscriptions AS s, LATERAL _usage_of_user(s.user_id) AS u
     UNION ALL SELECT 'differences', count(*)::text FROM reconcile_usage()
$$;
\set remember 'DELETE FROM before; INSERT INTO before SELECT * FROM state()'
\set changed 'SELECT what, CASE WHEN what <> ''events'' THEN b.state END AS was, CASE WHEN what <> ''events'' THEN s.state END AS is FROM before AS b FULL JOIN state() AS s USING (what, state) WHERE b IS NULL OR s IS NULL ORDER BY 1, 2, 3'
SELECT define_usage_limit('per_day', 'video', 100), define_usage_limit('per_month', 'video', 1000, period => '1 month', measure => 'events'),
       define_usage_limit('ever', NULL, 1000000, 'lifetime', measure => 'tokens', statuses => '{success,failed}');
SET usage_tracking.max_event_age = '200d';
SELECT count(track_usage(u::uuid, 'video', n, n * n, n / 1000.0, CASE n % 3 WHEN 0 THEN 'failed' ELSE 'success' END,
                         occurred_at => '2026-03-10 12:00+00'::timestamptz - n * interval '7 days 5 hours', metadata => '{"a": 1}'))
  FROM generate_series(0, 12) AS n, unnest(ARRAY[:'ann', :'bob']) AS u;
SELECT adjust_usage(:'ann', 'ever', 5000), adjust_usage(:'bob', 'per_month', 7, '2026-01-15 00:00+00');
SELECT id AS reversed FROM usage_events WHERE user_id = :'ann' AND quantity = 6 \gset
SELECT reverse_usage(:'ann', :reversed, reason => 'a mistake');
RESET usage_tracking.max_event_age;
SELECT tableoid::regclass, count(*) FROM usage_events GROUP BY 1;
SELECT create_usage_partition('2026-02-01');
\echo :LAST_ERROR_SQLSTATE
:remember;
:maintain;
:changed;
:maintain;
SELECT tableoid::regclass, count(*), count(*) FILTER (WHERE date_trunc('month', occurred_at) <> to_date(right(tableoid::regclass::text, 7), 'YYYY_MM')) AS misplaced
  FROM usage_events GROUP BY 1 ORDER BY tableoid::regclass::text COLLATE "C";
SELECT partition, action, events FROM usage_partition_log ORDER BY 1;

-- They are months like all others, and history is as closed as it was
SELECT relname, relrowsecurity, (SELECT string_agg(tgname, ' ' ORDER BY tgname COLLATE "C") FROM pg_trigger WHERE tgrelid = c.oid),
       (SELECT string_agg(regexp_replace(indexdef, '^.* USING ', ''), '; ' ORDER BY indexdef) FROM pg_indexes WHERE tablename = relname)
  FROM pg_class AS c WHERE relname IN ('usage_events_2026_02', 'usage_events_2026_04') ORDER BY 1;
UPDATE usage_events SET quantity = 0;
DELETE FROM usage_events_2026_02;
TRUNCATE usage_events_2026_02;
TRUNCATE usage_events_default;
SELECT * FROM usage_security_check();

-- A row that appears while it copies is not lost, nor is one that was copied before; a copy is no event
CREATE FUNCTION in_default(n integer, at timestamptz) RETURNS bigint LANGUAGE sql AS
    $$ SELECT count(track_usage('00000000-0000-0000-0000-00000000000a', 'video', 1, occurred_at => at + i * interval '1 minute')) FROM generate_series(1, n) AS i $$;
SET usage_tracking.clock = '2026-08-10 12:00+00';
SELECT in_default(50, '2026-08-01 00:00+00'), in_default(50, '2026-07-31 23:00+00');
:remember;
SELECT complete, settled = (SELECT last_value FROM usage_events_id_seq) FROM _copy_default_rows('infinity');
SELECT count(*) AS copies FROM usage_events_moving;
:changed;
UPDATE usage_events_moving SET quantity = 0;
DELETE FROM usage_events_moving;
TRUNCATE usage_events_moving;
SELECT create_usage_partition('2026-08-01');
SELECT in_default(3, '2026-08-02 00:00+00');
:remember;
SELECT complete FROM _copy_default_rows('-infinity');
SELECT settled FROM _copy_default_rows('infinity') \gset
SELECT in_default(2, '2026-08-03 00:00+00');
SELECT _move_default_rows(:settled);
SELECT tableoid::regclass, count(*) FROM usage_events WHERE occurred_at > '2026-07-01' GROUP BY 1 ORDER BY tableoid::regclass::text COLLATE "C";
SELECT count(*) AS copies FROM usage_events_moving;
SELECT * FROM reconcile_usage();

-- Copies that are not what they are copies of are thrown away
SET usage_tracking.clock = '2026-09-10 12:00+00';
SELECT in_default(5, '2026-09-01 00:00+00');
SELECT settled FROM _copy_default_rows('infinity') \gset
ALTER TABLE usage_events_moving DISABLE TRIGGER history_is_kept;
DELETE FROM usage_events_moving WHERE occurred_at < '2026-09-01 00:03+00';
ALTER TABLE usage_events_moving ENABLE TRIGGER history_is_kept;
SELECT _move_default_rows(:settled), to_regclass('usage_events_2026_09');
:maintain;
SELECT count(*) FROM usage_events_2026_09;
ROLLBACK;

-- ---- rows that nothing asks for any more ----

BEGIN;
SELECT define_usage_limit('per_day', 'video', 100), define_usage_limit('changing', 'video', 1000, 'lifetime');
SELECT (consume_usage(:'ann', 'video', idempotency_key => 'old')).reason, (reserve_usage(:'ann', 'video', expires_in => '1 hour')).reason,
       (reserve_usage(:'ann', 'video', expires_in => '40 days', idempotency_key => 'long')).reason;
SELECT release_usage(:'ann', (reserve_usage(:'ann', 'video')).id), allowed FROM commit_usage(:'ann', (reserve_usage(:'ann', 'video')).id);
SELECT define_usage_limit('changing', NULL, 1000, 'lifetime');
SELECT usage_maintenance() \g /dev/null
SELECT l.limit_type, c.window_start, c.used FROM _counted_usage() AS c LEFT JOIN usage_limits AS l USING (limit_id) ORDER BY 1, 2;

-- Keys, reservations and closed windows go when they are older than any late event
SET usage_tracking.clock = '2026-04-14 12:00+00';
SELECT reason FROM consume_usage(:'ann', 'video', idempotency_key => 'new');
SELECT task, done FROM usage_maintenance() WHERE done > 0 AND task <> 'partitions';
SELECT state, count(*) FROM usage_reservations GROUP BY 1 ORDER BY 1;
SET usage_tracking.clock = '2026-04-14 12:00:00.000001+00';
SELECT task, done FROM usage_maintenance() WHERE done > 0 AND task <> 'partitions';
SELECT idempotency_key FROM usage_keys;
SELECT state, expires_at FROM usage_reservations;
SET usage_tracking.clock = '2026-04-15 12:00+00';
:maintain;
SELECT l.limit_type, c.window_start, c.used FROM _counted_usage() AS c LEFT JOIN usage_limits AS l USING (limit_id) ORDER BY 1, 2;
SELECT * FROM reconcile_usage();

-- Longer retention keeps both longer
SET usage_tracking.clock = '2026-05-25 12:00+00';
SET usage_tracking.idempotency_retention = '60d';
SELECT task, done FROM usage_maintenance() WHERE task IN ('keys', 'reservations');
RESET usage_tracking.idempotency_retention;
SELECT task, done FROM usage_maintenance() WHERE task IN ('keys', 'reservations');

-- An event in a window whose counter went is counted by its sum again
SET usage_tracking.max_event_age = '100d';
SELECT track_usage(:'ann', 'video', 5, occurred_at => '2026-03-10 13:00+00') > 0;
SET usage_tracking.clock = '2026-03-10 14:00+00';
SELECT used FROM check_usage_limit(:'ann', 'per_day');
SELECT * FROM reconcile_usage();
ROLLBACK;

-- ---- retention ----

BEGIN;
CREATE TABLE before (what text, state text);
CREATE FUNCTION state() RETURNS TABLE (what text, state text) LANGUAGE sql VOLATILE AS $$
    SELECT 'usage of ' || right(s.user_id::text, 1), u::text FROM user_subscriptions AS s, LATERAL _usage_of_user(s.user_id) AS u
     UNION ALL SELECT 'differences', count(*)::text FROM reconcile_usage()
$$;
SELECT define_usage_limit('per_day', 'video', 100), define_usage_limit('per_month', 'video', 1000, period => '1 month', measure => 'events'),
       define_usage_limit('per_30_days', 'video', 1000, 'anchored', '30 days'),
       define_usage_limit('ever', NULL, 1000000, 'lifetime', measure => 'tokens', statuses => '{success,failed}'),
       define_usage_limit('ever_uses', 'video', 1000000, 'lifetime', measure => 'events');
SELECT create_usage_partition(m::date) FROM generate_series('2025-09-01'::timestamptz, '2026-03-01', '1 month') AS m \g /dev/null
SET usage_tracking.max_event_age = '200d';
SELECT count(track_usage(u::uuid, 'video', n, n * n, n / 1000.0, CASE n % 3 WHEN 0 THEN 'failed' ELSE 'success' END,
                         occurred_at => '2026-03-10 12:00+00'::timestamptz - n * interval '7 days 5 hours', idempotency_key => 'k' || n))
  FROM generate_series(0, 24) AS n, unnest(ARRAY[:'ann', :'bob']) AS u;
SELECT id AS reversed FROM usage_events WHERE user_id = :'ann' AND quantity = 20 \gset
SELECT reverse_usage(:'ann', :reversed, 4), adjust_usage(:'bob', 'ever', 7, '2025-10-15 00:00+00');
RESET usage_tracking.max_event_age;
-- One of the two has no lifetime counter, so that his is the sum
DELETE FROM usage_counters WHERE user_id = :'bob' AND window_start = '-infinity';
:remember;

-- Off unless set; not before late events are over, nor in the middle of a window
:maintain;
SET usage_tracking.event_retention = '1d';
SELECT b.* FROM _clocks_in_use() AS c, _retention_bound(c.zones, c.longest) AS b;
:maintain;
:changed;
:partitions;
:carried;
SELECT partition, action, events FROM usage_partition_log ORDER BY 1;

-- What is dropped still counts: in what there is, in a limit made now, in windows that hold the month's first instant
SELECT limit_type, used FROM _usage_of_user(:'bob') ORDER BY limit_type;
SELECT define_usage_limit('new', 'video', 1000000, 'lifetime', statuses => '{success,failed}'), define_usage_limit('year', 'video', 1000000, period => '1 year');
SELECT used AS events_and_carried FROM check_usage_limit(:'ann', 'new');
SELECT (SELECT sum(quantity) FROM usage_events WHERE user_id = :'ann') + (SELECT sum(quantity) FROM usage_carried WHERE user_id = :'ann') AS the_same;
SELECT reason, used FROM consume_usage(:'ann', 'video', 1);
SELECT * FROM reconcile_usage();

-- A key whose event is gone is known as long as other keys
SELECT (track_usage(:'ann', 'video', 20, 400, 0.02, occurred_at => '2026-03-10 12:00+00'::timestamptz - 20 * interval '7 days 5 hours', idempotency_key => 'k20'));
SET usage_tracking.max_event_age = '200d';
SELECT track_usage(:'ann', 'video', 20, 400, 0.02, occurred_at => '2026-03-10 12:00+00'::timestamptz - 20 * interval '7 days 5 hours', idempotency_key => 'k20') = :reversed AS replayed;

-- An event that comes later still counts; its month is carried once more
SELECT track_usage(:'ann', 'video', 0.5, occurred_at => '2025-10-20 12:00+00') > 0;
RESET usage_tracking.max_event_age;
SELECT tableoid::regclass, quantity FROM usage_events WHERE occurred_at < '2025-12-01';
:remember;
:maintain;
:maintain;
:changed;
SELECT events, quantity FROM usage_carried WHERE user_id = :'ann' AND month = '2025-10-01' AND status = 'success';
SELECT partition, action, events FROM usage_partition_log ORDER BY logged_at, 1;
ROLLBACK;

-- What keeps a month: each by itself
BEGIN;
SELECT define_usage_type('video');
SELECT create_usage_partition('2025-01-01'), create_usage_partition('2025-02-01');
SET usage_tracking.max_event_age = '500d';
SELECT track_usage(:'ann', 'video', occurred_at => '2025-01-31 12:00+00') > 0;
RESET usage_tracking.max_event_age;
SET usage_tracking.event_retention = '30d';
\set bound 'SELECT b.* FROM _clocks_in_use() AS c, _retention_bound(c.zones, c.longest) AS b'
-- late events (35 days), if nothing else; retention, if it is longer
:bound;
SET usage_tracking.event_retention = '60d';
:bound;
SET usage_tracking.event_retention = '30d';
-- a calendar window, in the limit's zone, the setting's, a user's
SAVEPOINT s;
SELECT define_usage_limit('year', 'video', 9, period => '1 year', time_zone => 'Asia/Tokyo');
:bound;
SELECT define_usage_limit('year', 'video', 9, period => '1 year');
:bound;
SET usage_tracking.time_zone = 'America/New_York';
:bound;
RESET usage_tracking.time_zone;
SELECT set_user_clock(:'ann', 'Europe/Berlin');
:bound;
-- not a lifetime; an inactive limit counts on
SELECT define_usage_limit('year', 'video', 9, 'lifetime');
:bound;
SELECT define_usage_limit('year', 'video', 9, period => '1 month', is_active => false);
:bound;
ROLLBACK TO s;
-- an anchored window, wherever it may begin
SELECT define_usage_limit('quarter', 'video', 9, 'anchored', '90 days');
:bound;
ROLLBACK TO s;
-- a billing period, as long as the longest there is, and a month at least; a sliding window; not a gauge
SELECT define_usage_limit('paid', 'video', 9, 'billing');
:bound;
SELECT set_user_plan(:'ann', 'pro', billing_period_start => '2026-03-01', billing_period_end => '2027-03-01') FROM install_default_plans();
:bound;
SELECT define_usage_limit('paid', 'video', 9, 'sliding', '60 days');
:bound;
SELECT define_usage_limit('paid', 'video', 9, 'gauge');
:bound;
ROLLBACK TO s;
-- a counter of an earlier clock, as long as it may count
SELECT define_usage_limit('year', 'video', 9, period => '1 year'), set_user_clock(:'ann', 'Asia/Tokyo');
SELECT reason FROM consume_usage(:'ann', 'video');
SELECT set_user_clock(:'ann', 'UTC');
:bound;
SET usage_tracking.clock = '2027-02-04 14:59:59+00';
:bound;
SET usage_tracking.clock = '2027-02-04 15:00+00';
:bound;
SET usage_tracking.clock = '2026-03-10 12:00+00';
ROLLBACK TO s;
-- a reservation that is live
SET usage_tracking.clock = '2026-01-15 12:00+00';
SELECT id AS hold FROM reserve_usage(:'ann', 'video', expires_in => '60 days') \gset
SET usage_tracking.clock = '2026-03-10 12:00+00';
:bound;
SELECT release_usage(:'ann', :hold);
:bound;
ROLLBACK TO s;

-- A view of the application's on a month keeps it, with a warning
CREATE VIEW january AS SELECT * FROM usage_events_2025_01;
SELECT task, done, "left" FROM usage_maintenance() WHERE task = 'retention';
SELECT count(*) FROM usage_carried;
DROP VIEW january;
SELECT task, done, "left" FROM usage_maintenance() WHERE task = 'retention';
SELECT count(*) FROM usage_carried;
ROLLBACK;
