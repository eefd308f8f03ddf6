BEGIN;
--;
SELECT * FROM hand.consume($1, 1);
--;
SELECT pg_sleep(0.02);
--;
COMMIT;
