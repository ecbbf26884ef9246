-- Sets a node's counts of subscribers and returns the state of those channels.
-- KEYS: due, presence
-- ARGV: node, then for each channel: name, count, how long its life is prolonged, because
--       somebody came or went (ms; 0: only a comparison)
-- Returns for each {epoch, next, floor, subscribers, the last mark, ended (1, 0)}, or {} if
-- there is no such channel: a node that has subscribers of it then calls join.lua. The last
-- element is how many channels of the partition have subscribers on the node.
local node = ARGV[1]
local out = {}
for i = 2, #ARGV, 3 do
  local name, n, wait = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local v = redis.call('HMGET', state(name), 'e', 'n', 'f', 'm', 'z')
  if v[1] then
    local total, changed = count(name, node, n)
    if wait > 0 or changed then settle(name, wait) end
    out[#out + 1] = {v[1], tonumber(v[2]), tonumber(v[3] or 0), total, v[4] or '00000000', v[5] and 1 or 0}
  else
    out[#out + 1] = {}
  end
end
out[#out + 1] = redis.call('HLEN', counts(node))
return out
