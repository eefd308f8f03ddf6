-- calls: 1000
-- input: SELECT bench.some_events_text() FROM generate_series(1, 20)
COPY hand.usage_events (user_id, usage_type, status, quantity, tokens, cost) FROM STDIN;
