WITH event AS (
    INSERT INTO hand.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
    VALUES (nextval('hand.usage_events_id_seq'), $1, 'prompts', 'success', 1, 0, 0, clock_timestamp())
    RETURNING id
), counter AS (
    INSERT INTO hand.usage_counters AS c (user_id, limit_id, window_start, stripe, window_end, used)
    VALUES ($1, 1, date_trunc('day', now(), 'UTC'), 0, date_trunc('day', now(), 'UTC') + interval '1 day', 1)
    ON CONFLICT (user_id, limit_id, window_start, stripe, window_end) DO UPDATE SET used = c.used + 1
    RETURNING used
)
SELECT id, used FROM event, counter;
