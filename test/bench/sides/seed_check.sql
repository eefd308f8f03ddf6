SELECT * FROM seed.checkLimit($1, 'prompts_daily');
