BEGIN;
--;
SELECT * FROM usage.consume_usage($1, 'videos');
--;
SELECT pg_sleep(0.02);
--;
COMMIT;
