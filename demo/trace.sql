-- Replays a trace of LLM requests, given as CSV on standard input, through
-- usage.track_usage, in the order of the file: row n belongs to user n mod
-- demo.users. Prints events|tokens|tokens over the limit, and fails if a counter
-- differs from the events.
\set QUIET on
\pset format unaligned
\pset tuples_only on

SET TimeZone = 'UTC';
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;

CREATE TEMP TABLE trace (
    at        timestamptz,
    context   bigint,
    generated bigint,
    n         bigint GENERATED ALWAYS AS IDENTITY
);
\copy trace (at, context, generated) FROM pstdin WITH (FORMAT csv, HEADER)

-- A trace is old; events of long ago are for privileged backfills.
SET usage_tracking.max_event_age = '20000d';

SELECT usage.define_usage_limit('tokens_daily', 'llm',
                                max_usage => current_setting('demo.max_tokens')::numeric,
                                window_kind => 'calendar', period => '1 day',
                                measure => 'tokens', time_zone => 'UTC')
\g /dev/null
SELECT usage.create_usage_partition(month)
FROM (SELECT DISTINCT date_trunc('month', at)::date AS month FROM trace) AS months
\g /dev/null

SELECT usage.track_usage(user_id => md5('user ' || n % current_setting('demo.users')::bigint)::uuid,
                         usage_type => 'llm', tokens => context + generated, occurred_at => at)
FROM (SELECT * FROM trace ORDER BY n) AS requests
\g /dev/null

DO $$
BEGIN
    ASSERT NOT EXISTS (SELECT FROM usage.reconcile_usage()), 'counters and events differ';
END
$$;

SELECT count(*), coalesce(sum(tokens), 0), coalesce(sum((overage->>'tokens_daily')::numeric), 0)
FROM usage.usage_events;
