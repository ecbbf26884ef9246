-- Stores one message in each of the named channels and publishes it. It does not
-- prolong their lives.
-- KEYS: due, presence
-- ARGV: content, publish command, mark, buffer size, how long messages are kept (ms, 0: no
--       limit), bytes of content kept (0: no limit), id ('': none), how many messages back
--       ids are known, names...
-- Returns for each name {epoch, seq}, or {} if the channel no longer exists, has ended, or
-- has a message with this id.
local out, content, mark, id = {}, ARGV[1], ARGV[3], ARGV[7]
local size, ttl, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local text = 'b' .. mark .. t[1] .. math.floor(t[2] / 100000) .. content
for i = 9, #ARGV do
  local name, known = ARGV[i], false
  local v = redis.call('HMGET', state(name), 'e', 'n', 'm', 'z', 'b', 'w')
  if v[1] and id ~= '' then
    known = tonumber(redis.call('ZSCORE', ids(name), id) or 0)
    known = known > 0 and known >= v[2] - ARGV[8]
  end
  if v[1] and not v[4] and not known then
    redis.call('HSET', state(name), 'n', v[2] + 1, 'm', mark)
    local stored, bytes = keep(state(name), history(name), text, content, size, ttl, most, v[5], t)
    if bytes and string.sub(v[6] or '', 1, 1) ~= '+' then redis.call('HSET', state(name), 'w', '+' .. (v[6] or '')) end
    if stored == 1 then last(history(name)) end
    if id ~= '' then
      redis.call('ZADD', ids(name), v[2], id)
      redis.call('ZREMRANGEBYSCORE', ids(name), '-inf', v[2] - ARGV[8])
      if redis.call('ZCARD', ids(name)) == 1 then last(ids(name)) end
    end
    tell(ARGV[2], name, 'B', v[1], v[2], (v[3] or '00000000') .. mark .. content)
    out[#out + 1] = {v[1], tonumber(v[2])}
  else
    out[#out + 1] = {}
  end
end
return out
