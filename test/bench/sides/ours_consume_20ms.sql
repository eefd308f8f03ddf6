BEGIN;
--;
SELECT * FROM usage.consume_usage($1, 'prompts');
--;
SELECT pg_sleep(0.02);
--;
COMMIT;
