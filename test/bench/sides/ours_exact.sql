SELECT * FROM usage.consume_usage($1, 'exact', 1 + floor(random() * 3)::integer);
