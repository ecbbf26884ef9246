-- Drops the stored messages of a channel.
-- KEYS: due, presence
-- ARGV: name, publish command
-- Returns {0} if there is no such channel, else {1, epoch, next}.
local name = ARGV[1]
local v = redis.call('HMGET', state(name), 'e', 'n')
if not v[1] then return {0} end
redis.call('DEL', history(name))
redis.call('HDEL', state(name), 'b')
redis.call('HSET', state(name), 'f', v[2])
tell(ARGV[2], name, 'C', v[1], v[2], '')
return {1, v[1], tonumber(v[2])}
