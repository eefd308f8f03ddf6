/* admin_dashboard(30) beside the same object made of events, in a database of its own
 * with :events of them in 30 days: of 10 000 users, two of 4 usage types each with two
 * models, some of which fail or have no price, and limits of a day and of a month.
 * From events, each figure is one statement that the planner may plan as it likes,
 * with an index on time that the extension does not have; all of it is warm.  The two
 * objects must be equal, or it is an error.  Medians of :runs runs, in turns.
 */
\set ON_ERROR_STOP on
\set QUIET on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
SET synchronous_commit = off;
SET usage_tracking.clock = '2026-03-30 23:00+00';
SET usage_tracking.funnel_steps = 'search, chat, image';
SET max_parallel_maintenance_workers = 0;
SET TimeZone = 'UTC';
SET jit = off;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE TABLE users (id uuid PRIMARY KEY, email text);
INSERT INTO users SELECT md5(n::text)::uuid, 'user' || n || '@example.com' FROM generate_series(0, 9999) AS n;
SELECT usage.attach_users('users'), usage.create_usage_partition('2026-03-01') \g /dev/null
SELECT usage.define_usage_type(t) FROM unnest('{chat,image,video,search}'::text[]) AS t \g /dev/null
INSERT INTO usage.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, duration_ms, occurred_at, provider, model)
SELECT nextval('usage.usage_events_id_seq'), md5(r.who::text)::uuid, (ARRAY['chat', 'image', 'video', 'search'])[1 + (r.who / 7 + r.b % 2) % 4],
       CASE r.a % 25 WHEN 0 THEN 'failed' WHEN 1 THEN 'cancelled' ELSE 'success' END, 1, r.a + r.b,
       CASE r.a % 97 WHEN 0 THEN NULL ELSE r.a * 0.0000025 + r.b * 0.00001 END, r.b * 11,
       '2026-03-01 00:00+00'::timestamptz + (r.n * 2588399.0 / :events) * interval '1 second', 'openai', 'model-' || (r.who + r.b % 2) % 10
  FROM (SELECT s.n, (hashint8(s.n)::bigint + 2147483648) % (3000 + (hashint8(s.n + 7)::bigint + 2147483648) % 3 * 3500) AS who, s.n * 104729 % 3001 AS a, s.n * 1299709 % 900 AS b
          FROM generate_series(1, :events::bigint) AS s (n)) AS r;
VACUUM (ANALYZE, FREEZE) usage.usage_events;
CREATE INDEX ON usage.usage_events (occurred_at);
DO $$ BEGIN WHILE (usage.refresh_usage_aggregations(200000))."left" > 0 LOOP END LOOP; END $$;
SELECT usage.refresh_usage_aggregations() \g /dev/null
-- Counters as uses would have made them
SELECT usage.define_usage_limit('chats_daily', 'chat', 30), usage.define_usage_limit('all_monthly', NULL, 1400, period => '1 month') \g /dev/null
INSERT INTO usage.usage_counters (user_id, limit_id, window_start, window_end, used)
SELECT e.user_id, l.limit_id, w.since, w.since + l.period, sum(e.quantity)
  FROM usage.usage_limits AS l, LATERAL (SELECT date_trunc(CASE l.period WHEN '1 day' THEN 'day' ELSE 'month' END, '2026-03-30'::timestamptz)) AS w (since),
       usage.usage_events AS e
 WHERE e.occurred_at >= w.since AND e.occurred_at < w.since + l.period AND (l.usage_type IS NULL OR e.usage_type = l.usage_type) AND e.status = 'success'
 GROUP BY 1, 2, 3, 4;
VACUUM (ANALYZE) usage.usage_aggregations, usage.usage_daily_totals, usage.usage_user_months, usage.usage_rollup_state, usage.usage_counters, users;
SELECT format('%s events, %s rows of sums by day, %s by month', :events, (SELECT count(*) FROM usage.usage_aggregations), (SELECT count(*) FROM usage.usage_user_months));

CREATE VIEW of_range AS SELECT *, (occurred_at AT TIME ZONE 'UTC')::date AS day FROM usage.usage_events
    WHERE occurred_at >= '2026-03-01 00:00+00' AND occurred_at < '2026-03-31 00:00+00';
CREATE VIEW raw_trends AS
    SELECT day, usage_type, count(*) AS events, count(*) FILTER (WHERE status <> 'success') AS failed, sum(quantity) AS quantity, sum(tokens) AS tokens,
           trim_scale(sum(coalesce(cost, 0))) AS cost, count(DISTINCT user_id) AS users
      FROM of_range GROUP BY 1, 2;
CREATE VIEW raw_models AS
    SELECT provider, model, count(*) AS events, sum(tokens) AS tokens, trim_scale(sum(coalesce(cost, 0))) AS cost,
           round(sum(coalesce(cost, 0)) * 100 / sum(sum(coalesce(cost, 0))) OVER (), 1) AS percent, count(*) - count(cost) AS unpriced
      FROM of_range GROUP BY 1, 2 ORDER BY 5 DESC, 3 DESC, 1, 2 LIMIT 20;
CREATE VIEW raw_errors AS
    SELECT usage_type, provider, model, count(*) AS events, count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE status = 'rate_limited') AS rate_limited, round(count(*) FILTER (WHERE status = 'failed') * 100.0 / count(*), 2) AS error_rate,
           count(*) <= 10 AS is_small_sample, round(avg(duration_ms), 3) AS duration_ms_mean, max(duration_ms) AS duration_ms_max
      FROM of_range GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 20;
CREATE VIEW raw_units AS
    SELECT usage_type, count(DISTINCT user_id) AS users, count(*) AS events, sum(quantity) AS quantity, trim_scale(sum(coalesce(cost, 0))) AS cost,
           trim_scale(round(sum(coalesce(cost, 0)) / count(DISTINCT user_id), 12)) AS cost_per_user, trim_scale(round(sum(coalesce(cost, 0)) / count(*), 12)) AS cost_per_event,
           trim_scale(round(sum(coalesce(cost, 0)) / sum(quantity), 12)) AS cost_per_unit, count(*) - count(cost) AS unpriced
      FROM of_range GROUP BY GROUPING SETS ((usage_type), ());
CREATE VIEW raw_top AS
    SELECT t.*, u.email FROM (
        SELECT user_id, count(*) AS events, count(*) FILTER (WHERE status = 'success') AS uses, count(*) FILTER (WHERE status <> 'success') AS failed,
               sum(quantity) AS quantity, sum(tokens) AS tokens, trim_scale(sum(coalesce(cost, 0))) AS cost, max(occurred_at) FILTER (WHERE status = 'success') AS last_used
          FROM of_range GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 10) AS t JOIN users AS u ON u.id = t.user_id;
CREATE VIEW raw_funnel AS
    WITH taken AS MATERIALIZED (SELECT DISTINCT user_id, usage_type, day FROM of_range WHERE status = 'success' AND usage_type <> 'video'),
         one AS (SELECT user_id, min(day) AS day FROM taken WHERE usage_type = 'search' GROUP BY 1),
         two AS (SELECT t.user_id, min(t.day) AS day FROM one AS o JOIN taken AS t ON t.user_id = o.user_id AND t.usage_type = 'chat' AND t.day >= o.day GROUP BY 1),
         three AS (SELECT t.user_id, min(t.day) AS day FROM two AS o JOIN taken AS t ON t.user_id = o.user_id AND t.usage_type = 'image' AND t.day >= o.day GROUP BY 1),
         counted (step, name, users) AS (VALUES (0, 'registered', (SELECT count(*) FROM users)), (1, 'search', (SELECT count(*) FROM one)),
                                                (2, 'chat', (SELECT count(*) FROM two)), (3, 'image', (SELECT count(*) FROM three)))
    SELECT step, name, users, round(users * 100.0 / first_value(users) OVER (ORDER BY step), 2) AS percent,
           CASE WHEN lag(users) OVER (ORDER BY step) > 0 THEN round(users * 100.0 / lag(users) OVER (ORDER BY step), 2) END AS percent_of_previous
      FROM counted;
CREATE VIEW raw_forecast AS
    SELECT '2026-03-01'::date AS month, trim_scale(sum(coalesce(cost, 0))) AS month_to_date, round(719.0 / 744, 6) AS elapsed_share,
           trim_scale(round(sum(coalesce(cost, 0)) * 2678400 / 2588400, 6)) AS forecast, count(*) - count(cost) AS unpriced
      FROM of_range;
CREATE VIEW raw_near AS
    SELECT n.*, u.email FROM (
        SELECT user_id, 'chats_daily' AS limit_type, sum(quantity) AS used, 30 AS max_usage, round(sum(quantity) * 100 / 30, 1) AS percent, '2026-03-31 00:00+00'::timestamptz AS reset_at
          FROM usage.usage_events WHERE occurred_at >= '2026-03-30 00:00+00' AND occurred_at < '2026-03-31 00:00+00' AND usage_type = 'chat' AND status = 'success' GROUP BY 1
         UNION ALL
        SELECT user_id, 'all_monthly', sum(quantity), 1400, round(sum(quantity) * 100 / 1400, 1), '2026-04-01 00:00+00'
          FROM usage.usage_events WHERE occurred_at >= '2026-03-01 00:00+00' AND occurred_at < '2026-04-01 00:00+00' AND status = 'success' GROUP BY 1) AS n JOIN users AS u ON u.id = n.user_id
     WHERE percent >= 80 ORDER BY percent DESC, user_id, limit_type LIMIT 20;
CREATE VIEW raw AS
    WITH trends AS MATERIALIZED (TABLE raw_trends), units AS MATERIALIZED (TABLE raw_units), funnel AS MATERIALIZED (TABLE raw_funnel)
    SELECT jsonb_build_object(
        'kind', 'admin', 'generated_at', '2026-03-30 23:00+00'::timestamptz, 'time_zone', 'UTC', 'days', 30, 'first_day', '2026-03-01', 'last_day', '2026-03-30',
        'totals', (SELECT jsonb_build_object('registered', (SELECT count(*) FROM users), 'active_users', u.users, 'events', u.events,
                                             'failed', (SELECT sum(failed) FROM trends), 'tokens', (SELECT sum(tokens) FROM trends), 'cost', u.cost, 'unpriced', u.unpriced)
                     FROM units AS u WHERE u.usage_type IS NULL),
        'forecast', (SELECT to_jsonb(f) FROM raw_forecast AS f),
        'funnel', (SELECT jsonb_agg(f ORDER BY f.step) FROM funnel AS f),
        'trends', (SELECT jsonb_agg(to_jsonb(t) - 'failed' ORDER BY t.day, t.usage_type) FROM trends AS t),
        'models', (SELECT jsonb_agg(m ORDER BY m.cost DESC, m.events DESC, m.provider, m.model) FROM raw_models AS m),
        'error_rates', (SELECT jsonb_agg(x ORDER BY x.events DESC, x.usage_type, x.provider, x.model) FROM raw_errors AS x),
        'top_users', (SELECT jsonb_agg(t ORDER BY t.uses DESC, t.user_id) FROM raw_top AS t),
        'near_limits', (SELECT coalesce(jsonb_agg(to_jsonb(n) || jsonb_build_object('plan', 'free', 'measure', 'quantity', 'description', NULL, 'state', CASE WHEN n.percent >= 100 THEN 'reached' ELSE 'near' END)
                                         ORDER BY n.percent DESC, n.user_id, n.limit_type), '[]') FROM raw_near AS n),
        'unit_costs', (SELECT jsonb_agg(u ORDER BY u.usage_type NULLS FIRST) FROM units AS u)) AS dashboard;

DO $$
DECLARE
    ours jsonb := usage.admin_dashboard(30);
    theirs jsonb := (SELECT dashboard FROM raw);
    key text;
BEGIN
    FOR key IN SELECT jsonb_object_keys(ours || theirs) LOOP
        IF ours -> key IS DISTINCT FROM theirs -> key THEN
            RAISE EXCEPTION '% differs: % and %', key, left((ours -> key)::text, 1500), left((theirs -> key)::text, 1500);
        END IF;
    END LOOP;
END
$$;
CREATE FUNCTION milliseconds(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    RETURN extract(epoch FROM clock_timestamp() - began) * 1000;
END
$$;
CREATE TABLE times AS SELECT n, milliseconds('SELECT dashboard FROM raw') AS raw, milliseconds('SELECT usage.admin_dashboard(30)') AS ours FROM generate_series(1, :runs) AS n;
SELECT format('dashboard of 30 days: %s ms from events, %s ms from sums: %s times as fast', round(percentile_disc(0.5) WITHIN GROUP (ORDER BY raw)),
              round(percentile_disc(0.5) WITHIN GROUP (ORDER BY ours), 1),
              round(percentile_disc(0.5) WITHIN GROUP (ORDER BY raw) / percentile_disc(0.5) WITHIN GROUP (ORDER BY ours)))
  FROM times;
