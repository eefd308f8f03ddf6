SELECT (usage.check_usage_limit($1, 'videos')).allowed;
