-- calls: 100
INSERT INTO seed.usage_events (user_id, event_type, status)
SELECT u::text, 'prompts', 'success' FROM layout.some_users($1) AS u;
