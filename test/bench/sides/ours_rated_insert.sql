INSERT INTO bench.requests (user_id) SELECT $1 FROM usage.consume_rate_limit($1, 'bench') AS d WHERE d.allowed;
