SELECT seed.consumeUsage($1, 'prompts_daily', 'prompts');
