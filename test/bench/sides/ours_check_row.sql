SELECT * FROM usage.check_usage_limit($1, 'prompts');
