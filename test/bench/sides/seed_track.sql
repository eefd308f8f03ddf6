SELECT seed.trackUsage($1, 'prompts');
