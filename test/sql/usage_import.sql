/* usage_import: history of another system
 *
 * Counters stand before, so that what is imported changes them.
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set ann '00000000-0000-0000-0000-000000090001'
\set bob '00000000-0000-0000-0000-000000090002'
\set cat '00000000-0000-0000-0000-000000090003'
BEGIN;
SELECT define_usage_limit('films_ever', 'film', 1000, 'lifetime');
SELECT define_usage_limit('films_monthly', 'film', 20, period => '1 month');
SELECT define_usage_limit('films_daily', 'film', 10, period => '1 day');
SELECT define_usage_limit('films_slide', 'film', 50, 'sliding', '7 days');
SELECT create_usage_partition('2026-03-01');

-- Nothing is there
SELECT * FROM import_usage();

-- Ann has counters, and is at work today; Bob nobody knows
SELECT track_usage(:'ann', 'film', 3) > 0 AS recorded;
SELECT track_usage(:'ann', 'film', 2, occurred_at => '2026-03-09 12:00+00') > 0 AS recorded;
CREATE VIEW used AS
SELECT CASE u WHEN :'ann' THEN 'ann' ELSE 'bob' END AS who, c.used AS ever, (check_usage_limit(u, 'films_monthly')).used AS monthly, (check_usage_limit(u, 'films_daily')).used AS daily,
       (check_usage_limit(u, 'films_slide')).used AS slide
  FROM unnest(ARRAY[:'ann', :'bob']::uuid[]) AS u, check_usage_limit(u, 'films_ever') AS c;
SELECT * FROM used;

-- By COPY, with defaults; the last is of now
COPY usage_imports (user_id, usage_type, quantity, occurred_at) FROM STDIN;
00000000-0000-0000-0000-000000090001	film	1	2019-05-05 10:00+00
00000000-0000-0000-0000-000000090001	film	2.50	2019-05-06 10:00+00
00000000-0000-0000-0000-000000090002	film	4	2021-12-31 23:59:59+00
00000000-0000-0000-0000-000000090002	film	4	2022-01-01 00:00+00
00000000-0000-0000-0000-000000090001	film	5	2026-03-02 10:00+00
00000000-0000-0000-0000-000000090001	film	1	2026-03-10 12:00+00
\.
SELECT user_id, usage_type, quantity, tokens, cost, status, occurred_at, refused FROM usage_imports ORDER BY id LIMIT 2;

-- Some at a time, the oldest first
SELECT * FROM import_usage(3);
SELECT right(user_id::text, 1), quantity, occurred_at FROM usage_imports ORDER BY id;
SELECT * FROM import_usage(0);
SELECT * FROM import_usage();
SELECT * FROM import_usage();
SELECT count(*) FROM usage_imports;
SELECT tableoid::regclass, right(user_id::text, 1), quantity, tokens, cost, status, occurred_at, xact_id = pg_current_xact_id() AS ours
  FROM usage_events WHERE user_id IN (:'ann', :'bob') ORDER BY occurred_at, id;
SELECT count(DISTINCT id) = count(*) AS own_ids FROM usage_events;
SELECT right(user_id::text, 1), started_at, anchor FROM user_subscriptions WHERE user_id IN (:'ann', :'bob') ORDER BY 1;

-- What is used is right at once, and after the next use, up to the last unit
SELECT * FROM used;
SELECT * FROM reconcile_usage();
SELECT allowed, remaining FROM consume_usage(:'ann', 'film', 2);
SELECT * FROM used;
SELECT allowed, used, remaining FROM consume_usage(:'ann', 'film', 8);
SELECT allowed, used FROM consume_usage(:'bob', 'film', 10);
SELECT * FROM used;
SELECT * FROM reconcile_usage();

-- What no event is stays and says why; the others come
INSERT INTO usage_imports (user_id, usage_type, quantity, tokens, cost, status, event_subtype, duration_ms, resource_id, occurred_at) VALUES
    (NULL, 'film', 1, 0, 0, 'success', NULL, NULL, NULL, '2020-01-01'),
    (:'cat', 'Film', 1, 0, 0, 'success', NULL, NULL, NULL, '2020-01-02'),
    (:'cat', 'flim', 1, 0, 0, 'success', NULL, NULL, NULL, '2020-01-03'),
    (:'cat', 'film', -1, 0, 0, 'success', NULL, NULL, NULL, '2020-01-04'),
    (:'cat', 'film', NULL, 0, 0, 'success', NULL, NULL, NULL, '2020-01-05'),
    (:'cat', 'film', 'NaN', 0, 0, 'success', NULL, NULL, NULL, '2020-01-06'),
    (:'cat', 'film', 1e-10, 0, 0, 'success', NULL, NULL, NULL, '2020-01-07'),
    (:'cat', 'film', 1, -1, 0, 'success', NULL, NULL, NULL, '2020-01-08'),
    (:'cat', 'film', 1, 0, 1e29, 'success', NULL, NULL, NULL, '2020-01-09'),
    (:'cat', 'film', 1, 0, 0, 'done', NULL, NULL, NULL, '2020-01-10'),
    (:'cat', 'film', 1, 0, 0, 'success', '', NULL, NULL, '2020-01-11'),
    (:'cat', 'film', 1, 0, 0, 'success', NULL, -7, NULL, '2020-01-12'),
    (:'cat', 'film', 1, 0, 0, 'success', NULL, NULL, repeat('x', 256), '2020-01-13'),
    (:'cat', 'film', 1, 0, 0, 'success', NULL, NULL, NULL, 'infinity'),
    (:'cat', 'film', 1, 0, 0, 'success', NULL, NULL, NULL, '-infinity'),
    (:'cat', 'film', 1, 0, 0, 'success', NULL, NULL, NULL, '2026-03-10 13:00'),
    (:'cat', 'film', 1, 7, NULL, 'error', 'hd', 9, 'f1', '2020-01-14');
SELECT * FROM import_usage();
SELECT quantity, occurred_at, refused FROM usage_imports ORDER BY id;
SELECT quantity, tokens, cost, status, event_subtype, duration_ms, resource_id FROM usage_events WHERE user_id = :'cat';
SELECT started_at FROM user_subscriptions WHERE user_id = :'cat';
SELECT * FROM import_usage();
DELETE FROM usage_imports;

-- Secrets go, and what is long is cut, as in track_usage()
SELECT track_usage(:'cat', 'film', error_message => repeat('e', 1001), metadata => '{"a": {"Authorization": "secret"}, "b": 1}', resource_id => 'as tracked') > 0;
SELECT track_usage(:'cat', 'film', metadata => jsonb_build_object('long', repeat('m', 9000)), resource_id => 'as tracked') > 0;
INSERT INTO usage_imports (user_id, usage_type, error_message, metadata, occurred_at, resource_id, resource_type, parent_resource_id)
VALUES (:'cat', 'film', repeat('e', 1001), '{"a": {"Authorization": "secret"}, "b": 1}', '2020-02-01', 'as imported', 'movie', 'series'),
       (:'cat', 'film', NULL, jsonb_build_object('long', repeat('m', 9000)), '2020-02-01', 'as imported', NULL, NULL);
SELECT * FROM import_usage();
SELECT resource_id, right(error_message, 30), metadata, resource_type, parent_resource_id FROM usage_events WHERE resource_id LIKE 'as %' ORDER BY id;

-- Before the year 1 there is none; a month whose events the DEFAULT partition has gets the others there
SELECT track_usage(:'bob', 'film', occurred_at => '2026-02-20') > 0;
INSERT INTO usage_imports (user_id, usage_type, occurred_at) VALUES (:'bob', 'film', '0044-03-15 BC'), (:'bob', 'film', '2026-02-21');
SELECT * FROM import_usage();
DELETE FROM usage_imports RETURNING refused;
SELECT tableoid::regclass, occurred_at FROM usage_events WHERE user_id = :'bob' AND tableoid = 'usage_events_default'::regclass ORDER BY occurred_at;
SELECT * FROM reconcile_usage();

-- Sums by day have it too
SELECT count(*) > 0 FROM refresh_usage_aggregations();
INSERT INTO usage_imports (user_id, usage_type, quantity, occurred_at) VALUES (:'bob', 'film', 7, '2021-12-31 12:00+00');
SELECT * FROM import_usage();
SELECT count(*) > 0 FROM refresh_usage_aggregations();
SELECT sum(quantity) FROM usage_aggregations WHERE user_id = :'bob' AND day = '2021-12-31';
SELECT * FROM reconcile_usage();

-- Switched off, nothing moves
INSERT INTO usage_imports (user_id, usage_type, occurred_at) VALUES (:'bob', 'film', '2021-12-31 12:00+00');
SET usage_tracking.enabled = off;
SELECT * FROM import_usage();
RESET usage_tracking.enabled;
SELECT import_usage(-1);

-- Who is erased leaves nothing to be imported
SELECT erase_user(:'bob');
SELECT count(*) FROM usage_imports;

-- Server roles bring history and take it back; users do not
CREATE ROLE regress_ut_server;
CREATE ROLE regress_ut_user;
SELECT grant_usage_access('regress_ut_server', server => true), grant_usage_access('regress_ut_user');
SELECT count(*) FROM usage_security_check();
SET ROLE regress_ut_server;
COPY usage_imports (user_id, usage_type, occurred_at) FROM STDIN;
00000000-0000-0000-0000-000000090003	film	2020-03-01
00000000-0000-0000-0000-000000090003	flim	2020-03-01
\.
SELECT * FROM import_usage();
DELETE FROM usage_imports WHERE refused IS NOT NULL RETURNING refused;
UPDATE usage_imports SET refused = NULL;
SELECT _import_usage(NULL);
SET ROLE regress_ut_user;
SELECT count(*) FROM usage_imports;
INSERT INTO usage_imports (user_id, usage_type, occurred_at) VALUES (:'ann', 'film', '2020-03-01');
SELECT import_usage();
RESET ROLE;
GRANT UPDATE ON usage_imports TO regress_ut_server;
GRANT SELECT ON usage_imports TO regress_ut_user;
SELECT * FROM usage_security_check() ORDER BY 2;
ROLLBACK;

-- An old snapshot would not show all counters that history changes
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT import_usage();
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT import_usage();
ROLLBACK;
