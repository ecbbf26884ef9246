-- Shared functions, prepended to each script except publish.lua. KEYS[1] is always the
-- partition's due set. Its name without "due" is the prefix of all keys of the
-- partition; they are in one slot, so a Cluster lets a script compute their names.
-- KEYS[2] is never there; see keys in partition.go.
local due = KEYS[1]
local base = string.sub(due, 1, -4)
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function state(name) return base .. 'c:' .. name end
local function history(name) return base .. 'h:' .. name end
local function ids(name) return base .. 'i:' .. name end
local function closed(name) return base .. 'x:' .. name end
local function counts(node) return base .. 'n:' .. node end

-- tell publishes an event to the nodes that follow a channel.
local function tell(publish, name, kind, epoch, seq, content)
  redis.call(publish, state(name), string.format('%s%s%d:', kind, epoch, seq) .. content)
end

-- All keys of a partition expire together, when no node has swept it for keep (ms): due
-- has the time, sweep.lua renews it, and last gives it to a key that may be new.
local function last(key)
  local left = redis.call('PTTL', due)
  if left >= 0 then redis.call('PEXPIREAT', key, now + left) end
end

-- make creates a channel. The caller calls settle after it.
local function make(publish, name, epoch, keep)
  redis.call('HSET', state(name), 'e', epoch, 'n', 1, 's', 0, 'd', 0)
  redis.call('ZADD', due, 0, name)
  if redis.call('PTTL', due) < 0 then redis.call('PEXPIRE', due, keep) end
  last(state(name))
  redis.call(publish, base .. 'p', '1' .. name)
end

-- settle updates a channel in the due set. wait (ms) prolongs its life; 0 does not.
local function settle(name, wait)
  local v = redis.call('HMGET', state(name), 's', 'd')
  local deadline = tonumber(v[2])
  if wait > 0 then
    deadline = math.max(deadline, now + wait)
    redis.call('HSET', state(name), 'd', deadline)
  end
  if tonumber(v[1]) > 0 then
    redis.call('ZADD', due, '+inf', name)
  else
    redis.call('ZADD', due, deadline, name)
  end
end

-- count sets the number of subscribers that a channel has on a node. It returns their
-- number on all nodes, and whether it was another before. The caller calls settle if so.
local function count(name, node, n)
  local key = counts(node)
  local old = tonumber(redis.call('HGET', key, name) or 0)
  if n > 0 then
    redis.call('HSET', key, name, n)
  elseif old > 0 then
    redis.call('HDEL', key, name)
  end
  if n ~= old then
    if redis.call('HINCRBY', base .. 'ns', node, n - old) <= 0 then
      redis.call('HDEL', base .. 'ns', node)
    elseif old == 0 then
      last(key)
      last(base .. 'ns')
    end
  end
  return redis.call('HINCRBY', state(name), 's', n - old), n ~= old
end

-- expire drops the messages that are older than ttl (ms, 0: no limit).
local function expire(name, ttl)
  if ttl == 0 then return end
  local bytes = tonumber(redis.call('HGET', state(name), 'b') or nil)
  local _, left = shed(history(name), redis.call('LLEN', history(name)), math.huge, ttl, 0, bytes, t)
  if left ~= bytes then redis.call('HSET', state(name), 'b', left) end
end

-- free deletes a channel.
local function free(name)
  redis.call('DEL', state(name), history(name), ids(name))
  redis.call('ZREM', due, name)
end
