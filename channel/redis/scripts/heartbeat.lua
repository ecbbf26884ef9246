-- A node says that it lives and learns who else does.
-- KEYS: seen (node → when it was last heard, ms), about (node → what it says of itself)
-- ARGV: node, what it says, how long a silent node counts as alive (ms), how long the
--       channels' keys are kept (ms): these are for longer, so that the counts of a
--       silent node are always taken off
-- Returns {was it unknown (1, 0), the living, what each says, the dead}.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local unknown = redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 2 * ARGV[4]) end
local living = redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[3], '+inf')
local about = redis.call('HMGET', KEYS[2], unpack(living))
return {unknown, living, about, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now - ARGV[3])}
