-- Frees expired channels, and renews the expiry of the partition's keys.
-- KEYS: due, presence
-- ARGV: publish command, maximum of channels in this call, how long keys are kept
--       without a node (ms)
-- Returns how many it has freed.
local names = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, ARGV[2])
for _, name in ipairs(names) do
  local v = redis.call('HMGET', state(name), 'e', 'n')
  free(name)
  if v[1] then
    tell(ARGV[1], name, 'F', v[1], v[2], '')
    redis.call(ARGV[1], base .. 'p', '0' .. name)
  end
end
local left, keep = redis.call('PTTL', due), tonumber(ARGV[3])
if left ~= -2 and left < keep * 3 / 4 then
  local till = now + keep
  for _, name in ipairs(redis.call('ZRANGE', due, 0, -1)) do
    redis.call('PEXPIREAT', state(name), till)
    redis.call('PEXPIREAT', history(name), till)
    redis.call('PEXPIREAT', ids(name), till)
  end
  for _, node in ipairs(redis.call('HKEYS', base .. 'ns')) do
    redis.call('PEXPIREAT', counts(node), till)
  end
  redis.call('PEXPIREAT', base .. 'ns', till)
  redis.call('PEXPIREAT', due, till)
end
return #names
