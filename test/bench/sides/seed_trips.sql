-- What the guide's service asks its client's connection for one check.
SELECT * FROM seed.user_subscriptions WHERE user_id = $1 LIMIT 1;
--;
SELECT * FROM seed.usage_limits_config WHERE limit_type = 'prompts_daily' AND is_active = true LIMIT 1;
--;
SELECT COALESCE(SUM(count), 0) FROM seed.user_usage
 WHERE user_id = $1 AND usage_type = 'prompts' AND usage_date >= (now() AT TIME ZONE 'UTC')::date;
