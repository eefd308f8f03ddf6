/*
 * Windows: every kind against an oracle of its own, over zones with odd rules.
 *
 * The oracle lists boundaries and looks an instant up among them: the window of
 * t is [largest boundary <= t, smallest boundary > t).  Boundaries are local
 * times, turned into instants by "AT TIME ZONE".  What has too many boundaries
 * for a list (hours, periods shorter than a day) is checked by what defines it.
 *
 * Instants: all changes of offset from 2000 to 2037 and their surroundings, the
 * ends of months, 29 February, and random ones.  To repeat a run:
 * pg_prove --set seed=N
 */
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT * FROM no_plan();

\if :{?seed}
\else
SELECT round(random()::numeric, 9) AS seed \gset
\endif
SELECT setseed(:seed) \gset
SELECT diag('seed ' || :'seed');

---- where and when --------------------------------------------------------

CREATE TEMP TABLE zones (zone text PRIMARY KEY);
INSERT INTO zones VALUES
    ('Africa/Cairo'),           -- changes at midnight, some years twice
    ('Africa/Casablanca'),      -- winter time in Ramadan; "summer time" in winter
    ('America/Havana'),         -- the first hour of a day is skipped or repeated
    ('America/Los_Angeles'),
    ('America/New_York'),
    ('America/Sao_Paulo'),      -- midnight skipped until 2018
    ('America/St_Johns'),       -- changes at 00:01 until 2011
    ('Antarctica/Troll'),       -- two hours at once
    ('Asia/Beirut'),            -- midnight skipped
    ('Asia/Kathmandu'),         -- +05:45
    ('Asia/Kolkata'),           -- +05:30
    ('Australia/Lord_Howe'),    -- half an hour
    ('Europe/Berlin'),
    ('Europe/Dublin'),          -- winter time is the exception there
    ('Pacific/Apia'),           -- 2011-12-30 never was
    ('Pacific/Chatham');        -- +12:45, changes at 02:45

CREATE FUNCTION pg_temp.utc_offset(at timestamptz, zone text) RETURNS interval LANGUAGE sql AS
$$ SELECT (at AT TIME ZONE zone) - (at AT TIME ZONE 'UTC') $$;

/* Every day with another offset at its end than at its start, then halved down to the second. */
CREATE TEMP TABLE changes AS
WITH RECURSIVE halves (zone, low, high) AS (
    SELECT zone, low, low + 86400
      FROM zones, generate_series(extract(epoch FROM timestamptz '2000-01-01Z')::bigint,
                                  extract(epoch FROM timestamptz '2037-12-31Z')::bigint, 86400) AS low
     WHERE pg_temp.utc_offset(to_timestamp(low), zone) <> pg_temp.utc_offset(to_timestamp(low + 86400), zone)
     UNION ALL
    SELECT zone, CASE WHEN first_half THEN low ELSE middle END, CASE WHEN first_half THEN middle ELSE high END
      FROM (SELECT *, (low + high) / 2 AS middle FROM halves WHERE high - low > 1) AS h,
           LATERAL (SELECT pg_temp.utc_offset(to_timestamp(low), zone)
                        <> pg_temp.utc_offset(to_timestamp(middle), zone) AS first_half) AS l
)
SELECT zone, to_timestamp(high) AS at FROM halves WHERE high - low = 1;
CREATE UNIQUE INDEX ON changes (zone, at);

SELECT set_has('SELECT zone, at FROM changes', $$VALUES
    ('Europe/Berlin', '2026-10-25 01:00Z'::timestamptz), ('Australia/Lord_Howe', '2026-04-04 15:00Z'),
    ('America/St_Johns', '2010-03-14 03:31Z'), ('Pacific/Apia', '2011-12-30 10:00Z'),
    ('America/Sao_Paulo', '2018-11-04 03:00Z'), ('Africa/Casablanca', '2018-05-13 02:00Z')$$,
    'the scan finds known changes of offset');

CREATE TEMP TABLE instants AS
SELECT zone, changes.at + shift * interval '1 microsecond' AS at
  FROM changes, unnest(ARRAY[0, 1, -1, 1800e6, -1800e6, 86400e6, -86400e6]) AS shift
 UNION      -- around the first midnight of each month of some years
SELECT zone, (month AT TIME ZONE zone) - back
  FROM zones, generate_series('2000-01-01'::timestamp, '2037-12-01', '1 month') AS month,
       unnest(ARRAY['0', '1 microsecond', '12:34:56.789']::interval[]) AS back
 WHERE extract(year FROM month) IN (2000, 2011, 2012, 2026, 2028, 2037)
 UNION
SELECT zone, (make_timestamp(year, 2, 29, 0, 0, 0) + hour * interval '1 hour') AT TIME ZONE zone
  FROM zones, generate_series(2000, 2036, 4) AS year, generate_series(0, 23, 5) AS hour
 UNION
SELECT zone, to_timestamp(946684800 + random() * 1199145600)
  FROM zones, generate_series(1, 150);
CREATE UNIQUE INDEX ON instants (zone, at);
SELECT cmp_ok(count(*), '>', 5000::bigint, 'there are thousands of instants') FROM instants;

---- the oracle of days and longer units -----------------------------------

/* Anchors are local times, so that they hit what is skipped or repeated somewhere. */
CREATE TEMP TABLE grids (grid text PRIMARY KEY, kind text, period interval, local_anchor timestamp, reach int);
INSERT INTO grids VALUES
    ('calendar day',                        'calendar', '1 day',    '2020-05-05 05:05', NULL),
    ('calendar week',                       'calendar', '7 days',   '2020-05-05 05:05', NULL),
    ('calendar month',                      'calendar', '1 month',  '2020-05-05 05:05', NULL),
    ('calendar quarter',                    'calendar', '3 months', '2020-05-05 05:05', NULL),
    ('calendar year',                       'calendar', '1 year',   '2020-05-05 05:05', NULL),
    ('every day at 02:30',                  'anchored', '1 day',    '2019-03-31 02:30', 8000),
    ('every 3 days at midnight',            'anchored', '3 days',   '2018-11-04 00:00', 2700),
    ('every 30 days',                       'anchored', '30 days',  '2019-10-27 00:30:00.000001', 300),
    ('every month from the 31st',           'anchored', '1 month',  '2019-01-31 02:30', 280),
    ('every month from 29 Feb at midnight', 'anchored', '1 month',  '2020-02-29 00:00', 280),
    ('every 5 months from the 30th',        'anchored', '5 months', '2018-08-30 23:59:59.999999', 60),
    ('every year from 29 Feb',              'anchored', '1 year',   '2020-02-29 12:34:56.789012', 25),
    ('a month without a billing period',    'billing',  '1 month',  '2019-12-31 02:30', 280);

CREATE TEMP TABLE questions AS
SELECT grid, kind, period, zone, local_anchor AT TIME ZONE zone AS anchor, reach FROM grids, zones;

CREATE TEMP TABLE oracle AS
SELECT grid, zone, b AS window_start, lead(b) OVER (PARTITION BY grid, zone ORDER BY b) AS window_end
  FROM (SELECT 'calendar ' || unit AS grid, zone, day AT TIME ZONE zone AS b
          FROM zones, generate_series('1998-01-01'::timestamp, '2040-12-31', '1 day') AS day,
               LATERAL (VALUES ('day',     true),
                               ('week',    extract(isodow FROM day) = 1),
                               ('month',   to_char(day, 'DD') = '01'),
                               ('quarter', to_char(day, 'MM-DD') IN ('01-01', '04-01', '07-01', '10-01')),
                               ('year',    to_char(day, 'MM-DD') = '01-01')) AS is_first (unit, yes)
         WHERE yes
         UNION  -- not UNION ALL: a day that never was has no window
        SELECT grid, zone, ((anchor AT TIME ZONE zone) + k * period) AT TIME ZONE zone
          FROM questions, generate_series(-reach, reach) AS k) AS boundaries;
CREATE UNIQUE INDEX ON oracle (grid, zone, window_start);
ANALYZE oracle;

CREATE TEMP TABLE answers AS
SELECT q.grid, q.kind, q.period, q.zone, q.anchor, i.at, w.window_start, w.window_end,
       o.window_start AS true_start, o.window_end AS true_end
  FROM questions AS q
  JOIN instants AS i USING (zone)
 CROSS JOIN LATERAL usage._usage_window(q.kind, q.period, q.zone, q.anchor, i.at) AS w
  LEFT JOIN LATERAL (SELECT * FROM oracle AS o
                      WHERE o.grid = q.grid AND o.zone = q.zone AND o.window_start <= i.at
                      ORDER BY o.window_start DESC LIMIT 1) AS o ON true;

/* One line of TAP: no row may be wrong.  Shows the first that are. */
CREATE FUNCTION pg_temp.none_wrong(wrong text[], total bigint, promise text) RETURNS text LANGUAGE sql AS $$
    SELECT ok(cardinality(wrong) = 0 AND total > 0, format('%s (%s)', promise, total))
        || CASE WHEN wrong = '{}' THEN '' ELSE E'\n' || diag(cardinality(wrong) || E' wrong, such as\n'
                                                            || array_to_string(wrong[1:3], E'\n')) END
$$;
CREATE AGGREGATE pg_temp.texts (text) (SFUNC = array_append, STYPE = text[], INITCOND = '{}');

SELECT pg_temp.none_wrong(wrong, total, grid || ' in ' || zone)
  FROM (SELECT grid, zone, count(*) AS total,
               pg_temp.texts(format('at %s: is [%s, %s), should be [%s, %s)', at, window_start, window_end,
                                    true_start, true_end) ORDER BY at)
               FILTER (WHERE (window_start, window_end) IS DISTINCT FROM (true_start, true_end)
                          OR true_end IS NULL) AS wrong
          FROM answers GROUP BY grid, zone ORDER BY grid, zone) AS compared;

SELECT pg_temp.none_wrong(wrong, total, 'windows in ' || zone || ' tile: the next begins where one ends')
  FROM (SELECT zone, count(*) AS total,
               pg_temp.texts(format('%s, at %s: [%s, %s)', grid, at, a.window_start, a.window_end) ORDER BY at)
               FILTER (WHERE NOT (a.window_start <= at AND at < a.window_end
                                  AND later.window_start = a.window_end
                                  AND earlier.window_end = a.window_start)) AS wrong
          FROM answers AS a,
               LATERAL (SELECT * FROM usage._usage_window(kind, period, zone, anchor, a.window_end)) AS later,
               LATERAL (SELECT * FROM usage._usage_window(kind, period, zone, anchor,
                                                          a.window_start - interval '1 microsecond')) AS earlier
         GROUP BY zone ORDER BY zone) AS compared;

---- billing periods, as they roll on without news -------------------------

/* What PostgreSQL's own sums say: whole months in the zone or else in UTC, counted from the start or, where a short month
 * cut the start's day, from that of the end at the start's time of day; else elapsed time.  Local times, so that
 * they hit what is skipped or repeated. */
CREATE TEMP TABLE billing (grid text PRIMARY KEY, local_start timestamp, local_end timestamp, in_utc boolean, reach int);
INSERT INTO billing VALUES
    ('a month',                          '2019-05-05 05:05', '2019-06-05 05:05', false, 280),
    ('a month from the 31st, clamped',   '2019-01-31 02:30', '2019-02-28 02:30', false, 280),
    ('a month from a clamped 31st',      '2019-02-28 02:30', '2019-03-31 02:30', false, 280),
    ('a month from a clamped 30th',      '2020-02-29 23:59:59.999999', '2020-03-30 23:59:59.999999', false, 280),
    ('a month within the year''s first', '2019-03-31 00:00', '2019-04-30 00:00', false, 280),
    ('a quarter from the 30th, clamped', '2018-11-30 00:30', '2019-02-28 00:30', false, 100),
    ('7 months from a clamped 31st',     '2018-11-30 12:00', '2019-06-30 12:00', false, 50),
    ('5 months from a clamped 31st',     '2018-11-30 12:00', '2019-04-30 12:00', false, 60),
    ('2 months to the 31st',             '2019-06-30 12:00', '2019-08-31 12:00', false, 150),
    ('a year from 29 February',          '2020-02-29 12:34:56.789012', '2021-02-28 12:34:56.789012', false, 25),
    ('4 years from 29 February',         '2016-02-29 00:00', '2020-02-29 00:00', false, 8),
    ('a month in UTC',                   '2026-03-01 00:00', '2026-04-01 00:00', true,  350),
    ('a month in UTC from the 31st',     '2026-01-31 00:00', '2026-02-28 00:00', true,  400),
    ('30 days from the 27th',            '2019-10-27 00:30', '2019-11-26 00:30', false, 300),
    ('a week',                           '2019-10-20 02:30', '2019-10-27 02:30', false, 1300),
    ('half a month',                     '2019-05-01 00:00', '2019-05-16 00:00', false, 600),
    ('31 days to a clamped day',         '2019-01-30 00:00', '2019-03-02 00:00', false, 300),
    ('a month and a microsecond',        '2019-05-05 05:05', '2019-06-05 05:05:00.000001', false, 300),
    ('a month but a second',             '2019-05-05 05:05', '2019-06-05 05:04:59', false, 300);

CREATE TEMP TABLE billing_questions AS
SELECT grid, zone, local_start AT TIME ZONE at_zone AS period_start, local_end AT TIME ZONE at_zone AS period_end, reach
  FROM billing, zones, LATERAL (SELECT CASE WHEN in_utc THEN 'UTC' ELSE zone END AS at_zone) AS z;

CREATE FUNCTION pg_temp.months_on(at timestamp, months bigint, zone text) RETURNS timestamptz LANGUAGE sql AS
$$ SELECT (at + months * interval '1 month') AT TIME ZONE zone $$;

CREATE TEMP TABLE billing_oracle AS
SELECT grid, zone, kind, b AS window_start, lead(b) OVER (PARTITION BY grid, zone ORDER BY b) AS window_end
  FROM billing_questions AS q,
       LATERAL (SELECT of_zone, first_day, last_day, from_start, from_end
                  FROM unnest(ARRAY[zone, 'UTC']) WITH ORDINALITY AS z (of_zone, place),
                       LATERAL (SELECT period_start AT TIME ZONE of_zone AS first_day,
                                       (period_end AT TIME ZONE of_zone)::date + (period_start AT TIME ZONE of_zone)::time AS last_day) AS local,
                       LATERAL (SELECT (SELECT n FROM generate_series(1, 60) AS n
                                         WHERE pg_temp.months_on(first_day, n, of_zone) = period_end) AS from_start,
                                       (SELECT n FROM generate_series(1, 60) AS n
                                         WHERE pg_temp.months_on(last_day, -n, of_zone) = period_start
                                           AND pg_temp.months_on(last_day, 0, of_zone) = period_end) AS from_end) AS whole
                 ORDER BY from_start IS NULL AND from_end IS NULL, place LIMIT 1) AS months,
       LATERAL (SELECT make_interval(secs => extract(epoch FROM period_end - period_start)::float) AS elapsed) AS length,
       LATERAL (SELECT CASE WHEN from_start IS NOT NULL THEN 'from its start' WHEN from_end IS NOT NULL THEN 'from its end'
                            ELSE 'elapsed' END AS kind) AS k,
       LATERAL (SELECT DISTINCT CASE kind WHEN 'from its start' THEN pg_temp.months_on(first_day, k * from_start, of_zone)
                                          WHEN 'from its end' THEN pg_temp.months_on(last_day, (k - 1) * from_end, of_zone)
                                          ELSE period_start + k * elapsed END AS b
                  FROM generate_series(-reach, reach) AS k) AS boundaries;
CREATE UNIQUE INDEX ON billing_oracle (grid, zone, window_start);
ANALYZE billing_oracle;
SELECT bag_eq('SELECT grid, kind FROM billing_oracle WHERE zone = ''Asia/Kolkata'' AND grid ~ ''clamped|from the 31st|30 days|microsecond'' GROUP BY grid, kind',
              $$VALUES ('a month from the 31st, clamped', 'from its start'), ('a month from a clamped 31st', 'from its end'),
                       ('a month from a clamped 30th', 'from its end'), ('a quarter from the 30th, clamped', 'from its start'),
                       ('7 months from a clamped 31st', 'from its start'), ('5 months from a clamped 31st', 'from its start'),
                       ('a month in UTC from the 31st', 'from its start'), ('30 days from the 27th', 'elapsed'),
                       ('31 days to a clamped day', 'elapsed'), ('a month and a microsecond', 'elapsed')$$,
              'the oracle knows what is a whole number of months');

CREATE TEMP TABLE billing_answers AS
SELECT q.*, i.at, w.window_start, w.window_end, o.window_start AS true_start, o.window_end AS true_end
  FROM billing_questions AS q
  JOIN instants AS i USING (zone)
 CROSS JOIN LATERAL usage._billing_window(q.period_start, q.period_end, q.zone, i.at) AS w
  LEFT JOIN LATERAL (SELECT * FROM billing_oracle AS o
                      WHERE o.grid = q.grid AND o.zone = q.zone AND o.window_start <= i.at
                      ORDER BY o.window_start DESC LIMIT 1) AS o ON true;

SELECT pg_temp.none_wrong(wrong, total, 'billed by ' || grid)
  FROM (SELECT grid, count(*) AS total,
               pg_temp.texts(format('at %s in %s: is [%s, %s), should be [%s, %s)', at, zone, window_start, window_end,
                                    true_start, true_end) ORDER BY zone, at)
               FILTER (WHERE (window_start, window_end) IS DISTINCT FROM (true_start, true_end)
                          OR true_end IS NULL) AS wrong
          FROM billing_answers GROUP BY grid ORDER BY grid) AS compared;

SELECT pg_temp.none_wrong(wrong, total, 'billing windows in ' || zone || ' tile')
  FROM (SELECT zone, count(*) AS total,
               pg_temp.texts(format('%s, at %s: [%s, %s)', grid, at, a.window_start, a.window_end) ORDER BY at)
               FILTER (WHERE NOT (a.window_start <= at AND at < a.window_end
                                  AND later.window_start = a.window_end
                                  AND earlier.window_end = a.window_start)) AS wrong
          FROM billing_answers AS a,
               LATERAL (SELECT * FROM usage._billing_window(period_start, period_end, zone, a.window_end)) AS later,
               LATERAL (SELECT * FROM usage._billing_window(period_start, period_end, zone,
                                                            a.window_start - interval '1 microsecond')) AS earlier
         GROUP BY zone ORDER BY zone) AS compared;

SELECT pg_temp.none_wrong(pg_temp.texts(format('%s in %s: [%s, %s)', grid, zone, window_start, window_end)) FILTER (
           WHERE (window_start, window_end) IS DISTINCT FROM (period_start, period_end)),
           count(*), 'the period that is known is a window itself, in every zone')
  FROM billing_questions,
       LATERAL (SELECT * FROM unnest(ARRAY[period_start, period_end - interval '1 microsecond']) AS at) AS ends,
       LATERAL (SELECT * FROM usage._billing_window(period_start, period_end, zone, at)) AS w;

SELECT pg_temp.none_wrong(pg_temp.texts(format('at %s: [%s, %s)', at, window_start, window_end)) FILTER (
           WHERE NOT (window_start <= at AND at < window_end AND window_end - window_start = length
                      AND mod(extract(epoch FROM window_start - period_start), extract(epoch FROM length)) = 0)),
           count(*), 'billed every ' || length || ', whatever the zone')
  FROM instants, (VALUES (timestamptz '2019-03-31 00:59:59.987654Z')) AS first (period_start),
       unnest(ARRAY['1 second', '10 minutes', '24 hours']::interval[]) AS length,
       LATERAL (SELECT * FROM usage._billing_window(period_start, period_start + length, zone, at)) AS w
 GROUP BY length ORDER BY length;

---- hours, and periods shorter than a day ---------------------------------

/* An hour: all the instants in a row with the same local hour and the same offset. */
CREATE FUNCTION pg_temp.hour_label(at timestamptz, zone text) RETURNS text LANGUAGE sql AS
$$ SELECT date_trunc('hour', at AT TIME ZONE zone) || ' ' || pg_temp.utc_offset(at, zone) $$;

SELECT pg_temp.none_wrong(wrong, total, 'calendar hour in ' || zone)
  FROM (SELECT zone, count(*) AS total,
               pg_temp.texts(format('at %s: [%s, %s)', at, window_start, window_end) ORDER BY at)
               FILTER (WHERE NOT (window_start <= at AND at < window_end
                       AND pg_temp.hour_label(window_start, zone) = pg_temp.hour_label(at, zone)
                       AND pg_temp.hour_label(window_end - us, zone) = pg_temp.hour_label(at, zone)
                       AND pg_temp.hour_label(window_start - us, zone) <> pg_temp.hour_label(at, zone)
                       AND pg_temp.hour_label(window_end, zone) <> pg_temp.hour_label(at, zone)
                       AND NOT EXISTS (SELECT FROM changes AS c WHERE c.zone = i.zone
                                          AND c.at > window_start AND c.at < window_end))) AS wrong
          FROM instants AS i, (VALUES (interval '1 microsecond')) AS tick (us),
               LATERAL (SELECT * FROM usage._usage_window('calendar', '1 hour', zone, at, at)) AS w
         GROUP BY zone ORDER BY zone) AS compared;

/* A whole number of periods after the anchor, one period long, whatever the zone. */
SELECT pg_temp.none_wrong(wrong, total, 'every ' || period || ' from the anchor')
  FROM (SELECT period, count(*) AS total,
               pg_temp.texts(format('at %s in %s: [%s, %s)', at, zone, window_start, window_end) ORDER BY at)
               FILTER (WHERE NOT (window_start <= at AND at < window_end AND window_end - window_start = period
                       AND mod(extract(epoch FROM window_start - anchor), extract(epoch FROM period)) = 0)) AS wrong
          FROM instants, (VALUES (timestamptz '2019-03-31 00:59:59.987654Z')) AS first (anchor),
               unnest(ARRAY['1 second', '00:01:01.5', '1 hour', '7 hours', '24 hours', '1000:00']::interval[]) AS period,
               LATERAL (SELECT * FROM usage._usage_window('anchored', period, zone, anchor, at)) AS w
         GROUP BY period ORDER BY period) AS compared;

SELECT pg_temp.none_wrong(pg_temp.texts(at::text) FILTER (
           WHERE (window_start, window_end) IS DISTINCT FROM ('-infinity'::timestamptz, 'infinity'::timestamptz)),
           count(*), 'a lifetime has no bounds')
  FROM instants, LATERAL (SELECT * FROM usage._usage_window('lifetime', '0', zone, at, at)) AS w;

---- what the oracle ought to say, from the almanac ------------------------

CREATE TEMP TABLE almanac (what text, kind text, period interval, zone text, anchor timestamptz, at timestamptz,
                           window_start timestamptz, window_end timestamptz);
INSERT INTO almanac VALUES
    ('a day of 23 hours', 'calendar', '1 day', 'Europe/Berlin', '2020-01-01Z', '2026-03-29 12:00Z',
     '2026-03-28 23:00Z', '2026-03-29 22:00Z'),
    ('a day that starts at 01:00', 'calendar', '1 day', 'America/Sao_Paulo', '2020-01-01Z', '2018-11-04 03:00Z',
     '2018-11-04 03:00Z', '2018-11-05 02:00Z'),
    ('the day before one that never was', 'calendar', '1 day', 'Pacific/Apia', '2020-01-01Z', '2011-12-30 09:59Z',
     '2011-12-29 10:00Z', '2011-12-30 10:00Z'),
    ('the day after one that never was', 'calendar', '1 day', 'Pacific/Apia', '2020-01-01Z', '2011-12-30 10:00Z',
     '2011-12-30 10:00Z', '2011-12-31 10:00Z'),
    ('a day lived twice', 'calendar', '1 day', 'Pacific/Kwajalein', '2020-01-01Z', '1969-10-01 11:00Z',
     '1969-09-29 13:00Z', '1969-10-01 12:00Z'),
    ('an hour lived twice, first time', 'calendar', '1 hour', 'Europe/Berlin', '2020-01-01Z', '2026-10-25 00:59:59.999999Z',
     '2026-10-25 00:00Z', '2026-10-25 01:00Z'),
    ('an hour lived twice, second time', 'calendar', '1 hour', 'Europe/Berlin', '2020-01-01Z', '2026-10-25 01:00Z',
     '2026-10-25 01:00Z', '2026-10-25 02:00Z'),
    ('half an hour lived twice', 'calendar', '1 hour', 'Australia/Lord_Howe', '2020-01-01Z', '2026-04-04 15:10Z',
     '2026-04-04 15:00Z', '2026-04-04 15:30Z'),
    ('an hour beside UTC by seconds', 'calendar', '1 hour', 'Africa/Monrovia', '2020-01-01Z', '1971-05-05 12:00Z',
     '1971-05-05 11:44:30Z', '1971-05-05 12:44:30Z'),
    ('before the time got another name only', 'calendar', '1 hour', 'Pacific/Honolulu', '2020-01-01Z', '1945-08-14 22:59Z',
     '1945-08-14 22:30Z', '1945-08-14 23:30Z'),
    ('after the time got another name only', 'calendar', '1 hour', 'America/St_Johns', '2020-01-01Z', '1945-08-14 23:10Z',
     '1945-08-14 22:30Z', '1945-08-14 23:30Z'),
    ('a week from Monday', 'calendar', '1 week', 'UTC', '2020-01-01Z', '2027-01-03 23:59:59.999999Z',
     '2026-12-28Z', '2027-01-04Z'),
    ('a month from the 31st, clamped', 'anchored', '1 month', 'UTC', '2026-01-31 10:00Z', '2026-03-31 09:59Z',
     '2026-02-28 10:00Z', '2026-03-31 10:00Z'),
    ('a month from the 31st, clamped to 29 Feb', 'anchored', '1 month', 'UTC', '2026-01-31 10:00Z', '2028-02-29 10:00Z',
     '2028-02-29 10:00Z', '2028-03-31 10:00Z'),
    ('a year from 29 Feb', 'anchored', '1 year', 'UTC', '2024-02-29Z', '2028-02-28Z', '2027-02-28Z', '2028-02-29Z'),
    ('before the anchor', 'anchored', '30 days', 'UTC', '2026-03-31Z', '2026-03-30Z', '2026-03-01Z', '2026-03-31Z'),
    ('in the distant past', 'calendar', '1 month', 'UTC', '2020-01-01Z', '0044-03-15Z BC', '0044-03-01Z BC', '0044-04-01Z BC'),
    ('in a distant summer', 'calendar', '1 day', 'Europe/Berlin', '2020-01-01Z', '9999-07-01Z',
     '9999-06-30 22:00Z', '9999-07-01 22:00Z');
SELECT is((w.window_start, w.window_end), (a.window_start, a.window_end), what || ': ' || a.zone)
  FROM almanac AS a, LATERAL (SELECT * FROM usage._usage_window(kind, period, zone, anchor, at)) AS w;

CREATE TEMP TABLE billing_almanac (what text, period_start timestamptz, period_end timestamptz, zone text, at timestamptz,
                                   window_start timestamptz, window_end timestamptz);
INSERT INTO billing_almanac VALUES
    ('a month from the 31st, two later', '2026-01-31 10:00Z', '2026-02-28 10:00Z', 'UTC', '2026-03-31 10:00Z',
     '2026-03-31 10:00Z', '2026-04-30 10:00Z'),
    ('a month from the 31st, the one before', '2026-01-31 10:00Z', '2026-02-28 10:00Z', 'UTC', '2026-01-31 09:59Z',
     '2025-12-31 10:00Z', '2026-01-31 10:00Z'),
    ('the next of it is a month from the 31st, too', '2026-02-28 10:00Z', '2026-03-31 10:00Z', 'UTC', '2026-05-01Z',
     '2026-04-30 10:00Z', '2026-05-31 10:00Z'),
    ('a year from 29 February, leap year reached', '2024-02-29Z', '2025-02-28Z', 'UTC', '2028-02-29Z', '2028-02-29Z', '2029-02-28Z'),
    ('30 days from 28 February end on the 30th of March: taken for a month', '2026-02-28Z', '2026-03-30Z', 'UTC', '2026-04-29Z',
     '2026-03-30Z', '2026-04-30Z'),
    ('30 days from 1 March', '2026-03-01Z', '2026-03-31Z', 'UTC', '2026-06-01Z', '2026-05-30Z', '2026-06-29Z'),
    ('31 days are a month where the month has 31', '2026-03-01Z', '2026-04-01Z', 'UTC', '2026-04-30Z', '2026-04-01Z', '2026-05-01Z'),
    ('a month that is none in Berlin, because summer begins, but in UTC', '2026-03-01Z', '2026-04-01Z', 'Europe/Berlin',
     '2026-05-02Z', '2026-05-01Z', '2026-06-01Z'),
    ('31 days that are a month nowhere', '2026-03-01 12:00Z', '2026-04-01 12:00:01Z', 'Europe/Berlin', '2026-05-03Z',
     '2026-05-02 12:00:02Z', '2026-06-02 12:00:03Z'),
    ('a month in Berlin while summer begins', '2026-02-28 23:00Z', '2026-03-31 22:00Z', 'Europe/Berlin', '2026-10-31 23:00Z',
     '2026-10-31 23:00Z', '2026-11-30 23:00Z'),
    ('two weeks, long ago', '2026-03-02Z', '2026-03-16Z', 'UTC', '2025-03-10Z', '2025-03-03Z', '2025-03-17Z'),
    ('a century', '1950-01-01Z', '2050-01-01Z', 'UTC', '2050-01-01Z', '2050-01-01Z', '2150-01-01Z');
SELECT is((w.window_start, w.window_end), (a.window_start, a.window_end), 'billed by ' || what)
  FROM billing_almanac AS a, LATERAL (SELECT * FROM usage._billing_window(period_start, period_end, zone, at)) AS w;

---- the session's own settings never matter -------------------------------

CREATE TEMP TABLE sample AS
SELECT kind, period, zone, anchor, at FROM answers WHERE abs(hashtext(grid || zone || extract(epoch FROM at))) % 20 = 0
 UNION ALL
SELECT 'calendar', '1 hour', zone, at, at FROM instants
 UNION ALL
SELECT kind, period, zone, anchor, at FROM almanac;

CREATE FUNCTION pg_temp.fingerprint() RETURNS text LANGUAGE sql AS $$
    SELECT md5(string_agg(extract(epoch FROM w.window_start) || ' ' || extract(epoch FROM w.window_end), ','
                          ORDER BY kind, extract(epoch FROM period), zone, at, anchor))
      FROM (SELECT w.*, kind, period, zone, at, anchor
              FROM sample, LATERAL (SELECT * FROM usage._usage_window(kind, period, zone, anchor, at)) AS w
             UNION ALL
            SELECT w.*, grid, '0', zone, at, a.period_start
              FROM billing_answers AS a, LATERAL (SELECT * FROM usage._billing_window(period_start, period_end, zone, at)) AS w
             WHERE abs(hashtext(grid || zone || extract(epoch FROM at))) % 20 = 0) AS w
$$;

SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO, MDY';
SET LOCAL IntervalStyle = 'postgres';
SELECT pg_temp.fingerprint() AS fingerprint \gset
SET LOCAL TimeZone = 'America/Havana';
SET LOCAL DateStyle = 'SQL, DMY';
SET LOCAL IntervalStyle = 'sql_standard';
SELECT is(pg_temp.fingerprint(), :'fingerprint', 'a session in Havana gets the same windows');
SET LOCAL TimeZone = 'Pacific/Apia';
SET LOCAL DateStyle = 'German';
SET LOCAL IntervalStyle = 'iso_8601';
SELECT is(pg_temp.fingerprint(), :'fingerprint', 'a session in Apia gets the same windows');
SET LOCAL TimeZone = 'Australia/Lord_Howe';
SET LOCAL DateStyle = 'Postgres, YMD';
SET LOCAL IntervalStyle = 'postgres_verbose';
SELECT is(pg_temp.fingerprint(), :'fingerprint', 'a session on Lord Howe Island gets the same windows');
SET LOCAL TimeZone = '<-1159>11:59';
SELECT is(pg_temp.fingerprint(), :'fingerprint', 'a session in a zone of its own making gets the same windows');

SELECT * FROM finish();
ROLLBACK;
