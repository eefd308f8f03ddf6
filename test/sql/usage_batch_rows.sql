/* usage_batch_rows: rows of a batch are those that one call each would make
 *
 * Whatever the month they go to is like: plain, not plain, none; and however large
 * they are.  Ann's events come one by one, Bob's together.
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET usage_tracking.clock = '2022-03-10 12:00+00';
SET usage_tracking.max_event_age = '200d';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set ann '00000000-0000-0000-0000-000000070001'
\set bob '00000000-0000-0000-0000-000000070002'
BEGIN;
SELECT define_usage_limit('videos', 'video', 20, 'lifetime');
SELECT create_usage_partition('2022-03-01'), create_usage_partition('2022-02-01'), create_usage_partition('2021-12-01');

-- February has a CHECK, December a trigger, of the owner; of January there is no partition
ALTER TABLE usage_events_2022_02 ADD CHECK (quantity < 1000);
CREATE TABLE seen (id bigint);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER see AFTER INSERT ON usage_events_2021_12 FOR EACH ROW EXECUTE FUNCTION see();

-- 40 facts in all four months, some of them with metadata that is stored out of line
CREATE TABLE facts AS
SELECT n, (ARRAY['2022-03-01', '2022-02-01', '2022-01-01', '2021-12-01'])[1 + n % 4]::timestamptz + n * interval '1 hour' AS at,
       n % 3 AS quantity, 7 * n AS tokens, n / 8.0 AS cost, CASE WHEN n % 5 = 0 THEN 'failed' ELSE 'success' END AS status,
       jsonb_build_object('n', n, 'text', (SELECT string_agg(md5(n || ' ' || m), '') FROM generate_series(1, CASE WHEN n % 7 = 0 THEN 120 ELSE 1 END) AS m)) AS metadata
  FROM generate_series(1, 40) AS n;
SELECT count(i.track_usage)
  FROM (SELECT track_usage(:'ann', 'video', quantity, tokens, cost, status, 'sub', n, 'error', 'film', n::text, 'series', metadata, at)
          FROM (SELECT * FROM facts ORDER BY n) AS f) AS i;
CREATE FUNCTION batch_for(user_id uuid) RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_agg(jsonb_build_object(
           'user_id', user_id, 'usage_type', 'video', 'quantity', quantity, 'tokens', tokens, 'cost', cost, 'status', status,
           'event_subtype', 'sub', 'duration_ms', n, 'error_message', 'error', 'resource_type', 'film', 'resource_id', n::text,
           'parent_resource_id', 'series', 'metadata', metadata, 'occurred_at', at) ORDER BY n)
  FROM public.facts
$$;
SELECT * FROM track_usage_batch(batch_for(:'bob'));

-- The same rows in the same months, but for who and when recorded
CREATE VIEW rows_of AS
SELECT e.user_id, tableoid::regclass AS month, to_jsonb(e) - 'user_id' - 'id' - 'recorded_at' AS event FROM usage_events AS e WHERE e.user_id IN (:'ann', :'bob');
SELECT month, count(*), count(DISTINCT event), max(length(event::text)) > 3000 AS has_large
  FROM rows_of GROUP BY month, user_id ORDER BY month::text COLLATE "C", user_id;
(SELECT month, event FROM rows_of WHERE user_id = :'ann' EXCEPT ALL SELECT month, event FROM rows_of WHERE user_id = :'bob')
UNION ALL
(SELECT month, event FROM rows_of WHERE user_id = :'bob' EXCEPT ALL SELECT month, event FROM rows_of WHERE user_id = :'ann');
SELECT count(*) AS seen FROM seen;

-- Each is found by its key, and by its id; ids are different
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT count(*) FROM facts AS f, LATERAL (SELECT FROM usage_events WHERE user_id = :'bob' AND occurred_at = f.at AND tokens = f.tokens OFFSET 0) AS e;
RESET enable_bitmapscan;
SELECT count(*), count(DISTINCT id)
  FROM (SELECT id FROM usage_events WHERE user_id IN (:'ann', :'bob')) AS i, LATERAL (SELECT FROM usage_events AS e WHERE e.id = i.id AND e.recorded_at <= clock_timestamp() OFFSET 0) AS e;
RESET enable_seqscan;

-- Counters are what the events are, and who was new began with his first event
SELECT count(*) FROM reconcile_usage();
SELECT user_id = :'bob' AS bob, started_at, anchor FROM user_subscriptions WHERE user_id IN (:'ann', :'bob') ORDER BY user_id;

-- A trigger of the owner for statements: nothing goes past it
CREATE FUNCTION see_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (-1); RETURN NULL; END $$;
CREATE TRIGGER see_statement AFTER INSERT ON usage_events FOR EACH STATEMENT EXECUTE FUNCTION see_statement();
SELECT recorded, errors FROM track_usage_batch(batch_for(:'bob'));
SELECT count(*) FILTER (WHERE id = -1) AS statements, count(*) FILTER (WHERE id > 0) AS "rows" FROM seen;
SELECT count(*), count(DISTINCT event) FROM rows_of WHERE user_id = :'bob';

-- A CHECK of the owner holds in a batch too, and then nothing of it is there
\set VERBOSITY terse
SELECT track_usage_batch(batch_for(:'bob') || jsonb_build_object('user_id', :'bob', 'usage_type', 'video', 'quantity', 1000, 'occurred_at', '2022-02-02'));
ROLLBACK;
