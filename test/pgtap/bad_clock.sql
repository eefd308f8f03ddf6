/*
 * Bad zones, periods and times are refused with a documented SQLSTATE at every
 * door, also by plain INSERT, and leave everything as it was.
 */
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT * FROM no_plan();

\set ada '0ada0000-0000-0000-0000-000000000000'
SELECT usage.define_usage_limit('there', 'kept', 1, time_zone => 'Europe/Berlin');
SELECT usage.set_user_clock(:'ada', 'Asia/Kolkata', '2026-01-31 10:00Z');

CREATE FUNCTION pg_temp.everything() RETURNS text LANGUAGE sql AS $$
    SELECT array_agg(l ORDER BY l.limit_type)::text || array_agg(s)::text FROM usage.usage_limits AS l, usage.user_subscriptions AS s
$$;
SELECT pg_temp.everything() AS before \gset

---- zones -----------------------------------------------------------------

CREATE TEMP TABLE zone_doors (door text, statement text);
INSERT INTO zone_doors VALUES
    ('_usage_window',      'SELECT usage._usage_window(''calendar'', ''1 day'', %L, now(), now())'),
    ('define_usage_limit', 'SELECT usage.define_usage_limit(''here'', ''kept'', 1, time_zone => %L)'),
    ('set_user_clock',     'SELECT usage.set_user_clock(''0ada0000-0000-0000-0000-000000000000'', %L)'),
    ('INSERT of a limit',  'INSERT INTO usage.usage_limits (limit_type, usage_type, max_usage, time_zone) VALUES (''here'', ''kept'', 1, %L)'),
    ('UPDATE of a limit',  'UPDATE usage.usage_limits SET time_zone = %L'),
    ('INSERT of a user',   'INSERT INTO usage.user_subscriptions (user_id, time_zone) VALUES (gen_random_uuid(), %L)'),
    ('UPDATE of a user',   'UPDATE usage.user_subscriptions SET time_zone = %L'),
    ('the setting',        'SELECT set_config(''usage_tracking.time_zone'', %L, true)');

SELECT throws_ok(format(statement, zone), '22023', NULL, format('%s refuses zone %s', door, what))
  FROM zone_doors,
       (VALUES ('Nowhere/Land', 'Nowhere/Land'), ('%n%s', '%n%s'), ('<%s>0', '<%s>0'), ('<+05>-5', '<+05>-5'),
               ('"" (empty)', ''), ('" " (blank)', ' '), ('of 255 characters', repeat('A', 255)),
               ('of 256 characters', repeat('A', 256)), ('of a megabyte', repeat('Europe/', 150000)),
               ('CEST (an abbreviation)', 'CEST'), ('Europe (a folder)', 'Europe'),
               ('../UTC', '../UTC'), ('/etc/hostname', '/etc/hostname'), ('with a blank', 'Europe/Berlin '),
               ('with a line break', E'UTC\nUTC'), ('Zürich', 'Europe/Zürich'),
               ('with leap seconds', 'right/Europe/Berlin')) AS zones (what, zone)
 ORDER BY door, what;

---- periods ---------------------------------------------------------------

CREATE TEMP TABLE period_doors (door text, statement text);
INSERT INTO period_doors VALUES
    ('_usage_window',      'SELECT usage._usage_window(%1$L, %2$L, ''UTC'', now(), now())'),
    ('define_usage_limit', 'SELECT usage.define_usage_limit(''here'', ''kept'', 1, %1$L, %2$L)'),
    ('INSERT of a limit',  'INSERT INTO usage.usage_limits (limit_type, usage_type, max_usage, window_kind, period) VALUES (''here'', ''kept'', 1, %1$L, %2$L)'),
    ('UPDATE of a limit',  'UPDATE usage.usage_limits SET window_kind = %1$L, period = %2$L');

CREATE TEMP TABLE bad_periods AS
SELECT kind, period
  FROM unnest(ARRAY['calendar', 'anchored', 'sliding']) AS kind,
       unnest(ARRAY['0', '-1 hour', '-1 day', '-1 month', '1 mon 1 day', '1 month -30 days', '-1 month 31 days',
                    '1 day 1 hour', '2 days -24 hours', '1 month 1 microsecond']) AS period
 UNION ALL
SELECT 'calendar', unnest(ARRAY['2 days', '14 days', '30 days', '2 hours', '24 hours', '1 minute',
                                '01:00:00.000001', '2 months', '6 months', '2 years'])
 UNION ALL
SELECT kind, period
  FROM unnest(ARRAY['anchored', 'sliding']) AS kind,
       unnest(ARRAY['0.999999 seconds', '100 years 1 month', '36601 days', '878400:00:00.000001',
                    '178000000 years', '2147483647 days']) AS period
 UNION ALL
SELECT kind, '1 day' FROM unnest(ARRAY['', 'Calendar', 'Sliding', 'level', 'day']) AS kind;

SELECT throws_ok(format(statement, kind, period), '22023', NULL, format('%s refuses window %s, %s', door, kind, period))
  FROM period_doors, bad_periods ORDER BY door, kind, period;
SELECT throws_ok(format(statement, kind, NULL), '22023', NULL, format('%s refuses window %s without a period', door, kind))
  FROM period_doors, unnest(ARRAY['calendar', 'anchored', 'sliding']) AS kind WHERE door <> '_usage_window' ORDER BY door, kind;

SELECT lives_ok(format(statement, kind, period), format('%s takes window %s, %s', door, kind, period))
  FROM period_doors,
       (VALUES ('calendar', '1 hour'), ('calendar', '60 minutes'), ('calendar', '1 day'), ('calendar', '1 week'),
               ('calendar', '1 month'), ('calendar', '3 months'), ('calendar', '12 months'), ('calendar', '1 year'),
               ('anchored', '1 second'), ('anchored', '24 hours'), ('anchored', '36600 days'), ('anchored', '100 years'),
               ('anchored', '1 year 2 months'), ('sliding', '1 second'), ('sliding', '30 days'), ('sliding', '1 month'),
               ('billing', '0'), ('lifetime', '2 days'), ('gauge', '-1 month')) AS good (kind, period)
 WHERE door IN ('_usage_window', 'define_usage_limit') ORDER BY door, kind, period;
DELETE FROM usage.usage_limits WHERE limit_type = 'here';

---- times -----------------------------------------------------------------

SELECT throws_ok(format('SELECT usage._usage_window(%L, ''1 day'', ''UTC'', %L, %L)', kind, anchor, at), '22008', NULL,
                 format('_usage_window refuses %s, from %s, at %s', kind, anchor, at))
  FROM unnest(ARRAY['calendar', 'anchored', 'lifetime']) AS kind,
       (VALUES ('2026-01-01Z', 'infinity'), ('2026-01-01Z', '-infinity'), ('infinity', '2026-01-01Z'),
               ('-infinity', '2026-01-01Z')) AS endless (anchor, at);

/* Windows that would begin before time does, or end after it. */
CREATE FUNCTION pg_temp.no_window(kind text, period text, zone text, anchor text, at text) RETURNS text LANGUAGE sql AS $$
    SELECT throws_ok(format('SELECT usage._usage_window(%L, %L, %L, %L, %L)', kind, period, zone, anchor, at), '22008', NULL,
                     format('there is no window %s, %s in %s from %s at %s', kind, period, zone, anchor, at))
$$;
SELECT pg_temp.no_window(kind, period, zone, anchor, at)
  FROM (VALUES ('calendar', '1 day', 'UTC', '2026-01-01Z', '294276-12-31 23:59:59.999999Z'),
               ('calendar', '1 year', 'Pacific/Apia', '2026-01-01Z', '294276-12-31 23:59:59.999999Z'),
               ('calendar', '1 year', 'UTC', '2026-01-01Z', '4714-11-24Z BC'),
               ('calendar', '1 week', 'America/Los_Angeles', '2026-01-01Z', '4714-11-24Z BC'),
               ('anchored', '100 years', 'UTC', '2026-01-01Z', '4714-11-24Z BC'),
               ('anchored', '36600 days', 'UTC', '2026-01-01Z', '4714-11-24Z BC'),
               ('anchored', '1 second', 'UTC', '4714-11-24Z BC', '294276-12-31 23:59:59.999999Z'))
       AS beyond (kind, period, zone, anchor, at);
SELECT pg_temp.no_window('calendar', '1 hour', 'America/Los_Angeles', '2026-01-01Z', '4714-11-24Z BC');
SELECT pg_temp.no_window('calendar', '1 hour', 'UTC', '2026-01-01Z', '294276-12-31 23:59:59.999999Z');

SELECT throws_ok(format('SELECT usage._billing_window(%L, %L, ''UTC'', %L)', first, next, at), '22008', NULL,
                 format('there is no billing window of [%s, %s) at %s', first, next, at))
  FROM (VALUES ('-infinity', '2026-01-01Z', '2026-01-01Z'), ('2026-01-01Z', 'infinity', '2026-01-01Z'),
               ('2026-01-01Z', '2026-02-01Z', 'infinity'), ('2026-01-01Z', '2026-02-01Z', '294276-12-31 23:59:59.999999Z'),
               ('2026-01-01Z', '2026-01-02Z', '294276-12-31 23:59:59.999999Z'),
               ('4714-11-24Z BC', '294276-12-31Z', '2026-01-01Z'), ('4714-11-24Z BC', '294276-11-24Z', '294276-12-31Z')) AS beyond (first, next, at);

SELECT throws_ok(format('SELECT usage.set_user_clock(%L, anchor => %L)', :'ada', anchor), '22008', NULL,
                 'an anchor at ' || anchor || ' is refused')
  FROM unnest(ARRAY['infinity', '-infinity', '0001-12-31 23:59:59.999999Z BC', '10000-01-01Z']) AS anchor;
SELECT throws_ok(format('SELECT usage.track_usage(%L, ''kept'', occurred_at => %L)', :'ada', at), '22008', NULL,
                 'an event at ' || at || ' is refused')
  FROM unnest(ARRAY['infinity', '-infinity']) AS at;
SELECT throws_ok(format('SELECT set_config(''usage_tracking.clock'', %L, true)', at), '22023', NULL,
                 format('the clock cannot stop at "%s"', left(at, 20)))
  FROM unnest(ARRAY['infinity', '-infinity', 'noon', '2026-02-29 00:00Z', '12:00', '294277-01-01Z', '%n%s',
                    repeat('2026-01-01 ', 1000)]) AS at;

SELECT is(pg_temp.everything(), :'before', 'nothing refused left a trace');
SELECT is_empty('SELECT FROM usage.usage_events', 'nor an event');

SELECT * FROM finish();
ROLLBACK;
