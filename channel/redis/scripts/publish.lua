-- Stores one message and publishes it; or ends a channel. It does not use lib.lua, because
-- it is the script that must be fast.
-- KEYS: state, history, due, presence, and with conditions ids
-- ARGV: name, content, buffer size, timeout (ms), new epoch (its first half is the
--       message's mark), may create (1, 0), publish command, how long keys are kept (ms),
--       the mark of the message that must have been stored before this one ('': none);
--       unless neither is limited, how long messages are kept (ms, 0: no limit), bytes of
--       content kept (0: no limit); and with conditions: id ('': none), how many messages
--       back ids are known, the seq that the message must get ('': any), the first 8 digits
--       of the epoch that it must have ('': any), what ends the channel ('': nothing, 'L':
--       the message, 'E': the call)
-- Returns {0} if there is no channel and none may be created, {2} if the other message is
-- not there; {3, epoch, next}: the channel has ended; {4, epoch, next}: it has ended, by
-- this call or before; {5, epoch, seq}: the message with this id was there; {6, epoch,
-- next}: it has not the seq or the epoch that it must have; else {1, epoch, seq, created
-- (1, 0), the mark before}.
local state, history, content, id = KEYS[1], KEYS[2], ARGV[2], ARGV[12]
local v = redis.call('HMGET', state, 'e', 'n', 's', 'd', 'm', 'w')
local epoch, seq, subs, deadline, w = v[1], tonumber(v[2]), v[3], tonumber(v[4]), v[6]
local before, mark = v[5] or '00000000', string.sub(ARGV[5], 1, 8)
local made, kind, ended, bytes, known = 0, 'D', false, false, false
if epoch and w ~= ARGV[4] then
  local more = redis.call('HMGET', state, 'z', 'b')
  ended, bytes = more[1], more[2]
end
if ARGV[9] ~= '' and ARGV[9] ~= before then
  local there = false
  for _, m in ipairs(redis.call('LRANGE', history, 0, -1)) do
    there = there or string.sub(m, 2, 9) == ARGV[9]
  end
  if not there then return {2} end
end
if id then
  if ARGV[16] ~= '' then kind = ARGV[16] end
  if id ~= '' and epoch then
    known = tonumber(redis.call('ZSCORE', KEYS[5], id) or 0)
    known = known > 0 and known >= seq - ARGV[13] and known
  end
  if kind ~= 'D' then
    if ended then return {4, epoch, seq} end
    if known then kind = 'E' end
  elseif known then
    return {5, epoch, known}
  end
end
if ended then return {3, epoch, seq} end
if not epoch then
  if ARGV[6] == '0' then return {0} end
  made, epoch, seq, subs, deadline = 1, ARGV[5], 1, '0', 0
  redis.call('HSET', state, 'e', epoch, 's', 0)
  redis.call(ARGV[7], KEYS[4], '1' .. ARGV[1])
elseif id and kind == 'D' and ARGV[14] ~= '' and (ARGV[14] ~= v[2] or ARGV[15] ~= '' and ARGV[15] ~= string.sub(epoch, 1, 8)) then
  return {6, epoch, seq}
end
local t = redis.call('TIME')
deadline = math.max(deadline, t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[4])
if subs == '0' then redis.call('ZADD', KEYS[3], deadline, ARGV[1]) end
if kind == 'E' then
  redis.call('HSET', state, 'd', deadline, 'z', 1, 'w', '+' .. ARGV[4])
  redis.call(ARGV[7], state, 'E' .. epoch .. v[2] .. ':')
  return {4, epoch, seq}
end
redis.call('HSET', state, 'n', seq + 1, 'd', deadline, 'm', mark)
-- Six digits of microseconds: the first one is the tenths.
local text = 'd' .. mark .. t[1] .. (#t[2] == 6 and string.sub(t[2], 1, 1) or '0') .. content
local stored = 0
if not ARGV[10] and ARGV[3] ~= '0' then
  stored = redis.call('RPUSH', history, text)
  if stored > tonumber(ARGV[3]) then redis.call('LTRIM', history, -ARGV[3], -1) end
  if bytes then redis.call('HDEL', state, 'b') end
  bytes = false
else
  -- SHED
  stored, bytes = keep(state, history, text, content, tonumber(ARGV[3]), tonumber(ARGV[10] or 0), tonumber(ARGV[11] or 0), bytes, t)
end
if kind == 'L' then redis.call('HSET', state, 'z', 1) end
-- Field w has a plus while there is a field z or b, which are rarely looked for.
local more = (bytes or kind == 'L') and '+' .. ARGV[4] or ARGV[4]
if w ~= more then redis.call('HSET', state, 'w', more) end
local new = made == 1 or stored == 1
if id and id ~= '' then
  redis.call('ZADD', KEYS[5], seq, id)
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', seq - ARGV[13])
  new = new or redis.call('ZCARD', KEYS[5]) == 1
end
if new then -- keys may be new: like last in lib.lua
  local left = redis.call('PTTL', KEYS[3])
  if left < 1 then
    left = ARGV[8]
    redis.call('PEXPIRE', KEYS[3], left)
  end
  redis.call('PEXPIRE', state, left)
  redis.call('PEXPIRE', history, left)
  if id then redis.call('PEXPIRE', KEYS[5], left) end
end
redis.call(ARGV[7], state, kind .. epoch .. (v[2] or '1') .. ':' .. before .. mark .. content)
return {1, epoch, seq, made, before}
