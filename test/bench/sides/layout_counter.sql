-- calls: 100
INSERT INTO hand.usage_counters AS c (user_id, limit_id, window_start, stripe, window_end, used)
SELECT u, 1, date_trunc('day', now(), 'UTC'), 0, date_trunc('day', now(), 'UTC') + interval '1 day', 1
  FROM layout.some_users($1) AS u
    ON CONFLICT (user_id, limit_id, window_start, stripe, window_end) DO UPDATE SET used = c.used + 1;
