SELECT (usage.consume_rate_limit($1, 'bench')).allowed;
