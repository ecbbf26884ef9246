-- Tells whether a channel is alive, and counts its subscribers.
-- KEYS: due, presence
-- ARGV: name, node
-- Returns {alive (1, 0), subscribers on the other nodes}.
local v = redis.call('HMGET', state(ARGV[1]), 's', 'd')
if not v[1] then return {0, 0} end
local alive = 0
if tonumber(v[1]) > 0 or tonumber(v[2]) > now then alive = 1 end
return {alive, v[1] - (redis.call('HGET', counts(ARGV[2]), ARGV[1]) or 0)}
