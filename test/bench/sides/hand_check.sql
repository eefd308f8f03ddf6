SELECT used FROM hand.usage_counters
 WHERE user_id = $1 AND limit_id = 1
   AND window_start = date_trunc('day', now(), 'UTC') AND stripe = 0
   AND window_end = date_trunc('day', now(), 'UTC') + interval '1 day';
