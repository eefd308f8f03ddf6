SELECT * FROM usage.consume_usage($1, 'prompts');
