-- Stores one message in each of the named channels and publishes it. It does not
-- prolong their lives.
-- KEYS: due, presence
-- ARGV: content, buffer size, publish command, mark, names...
-- Returns for each name {epoch, seq}, or {} if the channel no longer exists.
local out = {}
for i = 5, #ARGV do
  local name = ARGV[i]
  local v = redis.call('HMGET', state(name), 'e', 'n', 'm')
  if v[1] then
    redis.call('HSET', state(name), 'n', v[2] + 1, 'm', ARGV[4])
    local stored = redis.call('RPUSH', history(name), 'B' .. ARGV[4] .. ARGV[1])
    if stored == 1 then last(history(name)) end
    if stored > tonumber(ARGV[2]) then redis.call('LTRIM', history(name), -ARGV[2], -1) end
    tell(ARGV[3], name, 'B', v[1], v[2], (v[3] or '00000000') .. ARGV[4] .. ARGV[1])
    out[#out + 1] = {v[1], tonumber(v[2])}
  else
    out[#out + 1] = {}
  end
end
return out
