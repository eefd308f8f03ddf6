WITH event AS (
    INSERT INTO hand.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
    VALUES (nextval('hand.usage_events_id_seq'), $1, 'prompts', 'success', 1, 0, 0, clock_timestamp())
    RETURNING id
), counter AS (
    UPDATE hand.usage_counters SET used = used + 1
     WHERE user_id = $1 AND limit_id = 1 AND stripe = 0
       AND window_start = date_trunc('day', now(), 'UTC')
       AND window_end = date_trunc('day', now(), 'UTC') + interval '1 day'
    RETURNING used
)
SELECT id, used FROM event, counter;
