BEGIN;
--;
SELECT * FROM usage.consume_usage($1, 'exact', 1 + floor(random() * 3)::integer);
--;
SELECT pg_sleep(0.02);
--;
COMMIT;
