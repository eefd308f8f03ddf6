/* Sums by day beside the same figures from events, in a database of its own with
 * :events of them over 90 days, for 10 000 users, 4 types and 10 models:
 *   totals   30 days over all users, from events by the better of two plans (an
 *            index on time, or all partitions of that time) and from sums; equal
 *            to the last digit, or it is an error
 *   user     the same of one user, from his events by the key and from sums
 *   refresh  10 000 new events
 * Medians of :runs warm runs.  First the size of an event with its indexes.
 */
\set ON_ERROR_STOP on
\set QUIET on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
SET synchronous_commit = off;
SET usage_tracking.clock = '2026-03-31 23:00+00';
SET max_parallel_maintenance_workers = 0;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT count(usage.create_usage_partition(m::date)) FROM generate_series('2026-01-01', '2026-03-01', interval '1 month') AS m \g /dev/null

CREATE FUNCTION some_events(n bigint) RETURNS void LANGUAGE sql AS $$
    SELECT pg_current_xact_id();
    INSERT INTO usage.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, duration_ms, occurred_at, provider, model,
                                    campaign_id, input_tokens, output_tokens)
    SELECT nextval('usage.usage_events_id_seq'), md5((r.n * 7919 % 10000)::text)::uuid, (ARRAY['chat', 'image', 'video', 'search'])[1 + r.n % 4],
           CASE r.n % 20 WHEN 0 THEN 'failed' ELSE 'success' END, 1, r.a + r.b, r.a * 0.0000025 + r.b * 0.00001, r.b * 11,
           '2026-01-01 00:00+00'::timestamptz + (r.n * 7776000.0 / $1) * interval '1 second', 'openai', 'model-' || r.n % 10,
           CASE r.n % 50 WHEN 0 THEN 'campaign-' || r.n % 7 END, r.a, r.b
      FROM (SELECT s.n, s.n * 104729 % 3000 AS a, s.n * 1299709 % 900 AS b FROM generate_series(1, $1) AS s (n)) AS r;
$$;
SELECT some_events(:events) \g /dev/null
VACUUM (ANALYZE, FREEZE) usage.usage_events;
CHECKPOINT;
SELECT format('%s events: %s bytes each in the table, %s in its indexes', :events, round(sum(pg_table_size(relid)) / :events),
              round(sum(pg_indexes_size(relid)) / :events))
  FROM pg_partition_tree('usage.usage_events') WHERE isleaf;
CREATE INDEX ON usage.usage_events (occurred_at);

CREATE FUNCTION milliseconds(query text, runs integer) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz;
    times numeric[] := '{}';
BEGIN
    EXECUTE query;
    FOR run IN 1 .. runs LOOP
        began := clock_timestamp();
        EXECUTE query;
        times := times || extract(epoch FROM clock_timestamp() - began) * 1000;
    END LOOP;
    RETURN (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times) AS t);
END
$$;
CREATE FUNCTION first_count() RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    WHILE (usage.refresh_usage_aggregations(200000))."left" > 0 LOOP END LOOP;
    RETURN extract(epoch FROM clock_timestamp() - began) * 1000;
END
$$;
SELECT format('counted for the first time in %s ms', round(first_count()));
SELECT usage.refresh_usage_aggregations() \g /dev/null
VACUUM (ANALYZE) usage.usage_aggregations, usage.usage_daily_totals, usage.usage_rollup_state;

\set columns 'count(*) AS events, sum(quantity) AS quantity, sum(tokens) AS tokens, sum(coalesce(input_tokens, 0)) AS input_tokens, sum(coalesce(output_tokens, 0)) AS output_tokens, sum(coalesce(cost, 0)) AS cost, count(*) - count(cost) AS unpriced, round(avg(duration_ms), 3) AS mean, max(duration_ms) AS longest'
CREATE VIEW raw_totals AS
    SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, usage_type, provider, model, status, :columns
      FROM usage.usage_events WHERE occurred_at >= '2026-03-02 00:00+00' AND occurred_at < '2026-04-01 00:00+00' GROUP BY 1, 2, 3, 4, 5;
CREATE VIEW summed_totals AS SELECT * FROM usage.get_usage_totals('2026-03-02', '2026-03-31');
CREATE VIEW raw_user AS
    SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, usage_type, provider, model, campaign_id, status, :columns
      FROM usage.usage_events WHERE user_id = md5('7')::uuid AND occurred_at >= '2026-03-02 00:00+00' AND occurred_at < '2026-04-01 00:00+00'
     GROUP BY 1, 2, 3, 4, 5, 6;
CREATE VIEW summed_user AS SELECT * FROM usage.get_user_aggregations(md5('7')::uuid, 'day', '2026-03-02', '2026-03-31');
DO $$
BEGIN
    IF EXISTS (TABLE raw_totals EXCEPT ALL TABLE summed_totals) OR EXISTS (TABLE summed_totals EXCEPT ALL TABLE raw_totals)
       OR EXISTS (TABLE raw_user EXCEPT ALL TABLE summed_user) OR EXISTS (TABLE summed_user EXCEPT ALL TABLE raw_user) THEN
        RAISE EXCEPTION 'figures differ';
    END IF;
END
$$;
SELECT milliseconds('TABLE raw_totals', :runs) AS by_choice \gset
SET enable_seqscan = off;
SELECT milliseconds('TABLE raw_totals', :runs) AS by_index \gset
RESET enable_seqscan;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT milliseconds('TABLE raw_totals', :runs) AS by_scan \gset
RESET enable_indexscan;
RESET enable_bitmapscan;
SELECT milliseconds('TABLE summed_totals', :runs) AS summed, milliseconds('TABLE raw_user', :runs) AS user_raw,
       milliseconds('TABLE summed_user', :runs) AS user_summed \gset
SELECT format('totals of 30 days: %s ms from events, %s ms from sums: %s times as fast', round(least(:by_choice, :by_index, :by_scan), 1), round(:summed, 2),
              round(least(:by_choice, :by_index, :by_scan) / :summed));
SELECT format('one user, 30 days: %s ms from events, %s ms from sums', round(:user_raw, 2), round(:user_summed, 2));

CREATE PROCEDURE refresh_times(runs integer, INOUT median numeric) LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz;
    times numeric[] := '{}';
BEGIN
    FOR run IN 0 .. runs LOOP
        PERFORM some_events(10000);
        COMMIT;
        began := clock_timestamp();
        PERFORM usage.refresh_usage_aggregations();
        times := times || extract(epoch FROM clock_timestamp() - began) * 1000;
        COMMIT;
    END LOOP;
    median := (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times[2:]) AS t);
END
$$;
CALL refresh_times(:runs, NULL) \gset
SELECT format('refresh of 10000 new events: %s ms', round(:median));
SELECT format('differences: %s', count(*)) FROM usage.reconcile_usage();
