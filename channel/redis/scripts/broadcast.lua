-- Stores one message in each of the named channels and publishes it. It does not
-- prolong their lives.
-- KEYS: due, presence
-- ARGV: content, publish command, mark, buffer size, how long messages are kept (ms, 0: no
--       limit), bytes of content kept (0: no limit), id ('': none), how many messages back
--       ids are known, names...
-- Returns for each name {epoch, seq, the mark before}, or {} if the channel no longer
-- exists, has ended, or has a message with this id.
local out, content, mark, id = {}, ARGV[1], ARGV[3], ARGV[7]
local size, ttl, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local text = 'b' .. mark .. string.format('%09x', math.floor(now / 100)) .. content
for i = 9, #ARGV do
  local name, known = ARGV[i], false
  local v = redis.call('HMGET', state(name), 'e', 'n', 'm', 'z', 'b')
  if v[1] and id ~= '' then
    known = tonumber(redis.call('ZSCORE', ids(name), id) or 0)
    known = known > 0 and known >= v[2] - ARGV[8]
  end
  if v[1] and not v[4] and not known then
    redis.call('HSET', state(name), 'n', v[2] + 1, 'm', mark)
    local stored, bytes = keep(history(name), text, content, now, size, ttl, most, tonumber(v[5]))
    if bytes then
      redis.call('HSET', state(name), 'b', bytes)
    elseif v[5] then
      redis.call('HDEL', state(name), 'b')
    end
    if stored == 1 then last(history(name)) end
    if id ~= '' then
      redis.call('ZADD', ids(name), v[2], id)
      redis.call('ZREMRANGEBYSCORE', ids(name), '-inf', v[2] - ARGV[8])
      if redis.call('ZCARD', ids(name)) == 1 then last(ids(name)) end
    end
    local before = v[3] or '00000000'
    tell(ARGV[2], name, 'B', v[1], v[2], before .. mark .. content)
    out[#out + 1] = {v[1], tonumber(v[2]), before}
  else
    out[#out + 1] = {}
  end
end
return out
