/* rollups: how was it over time?
 *
 * So far the proof that counters and events agree: none after any mix of
 * operations, a row for each difference when somebody has meddled.
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
\set differences 'SELECT right(user_id::text, 1), limit_type, window_start, window_end, trim_scale(counted), trim_scale(recorded) FROM reconcile_usage() ORDER BY 1, 2, 3'
BEGIN;

-- Nothing used, nothing to say
:differences;

-- All kinds of limits and uses, replays, refusals, failures, late events, another clock
SELECT define_usage_limit('hourly', 'video', 5, period => '1 hour', measure => 'events', statuses => '{success,failed}');
SELECT define_usage_limit('monthly', 'video', 20, period => '1 month', time_zone => 'Asia/Kolkata');
SELECT define_usage_limit('mine', 'video', 9, window_kind => 'anchored', period => '1 month', enforcement => 'soft');
SELECT define_usage_limit('tokens', NULL, 1000, window_kind => 'lifetime', measure => 'tokens');
SELECT (consume_usage(:'ann', 'video', 2, tokens => 100, idempotency_key => 'k1')).reason FROM generate_series(1, 3);
SELECT (consume_usage(:'ann', 'video', 1.5, tokens => 10)).reason FROM generate_series(1, 6);
SELECT count(track_usage(:'bob', 'video', 0.1 * d, d, status => s, occurred_at => timestamptz '2026-03-10 12:00+00' - d * interval '1 day'))
  FROM generate_series(0, 34) AS d, unnest('{success,failed}'::text[]) AS s;
SELECT set_user_clock(:'bob', 'America/New_York', '2026-02-15 03:00+00');
SELECT count(track_usage(:'bob', 'video', 0.1 * d, d, occurred_at => timestamptz '2026-03-10 12:00+00' - d * interval '1 day'))
  FROM generate_series(0, 34) AS d;
SAVEPOINT s;
SELECT reason FROM consume_usage(:'bob', 'video', 3);
ROLLBACK TO s;
SELECT count(*) AS counters FROM usage_counters;
:differences;

-- Too much, too little, and an event nobody counted; a counter of a limit that is gone does not matter
SAVEPOINT s;
UPDATE usage_counters SET used = used + 1 WHERE limit_id = (SELECT limit_id FROM usage_limits WHERE limit_type = 'tokens') AND user_id = :'ann';
UPDATE usage_counters SET used = 0 WHERE limit_id = (SELECT limit_id FROM usage_limits WHERE limit_type = 'mine') AND user_id = :'ann';
:differences;
ROLLBACK TO s;
INSERT INTO usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
VALUES (nextval('usage_events_id_seq'), :'ann', 'video', 'failed', 0.25, 7, 0, '2026-03-10 12:30+00');
:differences;
UPDATE usage_counters SET limit_id = -1 WHERE user_id = :'ann';
:differences;
ROLLBACK;
