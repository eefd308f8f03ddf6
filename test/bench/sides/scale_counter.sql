-- calls: 100
SELECT count(c.allowed) FROM generate_series(1, 100) AS n, LATERAL usage.check_usage_limit(bench.SOME_USER(n), 'prompts_total') AS c;
