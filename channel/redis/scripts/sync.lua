-- Sets a node's counts of subscribers and returns the state of those channels.
-- KEYS: due, presence
-- ARGV: node, timeout (ms), then for each channel: name, count,
--       used (1: somebody came or went, 0: only a comparison)
-- Returns for each {epoch, next, floor, subscribers, the last mark}, or {} if there is no
-- such channel: a node that has subscribers of it then calls join.lua. The last element
-- is how many channels of the partition have subscribers on the node.
local node, timeout = ARGV[1], tonumber(ARGV[2])
local out = {}
for i = 3, #ARGV, 3 do
  local name, n, used = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2] == '1'
  local v = redis.call('HMGET', state(name), 'e', 'n', 'f', 'm')
  if v[1] then
    local total, changed = count(name, node, n)
    if used or changed then settle(name, used and timeout or 0) end
    out[#out + 1] = {v[1], tonumber(v[2]), tonumber(v[3] or 0), total, v[4] or '00000000'}
  else
    out[#out + 1] = {}
  end
end
out[#out + 1] = redis.call('HLEN', counts(node))
return out
