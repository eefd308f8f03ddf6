-- calls: 1000
-- input: SELECT bench.some_events_json() FROM generate_series(1, 20)
SELECT * FROM usage.track_usage_batch($1);
