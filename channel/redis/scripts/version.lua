-- Lists the nodes of version 0.1 that use these channels, or did so a moment ago.
-- KEYS: seen (where they have their heartbeats)
-- ARGV: how long a silent node counts as alive (ms)
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then return {} end
local t = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[1], '+inf')
