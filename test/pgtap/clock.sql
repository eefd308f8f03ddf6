/*
 * The clock of a user, through the API: whose zone counts, where late events
 * go, when exactly a limit resets, and what happens when zone, anchor, billing
 * period or the clock itself move.  Windows themselves are windows.sql's.
 *
 * The random walk prints its seed; to repeat it: pg_prove --set seed=N
 */
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT * FROM no_plan();

\set ada '\'0ada0000-0000-0000-0000-000000000000\''
\set bob '\'0b0b0000-0000-0000-0000-000000000000\''

/* Stops the clock there. */
CREATE FUNCTION pg_temp.it_is(at timestamptz) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN PERFORM set_config('usage_tracking.clock', at::text, true); END $$;

/* "used of [start, end)" as the user sees it. */
CREATE FUNCTION pg_temp.standing(who uuid, which text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s of [%s, %s)', used, to_char(window_start, 'YYYY-MM-DD HH24:MI'), to_char(reset_at, 'YYYY-MM-DD HH24:MI'))
      FROM usage.user_usage WHERE user_id = who AND limit_type = which
$$;

/* The same of all counters there are. */
CREATE FUNCTION pg_temp.counters(who uuid, which text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s of [%s, %s)', sum(used), to_char(window_start, 'YYYY-MM-DD HH24:MI'), to_char(window_end, 'YYYY-MM-DD HH24:MI'))
      FROM usage._counted_usage() JOIN usage.usage_limits USING (limit_id)
     WHERE user_id = who AND limit_type = which
     GROUP BY window_start, window_end ORDER BY window_start, window_end
$$;

---- whose zone counts -----------------------------------------------------

SELECT usage.define_usage_limit('a_day', 'a', 10);
SELECT pg_temp.it_is('2026-07-01 12:00Z');
SELECT is((usage.check_usage_limit(:ada, 'a_day')).reset_at, '2026-07-02 00:00Z', 'a user never seen lives in UTC');
SET LOCAL usage_tracking.time_zone = 'Asia/Kolkata';
SELECT usage.consume_usage(:ada, 'a') \gset
SELECT is(pg_temp.standing(:ada, 'a_day'), '1 of [2026-06-30 18:30, 2026-07-01 18:30)',
          'without a zone of user or limit the setting counts');
SELECT usage.set_user_clock(:ada, 'america/new_york');
SELECT is(pg_temp.standing(:ada, 'a_day'), '1 of [2026-07-01 04:00, 2026-07-02 04:00)',
          'the zone of the user overrides the setting');
SELECT usage.define_usage_limit('a_day', 'a', 10, time_zone => 'PACIFIC/chatham');
SELECT is(pg_temp.standing(:ada, 'a_day'), '1 of [2026-07-01 11:15, 2026-07-02 11:15)',
          'the zone of the limit overrides that of the user');
SELECT is(time_zone, 'America/New_York', 'the zone of a user is kept in its canonical spelling')
  FROM usage.user_subscriptions WHERE user_id = :ada;
SELECT is(time_zone, 'Pacific/Chatham', 'and that of a limit') FROM usage.usage_limits WHERE limit_type = 'a_day';
SET LOCAL TimeZone = 'America/Havana';
SELECT is((usage.check_usage_limit(:ada, 'a_day')).reset_at, '2026-07-02 11:15Z', 'the zone of the session never counts');
SELECT is((usage.consume_usage(:ada, 'a')).reset_at, '2026-07-02 11:15Z', 'not for taking either');
SET LOCAL TimeZone = 'UTC';
SELECT usage.define_usage_limit('a_day', 'a', 10);
SELECT is(pg_temp.standing(:ada, 'a_day'), '2 of [2026-07-01 04:00, 2026-07-02 04:00)', 'a limit can give up its zone');
SELECT usage.set_user_clock(:ada);
SELECT is(pg_temp.standing(:ada, 'a_day'), '2 of [2026-07-01 04:00, 2026-07-02 04:00)', 'NULL keeps what is');
RESET usage_tracking.time_zone;

---- late events -----------------------------------------------------------

SELECT usage.define_usage_limit('b_day', 'b', 10, time_zone => 'Europe/Berlin');
SELECT usage.define_usage_limit('b_hour', 'b', 10, period => '1 hour', time_zone => 'Europe/Berlin');
SELECT pg_temp.it_is('2026-03-31 12:00Z');
SELECT usage.consume_usage(:ada, 'b', 1) \gset
SELECT usage.track_usage(:ada, 'b', quantity, occurred_at => at)
  FROM (VALUES (2, '2026-03-29 21:59:59.999999Z'::timestamptz), (3, '2026-03-28 23:00Z'),
               (4, '2026-03-29 22:00Z'), (5, '2026-03-28 22:59:59.999999Z')) AS late (quantity, at) \g /dev/null
SELECT results_eq(format('SELECT * FROM pg_temp.counters(%L, %L)', :ada, 'b_day'),
                  ARRAY['5 of [2026-03-27 23:00, 2026-03-28 23:00)', '5 of [2026-03-28 23:00, 2026-03-29 22:00)',
                        '4 of [2026-03-29 22:00, 2026-03-30 22:00)', '1 of [2026-03-30 22:00, 2026-03-31 22:00)'],
                  'late events count in the window that holds them, a day of 23 hours included');
SELECT is((usage.check_usage_limit(:ada, 'b_day')).used, 1::numeric, 'and not in the present one');
SELECT pg_temp.it_is('2026-03-29 12:00Z');
SELECT is((usage.check_usage_limit(:ada, 'b_day')).used, 5::numeric, 'which one sees with the clock in there');
SELECT is((usage.check_usage_limit(:ada, 'b_day', 6)).allowed, false, 'they use the window up');
SELECT pg_temp.it_is('2026-10-26 12:00Z');
SELECT usage.track_usage(:ada, 'b', quantity, occurred_at => at)
  FROM (VALUES (6, '2026-10-25 00:30Z'::timestamptz), (7, '2026-10-25 01:30Z')) AS late (quantity, at) \g /dev/null
SELECT results_eq(format('SELECT * FROM pg_temp.counters(%L, %L) OFFSET 5', :ada, 'b_hour'),
                  ARRAY['6 of [2026-10-25 00:00, 2026-10-25 01:00)', '7 of [2026-10-25 01:00, 2026-10-25 02:00)'],
                  'an hour lived twice is two hours, of an hour each');

---- resets ----------------------------------------------------------------

/* Uses the limit up and waits for the reset; the limit must allow 1. */
CREATE FUNCTION pg_temp.reset_comes(who uuid, which text) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    taken   usage.usage_decision := usage.consume_usage(who, which || '.use');
    refused usage.usage_decision;
BEGIN
    PERFORM pg_temp.it_is(taken.reset_at - interval '1 microsecond');
    refused := usage.consume_usage(who, which || '.use');
    PERFORM pg_temp.it_is(taken.reset_at);
    IF taken.allowed AND taken.used = 1 AND NOT refused.allowed AND refused.retry_after = 1
       AND refused.reset_at = taken.reset_at
       AND (usage.check_usage_limit(who, which)).allowed
       AND (SELECT w.window_start = taken.reset_at AND w.used = 0
              FROM usage.user_usage AS w WHERE user_id = who AND limit_type = which) THEN
        RETURN taken.reset_at;
    END IF;
    RAISE EXCEPTION '%: taken %, refused %', which, taken, refused;
END
$$;

SELECT usage.define_usage_limit(limit_type, limit_type || '.use', 1, kind, period)
  FROM (VALUES ('hour', 'calendar', '1 hour'::interval), ('day', 'calendar', '1 day'), ('week', 'calendar', '1 week'),
               ('month', 'calendar', '1 month'), ('quarter', 'calendar', '3 months'), ('year', 'calendar', '1 year'),
               ('stopwatch', 'anchored', '90 minutes'), ('30_days', 'anchored', '30 days'),
               ('months', 'anchored', '1 month')) AS l (name, kind, period),
       LATERAL (SELECT 'r_' || name AS limit_type) AS n \g /dev/null
SELECT usage.set_user_clock(:bob, 'Europe/Berlin', '2027-01-31 09:00Z');

CREATE TEMP TABLE resets (which text, clock timestamptz, reset_at timestamptz);
INSERT INTO resets VALUES
    ('r_hour',      '2026-10-25 00:30Z', '2026-10-25 01:00Z'),
    ('r_day',       '2026-10-25 12:00Z', '2026-10-25 23:00Z'),
    ('r_week',      '2026-03-29 12:00Z', '2026-03-29 22:00Z'),
    ('r_month',     '2028-02-29 22:59:59.999Z', '2028-02-29 23:00Z'),
    ('r_quarter',   '2026-05-05 12:00Z', '2026-06-30 22:00Z'),
    ('r_year',      '2026-12-31 22:59Z', '2026-12-31 23:00Z'),
    ('r_stopwatch', '2027-01-31 08:59Z', '2027-01-31 09:00Z'),
    ('r_30_days',   '2027-03-02 09:00Z', '2027-04-01 08:00Z');
SELECT is(pg_temp.reset_comes(:bob, which), reset_at, which || ' resets at its boundary, not a microsecond before')
  FROM resets, LATERAL (SELECT pg_temp.it_is(clock) OFFSET 0) AS moved;

SELECT pg_temp.it_is('2027-01-31 09:00Z');
SELECT is(array_agg(to_char(pg_temp.reset_comes(:bob, 'r_months') AT TIME ZONE 'Europe/Berlin', 'YYYY-MM-DD HH24:MI') ORDER BY n),
          ARRAY['2027-02-28 10:00', '2027-03-31 10:00', '2027-04-30 10:00', '2027-05-31 10:00', '2027-06-30 10:00',
                '2027-07-31 10:00', '2027-08-31 10:00', '2027-09-30 10:00', '2027-10-31 10:00', '2027-11-30 10:00',
                '2027-12-31 10:00', '2028-01-31 10:00', '2028-02-29 10:00', '2028-03-31 10:00'],
          'from 31 January, 14 months in a row reset on the last day, at 10:00 in Berlin')
  FROM generate_series(1, 14) AS n;

---- the clock moves backwards ---------------------------------------------

SELECT usage.define_usage_limit('c_day', 'c', 2);
SELECT pg_temp.it_is('2026-05-05 10:00Z');
SELECT usage.consume_usage(:bob, 'c', 2) \gset
SELECT pg_temp.it_is('2026-05-04 20:00Z');
SELECT is((usage.consume_usage(:bob, 'c', 1)).used, 1::numeric, 'yesterday is a window of its own');
SELECT pg_temp.it_is('2026-05-05 09:00Z');
SELECT is((usage.consume_usage(:bob, 'c', 1)).allowed, false, 'what was used later today is still used');
SELECT is(pg_temp.standing(:bob, 'c_day'), '2 of [2026-05-04 22:00, 2026-05-05 22:00)', 'and still counted');

---- the anchor moves ------------------------------------------------------

SELECT usage.define_usage_limit('d_30', 'd', 5, 'anchored', '30 days');
SELECT usage.set_user_clock(:ada, 'UTC', '2026-05-01 00:00Z');
SELECT pg_temp.it_is('2026-05-02 00:00Z');
SELECT usage.consume_usage(:ada, 'd', 3) \gset
SELECT pg_temp.it_is('2026-05-20 13:00Z');
SELECT usage.consume_usage(:ada, 'd', 2) \gset
SELECT pg_temp.it_is('2026-05-20 14:00Z');
SELECT is(pg_temp.standing(:ada, 'd_30'), '5 of [2026-05-01 00:00, 2026-05-31 00:00)', 'before the anchor moves');
SELECT usage.set_user_clock(:ada, anchor => '2026-05-20 12:00Z');
SELECT is(pg_temp.standing(:ada, 'd_30'), '2 of [2026-05-20 12:00, 2026-06-19 12:00)',
          'a moved anchor takes effect at once, with the usage already in the new window');
SELECT is((usage.consume_usage(:ada, 'd', 1)).used, 3::numeric, 'taking goes on from there');
SELECT usage.set_user_clock(:ada, anchor => '2026-05-20 14:00:00.000001Z');
SELECT is(pg_temp.standing(:ada, 'd_30'), '6 of [2026-04-20 14:00, 2026-05-20 14:00)', 'before an anchor, windows count back');
SELECT pg_temp.it_is('2026-05-20 15:00Z');
SELECT usage.set_user_clock(:ada, anchor => '2026-05-20 15:00Z');
SELECT is(pg_temp.standing(:ada, 'd_30'), '0 of [2026-05-20 15:00, 2026-06-19 15:00)', 'anchor => now is a reset');
SELECT usage.set_user_clock(:ada, anchor => '2026-05-01 00:00Z');
SELECT is(pg_temp.standing(:ada, 'd_30'), '6 of [2026-05-01 00:00, 2026-05-31 00:00)', 'back again, nothing was lost');
SELECT is(time_zone, 'UTC', 'the zone stayed') FROM usage.user_subscriptions WHERE user_id = :ada;
/* 02:30 in Berlin, for the first time that night; its second time is an hour later. */
SELECT pg_temp.it_is('2026-10-25 00:30Z');
SELECT usage.set_user_clock(:ada, 'Europe/Berlin', '2026-10-25 00:30Z');
SELECT is(pg_temp.standing(:ada, 'd_30'), '0 of [2026-10-25 00:30, 2026-11-24 01:30)',
          'an anchor in the first pass of an hour lived twice begins a window too');
SELECT is_empty('SELECT * FROM usage.reconcile_usage()', 'counters and events agree');

---- the billing period moves ----------------------------------------------

\set cat '\'0ca70000-0000-0000-0000-000000000000\''
SELECT usage.install_default_plans() \g /dev/null
SELECT usage.define_usage_limit('e_billing', 'e', 10, 'billing');
SELECT usage.define_usage_limit('e_tokyo', 'e', 100, 'billing', time_zone => 'Asia/Tokyo');
SELECT pg_temp.it_is('2026-01-20 10:00Z');
SELECT usage.consume_usage(:cat, 'e', 1) \gset
SELECT is(pg_temp.standing(:cat, 'e_billing'), '1 of [2026-01-20 10:00, 2026-02-20 10:00)',
          'without a billing period it is a month from the anchor');
SELECT usage.set_user_plan(:cat, 'pro', billing_period_start => '2026-01-01Z', billing_period_end => '2027-01-01Z');
SELECT is(pg_temp.standing(:cat, 'e_billing'), '1 of [2026-01-01 00:00, 2027-01-01 00:00)',
          'a billing period takes effect at once, with the usage already in it');
SELECT usage.consume_usage(:cat, 'e', 2) \gset
SELECT pg_temp.it_is('2026-09-15 12:00Z');
SELECT is((usage.consume_usage(:cat, 'e', 3)).used, 6::numeric, 'the year goes on');
SELECT usage.set_user_plan(:cat, 'pro', billing_period_start => '2026-08-31Z', billing_period_end => '2026-09-30Z');
SELECT is(pg_temp.standing(:cat, 'e_billing'), '3 of [2026-08-31 00:00, 2026-09-30 00:00)', 'from a year to a month');
SELECT is(pg_temp.standing(:cat, 'e_tokyo'), '3 of [2026-08-31 00:00, 2026-09-30 00:00)', 'the known period is the same in every zone');
SELECT is((usage.consume_usage(:cat, 'e', 1)).used, 4::numeric, 'taking goes on from there');
SELECT usage.track_usage(:cat, 'e', 5, occurred_at => '2026-08-30 23:59:59Z') \gset
SELECT results_eq(format('SELECT * FROM pg_temp.counters(%L, %L)', :cat, 'e_billing'),
                  ARRAY['12 of [2026-01-01 00:00, 2027-01-01 00:00)', '3 of [2026-01-20 10:00, 2026-02-20 10:00)',
                        '5 of [2026-07-31 00:00, 2026-08-31 00:00)', '4 of [2026-08-31 00:00, 2026-09-30 00:00)'],
                  'a window of the year before counts on, however long ago it began');
SELECT is_empty('SELECT * FROM usage.reconcile_usage()', 'so counters and events agree');
SELECT pg_temp.it_is('2026-12-01 00:00Z');
SELECT is(pg_temp.standing(:cat, 'e_billing'), '0 of [2026-11-30 00:00, 2026-12-31 00:00)', 'without news it rolls on, clamped, from the start');
SELECT is(pg_temp.standing(:cat, 'e_tokyo'), '0 of [2026-11-30 00:00, 2026-12-31 00:00)', 'in the zone of the limit');
SELECT usage.set_user_plan(:cat, 'pro', billing_period_start => '2026-11-30Z', billing_period_end => '2026-12-31Z');
SELECT is(pg_temp.standing(:cat, 'e_billing'), '0 of [2026-11-30 00:00, 2026-12-31 00:00)', 'news of that very month move nothing');
SELECT pg_temp.it_is('2027-01-01 00:00Z');
SELECT is(pg_temp.standing(:cat, 'e_billing'), '0 of [2026-12-31 00:00, 2027-01-31 00:00)', 'nor do they change what comes next');
SELECT pg_temp.it_is('2026-09-15 12:00Z');
SELECT is(pg_temp.standing(:cat, 'e_billing'), '4 of [2026-08-31 00:00, 2026-09-30 00:00)', 'and before its start it rolls back');
UPDATE usage.user_subscriptions SET billing_period_start = '2026-09-10Z', billing_period_end = '2026-09-20Z' WHERE user_id = :cat;
SELECT is(pg_temp.standing(:cat, 'e_billing'), '4 of [2026-09-10 00:00, 2026-09-20 00:00)', 'a plain UPDATE moves it as well');
SELECT pg_temp.it_is('2026-09-09 12:00Z');
SELECT is(pg_temp.standing(:cat, 'e_billing'), '0 of [2026-08-31 00:00, 2026-09-10 00:00)', 'ten days are no month: they roll by their length');
SELECT pg_temp.it_is('2026-09-15 12:00Z');
SELECT usage.set_user_plan(:cat, 'team');
SELECT is(pg_temp.standing(:cat, 'e_billing'), '9 of [2026-08-20 10:00, 2026-09-20 10:00)', 'a plan without a period takes it away');
DELETE FROM usage.user_subscriptions WHERE user_id = :cat;
SELECT is((usage.check_usage_limit(:cat, 'e_billing')).reset_at, '2026-10-15 12:00Z', 'without a row the month begins now');
INSERT INTO usage.user_subscriptions (user_id, plan, billing_period_start, billing_period_end) VALUES (:cat, 'pro', '2026-01-01Z', '2027-01-01Z');
SELECT is(pg_temp.standing(:cat, 'e_billing'), '12 of [2026-01-01 00:00, 2027-01-01 00:00)', 'and with the year back, nothing was lost');
SELECT is((usage.consume_usage(:cat, 'e')).allowed, false, 'nor forgotten');
SELECT is_empty('SELECT * FROM usage.reconcile_usage()', 'counters and events still agree');

---- a random walk through zones, anchors, periods, limits and time --------

\if :{?seed}
\else
SELECT round(random()::numeric, 9) AS seed \gset
\endif
SELECT setseed(:seed) \gset
SELECT diag('seed ' || :'seed');

SELECT usage.define_usage_limit(limit_type, 'w', 1e9, kind, period, measure)
  FROM (VALUES ('w_hour', 'calendar', '1 hour'::interval, 'events'), ('w_day', 'calendar', '1 day', 'quantity'),
               ('w_week', 'calendar', '1 week', 'tokens'), ('w_month', 'calendar', '1 month', 'quantity'),
               ('w_90_minutes', 'anchored', '90 minutes', 'tokens'), ('w_7_days', 'anchored', '7 days', 'events'),
               ('w_anchored', 'anchored', '1 month', 'quantity'), ('w_lifetime', 'lifetime', NULL, 'tokens'),
               ('w_billing', 'billing', NULL, 'quantity'))
       AS l (limit_type, kind, period, measure) \g /dev/null

CREATE FUNCTION pg_temp.any_of(choices text[]) RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT choices[1 + floor(random() * cardinality(choices))] $$;
/* Within ten days of the end of summer in Europe, often of the hour lived twice. */
CREATE FUNCTION pg_temp.any_time() RETURNS timestamptz LANGUAGE sql VOLATILE AS
$$ SELECT timestamptz '2026-10-25 01:00Z' + (random() - 0.5) * pg_temp.any_of('{2 hours,480 hours}')::interval $$;

CREATE FUNCTION pg_temp.step(who uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    zones  text[] := '{UTC,Europe/Berlin,America/Havana,Pacific/Chatham,Asia/Kolkata,Etc/GMT+12,Pacific/Kiritimati}';
    action text := pg_temp.any_of('{use,use,use,late,late,late,clock,zone,zone,anchor,setting,limit,period,period}');
    what   text := action;
BEGIN
    CASE action
        WHEN 'use' THEN
            PERFORM usage.consume_usage(who, 'w', 1 + floor(random() * 5)::int, tokens => floor(random() * 3)::bigint);
        WHEN 'late' THEN
            PERFORM usage.track_usage(who, 'w', 1, tokens => 2, occurred_at => pg_temp.any_time());
        WHEN 'clock' THEN PERFORM pg_temp.it_is(pg_temp.any_time());
        WHEN 'zone' THEN what := pg_temp.any_of(zones); PERFORM usage.set_user_clock(who, what);
        WHEN 'anchor' THEN PERFORM usage.set_user_clock(who, anchor => pg_temp.any_time());
        WHEN 'period' THEN
            what := pg_temp.any_of('{10 minutes,1 day,1 week,30 days,1 month,1 month,3 months,1 year,none}');
            UPDATE usage.user_subscriptions
               SET (billing_period_start, billing_period_end) =
                   (SELECT at AT TIME ZONE zone, CASE WHEN what <> 'none' THEN (at + what::interval) AT TIME ZONE zone END
                      FROM (SELECT pg_temp.any_time() AT TIME ZONE zone AS at, zone FROM pg_temp.any_of(zones) AS zone OFFSET 0) AS z
                     WHERE what <> 'none')
             WHERE user_id = who;
        WHEN 'setting' THEN PERFORM set_config('usage_tracking.time_zone', pg_temp.any_of(zones), true);
        WHEN 'limit' THEN
            UPDATE usage.usage_limits SET time_zone = NULLIF(pg_temp.any_of(zones), 'UTC')
             WHERE limit_type = pg_temp.any_of('{w_day,w_week,w_month,w_billing}');
    END CASE;
    RETURN action || ' ' || what;
END
$$;

/* What is shown and checked, against the events in the window that ought to be. */
CREATE FUNCTION pg_temp.differences(who uuid) RETURNS SETOF text LANGUAGE sql VOLATILE AS $$
    SELECT format('%s: %s of [%s, %s), should be %s of %s, checked %s', u.limit_type, u.used, u.window_start, u.reset_at,
                  e.used, w, (usage.check_usage_limit(who, u.limit_type)).used)
      FROM usage.user_usage AS u
      JOIN usage.usage_limits AS l USING (limit_type)
      JOIN usage.user_subscriptions AS s USING (user_id),
           LATERAL (SELECT current_setting('usage_tracking.clock')::timestamptz AS now,
                           coalesce(l.time_zone, s.time_zone, current_setting('usage_tracking.time_zone')) AS zone) AS c,
           LATERAL (SELECT b.* FROM usage._billing_window(s.billing_period_start, s.billing_period_end, zone, now) AS b
                     WHERE l.window_kind = 'billing' AND s.billing_period_start IS NOT NULL
                     UNION ALL
                    SELECT b.* FROM usage._usage_window(l.window_kind, coalesce(l.period, '0'), zone, s.anchor, now) AS b
                     WHERE l.window_kind <> 'billing' OR s.billing_period_start IS NULL) AS w,
           LATERAL (SELECT coalesce(sum(CASE l.measure WHEN 'events' THEN 1 WHEN 'tokens' THEN tokens ELSE quantity END), 0) AS used
                      FROM usage.usage_events AS e
                     WHERE e.user_id = who AND e.usage_type = l.usage_type
                       AND occurred_at >= w.window_start AND occurred_at < w.window_end) AS e
     WHERE u.user_id = who AND l.usage_type = 'w'
       AND ((u.used, coalesce(u.window_start, '-infinity'), coalesce(u.reset_at, 'infinity'))
            IS DISTINCT FROM (e.used, w.window_start, w.window_end)
            OR (usage.check_usage_limit(who, u.limit_type)).used IS DISTINCT FROM e.used)
$$;

CREATE FUNCTION pg_temp.walk(steps int, ada uuid, bob uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    path  text[] := '{}';
    wrong text;
BEGIN
    SET LOCAL usage_tracking.max_event_lead = '60d';
    PERFORM pg_temp.it_is(pg_temp.any_time());
    FOR n IN 1 .. steps LOOP
        path := path || pg_temp.step(pg_temp.any_of(ARRAY[ada, bob]::text[])::uuid);
        SELECT string_agg(line, E'\n') INTO wrong
          FROM (SELECT pg_temp.differences(ada) AS line UNION ALL SELECT pg_temp.differences(bob)
                 UNION ALL SELECT r::text FROM usage.reconcile_usage() AS r) AS lines;
        IF wrong IS NOT NULL THEN
            RETURN format(E'step %s, after %s:\n%s', n, array_to_string(path[n - 9:], ', '), wrong);
        END IF;
    END LOOP;
    RETURN steps || ' steps';
END
$$;
SELECT is(pg_temp.walk(300, :ada, :bob), '300 steps',
          'counts stay right while zones, anchors, periods, limits and the clock move back and forth');
SELECT cmp_ok(count(*), '>', 100::bigint, 'there was something to count') FROM usage.usage_events WHERE usage_type = 'w';
SELECT cmp_ok(count(*), '>', 200::bigint, 'in many windows') FROM usage.usage_counters;

SELECT * FROM finish();
ROLLBACK;
