-- redis
local count = redis.call('INCR', KEYS[1]) if count == 1 then redis.call('EXPIRE', KEYS[1], 60) end return count
--;
INSERT INTO bench.requests (user_id) VALUES ($1);
