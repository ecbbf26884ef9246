-- Returns the token of a channel, which it creates if needed.
-- KEYS: due, presence
-- ARGV: name, wait (ms), new token, new epoch, may create (1, 0), publish command,
--       how long keys are kept (ms), how long messages are kept (ms, 0: no limit)
-- Returns {0} if there is no channel and none may be created, else
-- {1, oldest stored or next seq, token, created (1, 0)}.
local name, made = ARGV[1], 0
local v = redis.call('HMGET', state(name), 'n', 't')
local seq, token = v[1], v[2]
if not seq then
  if ARGV[5] == '0' then return {0} end
  made, seq = 1, 1
  make(ARGV[6], name, ARGV[4], ARGV[7])
end
if not token then
  token = ARGV[3]
  redis.call('HSET', state(name), 't', token)
end
settle(name, tonumber(ARGV[2]))
expire(name, tonumber(ARGV[8]))
return {1, seq - redis.call('LLEN', history(name)), token, made}
