/* What the benchmark runs on: the extension, the same tables written by hand,
 * and as many users as the variable "keys" says.
 *
 * Every limit is so high that it is never reached, and none is unlimited, which
 * would let the others stop before they count.
 */
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET synchronous_commit = off;

CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE SCHEMA bench;

CREATE FUNCTION bench.user_id(n bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ('00000000-0000-0000-0000-' || pg_catalog.lpad(n::text, 12, '0'))::uuid;

-- Seed S2's limits, with the types that its application counts.
SELECT usage.define_usage_limit('prompts_daily', 'prompts', 2147483647) \g /dev/null
SELECT usage.define_usage_limit('exports_daily', 'exports', 2147483647) \g /dev/null
SELECT usage.define_usage_limit('exports_monthly', 'exports', 2147483647, period => '1 month') \g /dev/null
SELECT usage.define_usage_limit('projects_total', 'projects', 2147483647, window_kind => 'lifetime') \g /dev/null
SELECT usage.define_usage_limit('web_agent_daily', 'web_agent', 2147483647) \g /dev/null
SELECT usage.define_usage_limit('api_calls_hourly', 'api_calls', 2147483647, period => '1 hour') \g /dev/null
SELECT FROM usage.usage_maintenance() \g /dev/null

-- What is written by hand names it by number.
SELECT 1 / (limit_id = 1)::integer FROM usage.usage_limits WHERE limit_type = 'prompts_daily' \g /dev/null

SELECT FROM pg_catalog.generate_series(1, :keys) AS n,
    LATERAL usage.consume_usage(bench.user_id(n), 'prompts') \g /dev/null

/* By hand: tables as the extension has them, and nothing that looks after them. */
CREATE SCHEMA hand;
CREATE SEQUENCE hand.usage_events_id_seq;
CREATE TABLE hand.usage_events (LIKE usage.usage_events INCLUDING DEFAULTS) PARTITION BY RANGE (occurred_at);
CREATE TABLE hand.usage_events_default PARTITION OF hand.usage_events DEFAULT;
DO $$
DECLARE
    first_day timestamptz := date_trunc('month', now(), 'UTC');
BEGIN
    EXECUTE format('CREATE TABLE hand.usage_events_now PARTITION OF hand.usage_events FOR VALUES FROM (%L) TO (%L)',
                   first_day, first_day + interval '2 months');
END
$$;
ALTER TABLE hand.usage_events_now ADD PRIMARY KEY (user_id, occurred_at, id);
CREATE INDEX ON hand.usage_events_now USING brin (id, recorded_at) WITH (autosummarize);
CREATE TABLE hand.usage_counters (LIKE usage.usage_counters INCLUDING DEFAULTS INCLUDING INDEXES)
    WITH (fillfactor = 70);
INSERT INTO hand.usage_counters SELECT * FROM usage.usage_counters;

-- The day's counter is there in any case, also for a race over midnight.
INSERT INTO hand.usage_counters (user_id, limit_id, window_start, window_end, used)
SELECT user_id, limit_id, window_end, window_end + interval '1 day', 0 FROM hand.usage_counters;
