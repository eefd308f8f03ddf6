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

/* What a call costs: a book of 3000 models, and the same in a table whose columns
 * are what the statement needs, with all that a statement has to know: five
 * classes and one threshold, no tier, no class that stands in for another. */
INSERT INTO usage.model_prices (provider, model, prices, valid_from)
SELECT 'openai', 'model-' || n, pg_catalog.jsonb_build_object(
           'input', 1e-6 + n * 1e-9, 'output', 8e-6 + n * 1e-9, 'cache_read', 1e-7, 'cache_write', 2e-6, 'reasoning', 9e-6,
           'input>200000', 2e-6 + n * 1e-9, 'output>200000', 1.6e-5, 'cache_read>200000', 2e-7, 'cache_write>200000', 4e-6), '-infinity'
  FROM pg_catalog.generate_series(1, 3000) AS n;
CREATE TABLE hand.model_prices (
    provider text, model text, above bigint, valid_from timestamptz, valid_to timestamptz,
    input numeric, output numeric, cache_read numeric, cache_write numeric, reasoning numeric,
    PRIMARY KEY (model, provider, above, valid_from)
);
INSERT INTO hand.model_prices
SELECT p.provider, p.model, above, p.valid_from, p.valid_to, (prices ->> ('input' || suffix))::numeric, (prices ->> ('output' || suffix))::numeric,
       (prices ->> ('cache_read' || suffix))::numeric, (prices ->> ('cache_write' || suffix))::numeric, (prices ->> 'reasoning')::numeric
  FROM usage.model_prices AS p, (VALUES (0, ''), (200000, '>200000')) AS v (above, suffix);
CREATE FUNCTION bench.our_costs(calls integer) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
DECLARE
    sum numeric := 0;
BEGIN
    FOR n IN 1 .. calls LOOP
        sum := sum + (usage.calculate_llm_cost('openai', 'model-1500', 1000 + n, 100, 500)).total_cost;
    END LOOP;
    RETURN sum;
END
$$;
CREATE FUNCTION bench.hand_costs(calls integer) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
DECLARE
    sum numeric := 0;
    c   record;
BEGIN
    FOR n IN 1 .. calls LOOP
        SELECT i.input_cost, i.output_cost, i.input_cost + i.output_cost AS total_cost INTO c
          FROM hand.model_prices AS p,
               LATERAL (SELECT (1000 + n) * p.input + 500 * p.cache_read + 0 * p.cache_write AS input_cost,
                               100 * p.output + 0 * p.reasoning AS output_cost) AS i
         WHERE p.model = 'model-1500' AND p.provider = 'openai' AND p.above < 1000 + n + 500
           AND p.valid_from <= now() AND (p.valid_to IS NULL OR p.valid_to > now())
         ORDER BY p.above DESC LIMIT 1;
        sum := sum + c.total_cost;
    END LOOP;
    RETURN sum;
END
$$;
-- Both say the same.
SELECT 1 / (bench.our_costs(1000) = bench.hand_costs(1000))::integer \g /dev/null
