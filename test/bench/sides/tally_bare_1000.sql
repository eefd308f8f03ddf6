-- calls: 1000
INSERT INTO tally_bare.preset_usage (preset_id, user_id) SELECT bench.user_id(1 + n % 100), $1 FROM generate_series(1, 1000) AS n;
