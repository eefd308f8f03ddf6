-- calls: 1000
SELECT count(c.allowed) FROM generate_series(1, 1000) AS n, LATERAL usage.check_usage_limit($1, 'prompts', 1 + 0 * n) AS c;
