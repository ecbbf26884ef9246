-- Frees channels whose time is over.
-- KEYS: due
-- ARGV: publish command, how many at most
-- Returns how many.
local names = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, ARGV[2])
for _, name in ipairs(names) do
  local v = redis.call('HMGET', state(name), 'e', 'n')
  free(name)
  if v[1] then
    tell(ARGV[1], name, 'F', v[1], v[2], '')
    redis.call(ARGV[1], base .. 'p', '0' .. name)
  end
end
return #names
