/* rollups: how was it over time?
 *
 * The proof that counters, sums by day and events agree: no row after any mix of
 * operations, a row for each difference when somebody has meddled.  Then sums by
 * day: small figures, to be checked by hand.
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
VALUES (nextval('usage_events_id_seq'), :'ann', 'video', 'failed', 0.25, 7, 0, '2026-03-10 12:00+00');
:differences;
UPDATE usage_counters SET limit_id = -1 WHERE user_id = :'ann';
:differences;
ROLLBACK;

-- ---- sums by day ----
BEGIN;
ALTER SEQUENCE usage_events_id_seq RESTART;
\set days 'SELECT right(user_id::text, 1), day, usage_type, provider, model, campaign_id, status, is_final, events, quantity, tokens, input_tokens, output_tokens, trim_scale(cost), unpriced, duration_ms_sum, duration_count, duration_ms_max FROM usage_aggregations ORDER BY user_id, day, usage_type, status, provider, is_final'
\set totals 'SELECT day, usage_type, status, is_final, events, quantity, trim_scale(cost), unpriced, duration_ms_max FROM usage_daily_totals ORDER BY day, usage_type, status, is_final'
SELECT define_usage_type('video'), define_usage_limit('ever', 'video', -1, 'lifetime');
SELECT * FROM refresh_usage_aggregations();
SELECT track_usage(:'ann', 'video', 2, 10, 0.5, duration_ms => 100);
SELECT track_usage(:'ann', 'video', 3, 20, 0.25, duration_ms => 300);
SELECT track_usage(:'ann', 'video', 1, status => 'failed');
SELECT track_usage(:'bob', 'video', 7, 1, 0.125, occurred_at => '2026-03-09 23:59:59.999999+00');
INSERT INTO usage_events (id, user_id, usage_type, status, quantity, tokens, occurred_at, provider, model, campaign_id, input_tokens, output_tokens)
SELECT nextval('usage_events_id_seq'), :'bob', 'chat', 'success', 1, 30, '2026-03-10 00:00+00', 'acme', 'Large', 'spring', 10, 20;
-- Not of a transaction that is over: for answers only.  So of one's own; what counting begins with is the exception
:days;
SELECT * FROM refresh_usage_aggregations();
:days;
DELETE FROM usage_rollup_state;
SELECT * FROM refresh_usage_aggregations(2);
SELECT * FROM refresh_usage_aggregations(2);
SELECT * FROM refresh_usage_aggregations(2);
:days;
:totals;
-- A reversal is in the sums of what it takes back, an adjustment of a limit in none; a call that is taken back is not unpriced any more
SELECT reverse_usage(:'ann', min(id), 1) FROM usage_events WHERE user_id = :'ann';
SELECT reverse_usage(:'ann', min(id)) FROM usage_events WHERE user_id = :'ann';
SELECT reverse_usage(:'bob', id) FROM usage_events WHERE model = 'Large' AND status = 'success';
SELECT adjust_usage(:'ann', 'ever', 50);
SELECT usage_type, events, failed, quantity, tokens, trim_scale(cost), unpriced, duration_ms_mean, duration_ms_max FROM get_user_usage(:'ann');
SELECT provider, model, campaign_id, status, events, quantity, trim_scale(cost), unpriced FROM get_user_aggregations(:'bob', 'month');
DELETE FROM usage_rollup_state;
SELECT * FROM refresh_usage_aggregations();
SELECT usage_type, events, failed, quantity, tokens, trim_scale(cost), unpriced, duration_ms_mean, duration_ms_max FROM get_user_usage(:'ann');
SELECT provider, model, campaign_id, status, events, quantity, trim_scale(cost), unpriced FROM get_user_aggregations(:'bob', 'month');
:differences;

-- A row that is wrong, one too many, one too few; of totals as well
SAVEPOINT s;
UPDATE usage_aggregations SET cost = cost + 1 WHERE day = '2026-03-09';
DELETE FROM usage_aggregations WHERE status = 'failed';
UPDATE usage_daily_totals SET unpriced = 5 WHERE day = '2026-03-09';
INSERT INTO usage_daily_totals VALUES ('2026-03-01', 'x', '', '', 'success', false, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1);
:differences;
ROLLBACK TO s;

-- In another zone counting begins again: 23:59 in UTC is the next day in Kolkata.  Until it does, days are as they were
SET usage_tracking.time_zone = 'Asia/Kolkata';
SELECT DISTINCT period FROM get_user_aggregations(:'bob', first_day => '2026-03-01', last_day => '2026-03-11') ORDER BY 1;
SELECT * FROM refresh_usage_aggregations();
SELECT DISTINCT period FROM get_user_aggregations(:'bob', first_day => '2026-03-01', last_day => '2026-03-11') ORDER BY 1;
:differences;
RESET usage_tracking.time_zone;

-- In another cluster nothing is counted, but what is final
UPDATE usage_rollup_state SET system_identifier = 1;
INSERT INTO usage_aggregations VALUES (:'bob', '2026-03-09', 'video', '', '', '', 'success', true, 100, 1, 1, 1, 1, 0, 0, 0, 0);
SELECT period, events FROM get_user_aggregations(:'bob', first_day => '2026-03-09', last_day => '2026-03-09');
SELECT * FROM refresh_usage_aggregations();
SELECT period, events FROM get_user_aggregations(:'bob', first_day => '2026-03-09', last_day => '2026-03-09');
ROLLBACK;

-- ---- a month is dropped in the middle of a day in New York ----
BEGIN;
ALTER SEQUENCE usage_events_id_seq RESTART;
SET usage_tracking.time_zone = 'America/New_York';
SET usage_tracking.max_event_age = '400d';
SELECT define_usage_type('video'), create_usage_partition('2026-01-01'), create_usage_partition('2026-02-01');
SELECT track_usage(:'ann', 'video', 1, 0, 0.1, duration_ms => 9, occurred_at => '2026-01-20 12:00+00'), track_usage(:'ann', 'video', 2, 0, 0.2, duration_ms => 8, occurred_at => '2026-01-31 23:00+00'),
       track_usage(:'ann', 'video', 4, 0, 0.4, duration_ms => 7, occurred_at => '2026-02-01 01:00+00');
SELECT * FROM refresh_usage_aggregations();
SELECT track_usage(:'ann', 'video', 8, 0, 0.8, occurred_at => '2026-01-25 12:00+00');
SELECT period, events, quantity, trim_scale(cost), duration_ms_max FROM get_user_aggregations(:'ann', first_day => '2026-01-01', last_day => '2026-02-28');
SELECT trim_scale(this_month), trim_scale(lifetime), unpriced FROM get_user_costs(:'ann');
RESET usage_tracking.max_event_age;
SET usage_tracking.event_retention = '37d';
SELECT task, done FROM usage_maintenance(600) WHERE task = 'retention';
:days;
SELECT period, events, quantity, trim_scale(cost), duration_ms_max FROM get_user_aggregations(:'ann', first_day => '2026-01-01', last_day => '2026-02-28');
SELECT trim_scale(this_month), trim_scale(lifetime), unpriced FROM get_user_costs(:'ann');
:differences;
ROLLBACK;

-- ---- unusual use: more than the mean and three times the deviation of 28 days ----
BEGIN;
ALTER SEQUENCE usage_events_id_seq RESTART;
SET usage_tracking.time_zone = 'UTC';
SET usage_tracking.unusual_use_floor = 5;
SELECT define_usage_type('video'), define_usage_type('clip');
SELECT count(track_usage(u::uuid, 'video', q, occurred_at => timestamptz '2026-03-10 12:00+00' - d * interval '1 day'))
  FROM (VALUES (:'ann', 10), (:'bob', 10)) AS v (u, q), generate_series(1, 28) AS d;
SELECT track_usage(:'ann', 'video', 10), track_usage(:'bob', 'video', 10.000000001), track_usage(:'bob', 'clip', 1000);
SELECT * FROM refresh_usage_aggregations();
-- Ten on each of 28 days: eleven is unusual; who never did it before is not
SELECT right(user_id::text, 1), usage_type, day, used, expected FROM _find_unusual_use(0, 1000, '2026-03-10 12:00+00', 5);
SELECT right(user_id::text, 1), usage_type, day, used, expected FROM _find_unusual_use(0, 1000, '2026-03-10 12:00+00', 11);
SELECT right(user_id::text, 1), usage_type, day, used, expected FROM _find_unusual_use(1000, 2000, '2026-03-10 12:00+00', 5);
-- Upkeep has an alert raised, once
DELETE FROM usage_rollup_state;
SELECT count(*) FROM usage_maintenance();
DELETE FROM usage_rollup_state;
SELECT count(*) FROM usage_maintenance();
SELECT right(user_id::text, 1), kind, usage_type, day, used, expected FROM usage_alerts;
-- On 7 of 28 days 20: mean 5, deviation √75 = 8.66...; 30.98 is below 5 + 3·8.66..., 30.99 above
DELETE FROM usage_aggregations;
INSERT INTO usage_aggregations SELECT :'bob', date '2026-03-10' - 4 * d, 'video', '', '', '', 'success', false, 1, 20, 0, 0, 0, 0, 0, 0, 0 FROM generate_series(1, 7) AS d;
INSERT INTO usage_aggregations VALUES (:'bob', '2026-03-10', 'video', '', '', '', 'success', false, 1, 30.98, 0, 0, 0, 0, 0, 0, 0);
SELECT used, expected FROM _find_unusual_use(0, 1000, '2026-03-10 12:00+00', 5);
UPDATE usage_aggregations SET quantity = 30.99 WHERE day = '2026-03-10';
SELECT used, expected FROM _find_unusual_use(0, 1000, '2026-03-10 12:00+00', 5);
DELETE FROM usage_aggregations WHERE day = '2026-03-06';
SELECT used, expected FROM _find_unusual_use(0, 1000, '2026-03-10 12:00+00', 5);
ROLLBACK;

-- Two months go at once, in a zone whose days end in the next month, and in a
-- session that writes times in its own way: what is summed stays what it was
BEGIN;
SET usage_tracking.time_zone = 'America/New_York';
SET usage_tracking.clock = '2026-01-10 12:00+00';
SET usage_tracking.max_event_age = '1000d';
SET usage_tracking.max_event_lead = '300d';
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Asia/Kolkata';
SELECT create_usage_partition(m::date) FROM generate_series('2026-01-01'::timestamp, '2026-03-01', '1 month') AS m \g /dev/null
SELECT define_usage_limit('calls_cost', 'call', 100, period => '1 month', measure => 'cost') \g /dev/null
SELECT track_usage('00000000-0000-0000-0000-00000000000a', 'call', 1, cost => 1, occurred_at => t::timestamptz)
  FROM unnest('{2026-01-05 12:00+00,2026-01-31 20:00+00,2026-02-01 02:00+00,2026-02-10 02:00+00,2026-02-28 23:00+00,2026-03-01 03:00+00}'::text[]) AS t \g /dev/null
SELECT adjust_usage('00000000-0000-0000-0000-00000000000a', 'calls_cost', 0, '2026-01-31 12:00+00') \g /dev/null
CREATE VIEW summed AS SELECT (SELECT sum(events) FROM get_usage_totals('2026-01-01', '2026-12-31')) AS events,
    (SELECT string_agg(to_char(period, 'MM-DD') || ' ' || events, ', ' ORDER BY period) FROM get_usage_totals('2026-01-01', '2026-12-31')) AS days,
    (SELECT lifetime FROM get_user_costs('00000000-0000-0000-0000-00000000000a')), (SELECT count(*) FROM reconcile_usage()) AS differences;
SELECT * FROM summed;
SELECT "left" FROM refresh_usage_aggregations();
SELECT "left" FROM refresh_usage_aggregations();
SELECT * FROM summed;
SET usage_tracking.clock = '2026-05-10 12:00+00';
SET usage_tracking.max_event_age = '1d';
SET usage_tracking.event_retention = '10d';
SELECT done FROM usage_maintenance() WHERE task = 'retention';
SELECT * FROM summed;
ROLLBACK;
