-- calls: 100
INSERT INTO layout.heap (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
SELECT nextval('layout.id'), u, 'prompts', 'success', 1, 0, 0, clock_timestamp()
  FROM layout.some_users($1) AS u;
