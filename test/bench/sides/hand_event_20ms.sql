BEGIN;
--;
INSERT INTO hand.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
VALUES (nextval('hand.usage_events_id_seq'), $1, 'prompts', 'success', 1, 0, 0, clock_timestamp())
RETURNING id;
--;
SELECT pg_sleep(0.02);
--;
COMMIT;
