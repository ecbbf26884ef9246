-- Removes the subscribers of a dead node from the channels of the partition.
-- KEYS: due, presence
-- ARGV: node, how long their channels live at least (ms), maximum of channels in this
--       call, how long those live that no node has told a timeout (ms)
-- Returns how many of the node's channels are left.
local node, most = ARGV[1], tonumber(ARGV[3])
local names = redis.call('HRANDFIELD', counts(node), most)
for _, name in ipairs(names) do
  if redis.call('EXISTS', state(name)) == 1 then
    count(name, node, 0)
    local told = string.match(redis.call('HGET', state(name), 'w') or '', '%d+') -- see publish.lua
    settle(name, math.max(ARGV[2], told or ARGV[4]))
  else
    redis.call('HDEL', counts(node), name) -- never happens: the counts go with the channel
  end
end
local left = redis.call('HLEN', counts(node))
if left == 0 then redis.call('HDEL', base .. 'ns', node) end
return left
