INSERT INTO bench.requests (user_id) VALUES ($1);
