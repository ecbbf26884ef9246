-- Sets a node's counts of subscribers and tells how its channels stand.
-- KEYS: due
-- ARGV: node, timeout (ms), then for each channel: name, count,
--       used (1: somebody came or went, 0: only a look)
-- Returns for each: {epoch, next, floor, subscribers, the last mark}, or {} when there is none: a
-- node that has subscribers then joins again.
local node, timeout = ARGV[1], tonumber(ARGV[2])
local out = {}
for i = 3, #ARGV, 3 do
  local name, n, used = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2] == '1'
  local v = redis.call('HMGET', state(name), 'e', 'n', 'f', 'm')
  if v[1] then
    local total = count(name, node, n)
    if used then settle(name, timeout) end
    out[#out + 1] = {v[1], tonumber(v[2]), tonumber(v[3] or 0), total, v[4] or '00000000'}
  else
    out[#out + 1] = {}
  end
end
return out
