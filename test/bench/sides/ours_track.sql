SELECT usage.track_usage($1, 'prompts');
