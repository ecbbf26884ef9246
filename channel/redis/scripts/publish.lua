-- Stores one message and publishes it. It does not use lib.lua, because it is the script
-- that must be fast.
-- KEYS: state, history, due, presence
-- ARGV: name, content, buffer size, timeout (ms), new epoch (its first half is the
--       message's mark), may create (1, 0),
--       publish command, how long keys are kept (ms), the mark of the message that must
--       have been stored before this one ('': none)
-- Returns {0} if there is no channel and none may be created, {2} if the other message is
-- not there, else {1, epoch, seq, created (1, 0), the mark before}.
local state, history = KEYS[1], KEYS[2]
local v = redis.call('HMGET', state, 'e', 'n', 's', 'd', 'm')
local epoch, seq, subs, deadline = v[1], tonumber(v[2]), v[3], tonumber(v[4])
local before, mark = v[5] or '00000000', string.sub(ARGV[5], 1, 8)
local made = 0
if ARGV[9] ~= '' and ARGV[9] ~= before then
  local there = false
  for _, m in ipairs(redis.call('LRANGE', history, 0, -1)) do
    there = there or string.sub(m, 2, 9) == ARGV[9]
  end
  if not there then return {2} end
end
if not epoch then
  if ARGV[6] == '0' then return {0} end
  made, epoch, seq, subs, deadline = 1, ARGV[5], 1, '0', 0
  redis.call('HSET', state, 'e', epoch, 's', 0)
  redis.call(ARGV[7], KEYS[4], '1' .. ARGV[1])
end
local t = redis.call('TIME')
deadline = math.max(deadline, t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[4])
redis.call('HSET', state, 'n', seq + 1, 'd', deadline, 'm', mark)
local stored = redis.call('RPUSH', history, 'D' .. mark .. ARGV[2])
if stored > tonumber(ARGV[3]) then redis.call('LTRIM', history, -ARGV[3], -1) end
if subs == '0' then redis.call('ZADD', KEYS[3], deadline, ARGV[1]) end
if stored == 1 then -- keys are new: like last in lib.lua
  local left = redis.call('PTTL', KEYS[3])
  if left < 1 then
    left = ARGV[8]
    redis.call('PEXPIRE', KEYS[3], left)
  end
  redis.call('PEXPIRE', state, left)
  redis.call('PEXPIRE', history, left)
end
redis.call(ARGV[7], state, string.format('D%s%d:', epoch, seq) .. before .. mark .. ARGV[2])
return {1, epoch, seq, made, before}
