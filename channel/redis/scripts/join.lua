-- Returns what brings a node's copy of a channel up to date and, if asked to, counts one
-- more subscriber on that node.
-- KEYS: due, presence
-- ARGV: name, node, publish command, new epoch, timeout (ms), may create (1, 0),
--       the node's epoch ('' for none), first seq wanted from history,
--       subscribers to add (1, 0), limit of subscribers,
--       is a token needed (1, 0), the token,
--       the node's count without the added one, how long keys are kept (ms), how long
--       messages are kept (ms, 0: no limit), has the channel parted from what the node has
--       delivered of the node's epoch (1, 0): then it gets the new epoch
-- Returns {status} or
-- {'ok', epoch, next, floor, subscribers, token, made, the last mark, ended (1, 0), the
-- present time (tenths of a second), the epoch before it got a new one (''), history...};
-- history ends with the message before next. status: absent (may not create), token
-- (wrong token), full (limit of subscribers), or {'closed', next} if the channel of the
-- node's epoch has been closed.
local name, node, publish = ARGV[1], ARGV[2], ARGV[3]
local v = redis.call('HMGET', state(name), 'e', 'n', 'f', 't', 'm', 'z', 'o', 'w')
local epoch, seq, floor, token, mark, before, wait = v[1], v[2], v[3], v[4], v[5], v[7], v[8]
local add, needs = tonumber(ARGV[9]), ARGV[11] == '1'
local n = tonumber(ARGV[13])
local made = 0
if ARGV[7] ~= '' and epoch ~= ARGV[7] then
  local gone = redis.call('GET', closed(name))
  if gone and string.sub(gone, 1, 16) == ARGV[7] then
    return {'closed', tonumber(string.sub(gone, 17))}
  end
end
if epoch and epoch == ARGV[7] and ARGV[16] == '1' then
  before, epoch = epoch, ARGV[4]
  redis.call('HSET', state(name), 'e', epoch, 'o', before)
  tell(publish, name, 'R', epoch, seq, '')
end
if needs and (not token or token ~= ARGV[12]) then return {'token'} end
if not epoch then
  if n + add == 0 or ARGV[6] == '0' then return {'absent'} end
  epoch, seq, made = ARGV[4], '1', 1
  make(publish, name, epoch, ARGV[14])
end
if not wait then redis.call('HSET', state(name), 'w', ARGV[5]) end
local mine = tonumber(redis.call('HGET', counts(node), name) or 0)
local others = tonumber(redis.call('HGET', state(name), 's')) - mine
if add > 0 and others + n + add > tonumber(ARGV[10]) then
  if made == 1 then settle(name, tonumber(ARGV[5])) end
  return {'full'}
end
local total = count(name, node, n + add)
-- A mere comparison, without a subscriber before or after, does not prolong its life.
settle(name, (mine > 0 or n + add > 0) and tonumber(ARGV[5]) or 0)
expire(name, tonumber(ARGV[15]))
local out = {'ok', epoch, tonumber(seq), tonumber(floor or 0), total, token or '', made, mark or '00000000', v[6] and 1 or 0, math.floor(now / 100), before or ''}
local from = 1
if epoch == ARGV[7] and tonumber(ARGV[8]) <= tonumber(seq) then from = tonumber(ARGV[8]) end
if from < tonumber(seq) then
  local list = redis.call('LRANGE', history(name), from - tonumber(seq), -1)
  for i = 1, #list do out[11 + i] = list[i] end
end
return out
