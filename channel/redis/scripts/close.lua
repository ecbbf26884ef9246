-- Frees a channel and ends its subscribers.
-- KEYS: due, presence
-- ARGV: name, publish command, how long to remember the end for nodes that miss it (ms)
-- Returns {0} if there is no such channel, else {1, epoch, next}.
local name = ARGV[1]
local v = redis.call('HMGET', state(name), 'e', 'n')
if not v[1] then return {0} end
for _, node in ipairs(redis.call('HKEYS', base .. 'ns')) do count(name, node, 0) end
free(name)
redis.call('SET', closed(name), v[1] .. v[2], 'PX', ARGV[3])
tell(ARGV[2], name, 'X', v[1], v[2], '')
redis.call(ARGV[2], base .. 'p', '0' .. name)
return {1, v[1], tonumber(v[2])}
