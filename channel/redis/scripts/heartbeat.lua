-- Records that a node lives, and lists the living and the dead nodes.
-- KEYS: beats (node → last heartbeat, ms), status (node → its description), seen (where the
--       nodes of version 0.1 have their heartbeats)
-- ARGV: node, its description, how long a silent node counts as alive (ms), how long the
--       channels' keys are kept (ms): the keys of this script are kept twice as long, so
--       that the counts of a silent node are always removed
-- Returns {was the node unknown (1, 0), living nodes, their descriptions, dead nodes}.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local unknown = redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
-- A text where it expects its sorted set keeps a node of version 0.1 from starting.
redis.call('SET', KEYS[3], 'the nodes have a later version than 0.1')
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 2 * ARGV[4]) end
local living = redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[3], '+inf')
local about = redis.call('HMGET', KEYS[2], unpack(living))
return {unknown, living, about, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now - ARGV[3])}
