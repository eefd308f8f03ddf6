-- calls: 1000
SELECT count(c.allowed) FROM generate_series(1, 1000) AS n, LATERAL seed.checkLimit($1, left('prompts_daily', 13 + 0 * n)) AS c;
