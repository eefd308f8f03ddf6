/* counters: how much so far?
 *
 * A counter is what the events in its window add up to, and no counter means the
 * same sum: so a limit, a clock or a late event may come at any time.
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
\set counters 'SELECT limit_type, window_start, window_end, 0, trim_scale(used) FROM _counted_usage() JOIN usage_limits USING (limit_id) ORDER BY limit_type, window_start, window_end'
BEGIN;
SELECT define_usage_type('video');

-- A row for each limit and window, made by the first use
SELECT define_usage_limit('daily', 'video', 10);
SELECT define_usage_limit('monthly', 'video', 100, period => '1 month');
SELECT define_usage_limit('total', NULL, 1000, window_kind => 'lifetime');
SELECT used FROM check_usage_limit(:'ann', 'video');
:counters;
SELECT used FROM consume_usage(:'ann', 'video', 2);
SELECT used FROM consume_usage(:'ann', 'video', 1.5);
:counters;

-- A new limit counts what is in its window already, without a write of its own
SELECT define_usage_limit('weekly', 'video', 50, period => '1 week', measure => 'events');
SELECT used FROM check_usage_limit(:'ann', 'weekly');
SELECT count(*) FROM usage_counters;
SELECT reason FROM consume_usage(:'ann', 'video', 0.5);
:counters;

-- So does a limit that counts something else from now on; the old rows are dead
SELECT define_usage_limit('weekly', 'video', 50, period => '1 week', measure => 'tokens');
SELECT used FROM check_usage_limit(:'ann', 'weekly');
SELECT define_usage_limit('weekly', 'video', 50, period => '1 week');
SELECT used FROM check_usage_limit(:'ann', 'weekly');
SELECT count(*) - (SELECT count(*) FROM usage_counters JOIN usage_limits USING (limit_id)) AS dead FROM usage_counters;
DELETE FROM usage_limits WHERE limit_type = ANY ('{weekly,monthly}');

-- An inactive limit, and one of a maximum of -1, count on
UPDATE usage_limits SET is_active = false, max_usage = 0 WHERE limit_type = 'daily';
UPDATE usage_limits SET max_usage = -1 WHERE limit_type = 'total';
SELECT allowed FROM consume_usage(:'ann', 'video');
:counters;
UPDATE usage_limits SET is_active = true, max_usage = 10 WHERE limit_type = 'daily';

-- A late event goes to its own window, closed or not, and to no other
SELECT track_usage(:'ann', 'video', 7, occurred_at => '2026-03-09 10:00+00') > 0;
:counters;
SET usage_tracking.clock = '2026-03-12 12:00+00';
SELECT allowed FROM consume_usage(:'ann', 'video', 3);
SELECT track_usage(:'ann', 'video', 0.25, occurred_at => '2026-03-10 23:59:59.999999+00') > 0;
SELECT track_usage(:'ann', 'video', 0.25, occurred_at => '2026-03-11 00:00+00') > 0;
:counters;

-- Failures do not count here, and a use of nothing takes nothing
SELECT track_usage(:'ann', 'video', 5, status => 'failed') > 0;
SELECT track_usage(:'ann', 'video', 0) > 0;
SELECT used FROM check_usage_limit(:'ann', 'daily');
SELECT * FROM reconcile_usage();

-- What is rolled back was never counted; what one limit refuses, none has counted
SAVEPOINT s;
SELECT reason, used FROM consume_usage(:'ann', 'video', 6);
ROLLBACK TO s;
SELECT reason, used FROM consume_usage(:'ann', 'video', 1);
SELECT reason, used FROM consume_usage(:'ann', 'video', 7);
:counters;

-- A new clock holds at once, with the usage already in its window
DELETE FROM usage_limits WHERE limit_type = 'total';
SELECT define_usage_limit('mine', 'video', 100, window_kind => 'anchored', period => '30 days');
SELECT used, reset_at FROM consume_usage(:'ann', 'video', 1);
SELECT set_user_clock(:'ann', anchor => '2026-03-12 00:00+00');
SELECT used, reset_at FROM check_usage_limit(:'ann', 'mine');
SELECT set_user_clock(:'ann', 'Pacific/Kiritimati');
SELECT limit_type, (check_usage_limit(:'ann', limit_type)).used, (check_usage_limit(:'ann', limit_type)).reset_at
  FROM usage_limits ORDER BY limit_type;

-- From then on every window that holds the instant is kept right, the old clock's too
SELECT used, reset_at FROM consume_usage(:'ann', 'video', 2);
:counters;
SELECT set_user_clock(:'ann', 'UTC', '2026-03-10 12:00+00');
SELECT limit_type, (check_usage_limit(:'ann', limit_type)).used FROM usage_limits ORDER BY limit_type;
SELECT * FROM reconcile_usage();

-- Sums have no bound that uses could reach
SELECT define_usage_limit('tokens', NULL, -1, measure => 'tokens');
SELECT define_usage_limit('units', NULL, -1);
SELECT count(track_usage(:'ann', 'video', 99999999999999999999999999999.999999999, 9223372036854775807)) FROM generate_series(1, 3);
SELECT limit_type, (check_usage_limit(:'ann', limit_type)).used FROM usage_limits WHERE usage_type IS NULL ORDER BY limit_type;
SELECT * FROM reconcile_usage();
ROLLBACK;
