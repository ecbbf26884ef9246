-- A stored message is 'd' (data) or 'b' (broadcast), its mark (8), when it was stored (11
-- digits: tenths of a second) and the content. 'D' and 'B' are of version 0.1: they have no
-- time. t is TIME's answer.

-- shed drops the oldest messages of a history that has stored ones: those above size, those
-- older than ttl (ms, 0: no limit), and while there are more than most bytes of content (0:
-- no limit) all but the newest. bytes is what they have (nil: not counted). Returns stored
-- and bytes as they are now.
local function shed(history, stored, size, ttl, most, bytes, t)
  local old = ttl ~= 0 and math.floor((t[1] * 1000 + t[2] / 1000 - ttl) / 100)
  while stored > 0 do
    local first = redis.call('LINDEX', history, 0)
    local head, at = 20, 0
    if string.sub(first, 1, 1) < 'a' then
      head = 9
    elseif old then
      at = tonumber(string.sub(first, 10, 20))
    end
    if stored <= size and not (most > 0 and bytes > most and stored > 1) and not (old and at < old) then break end
    redis.call('LPOP', history)
    stored = stored - 1
    if bytes then bytes = bytes - #first + head end
  end
  return stored, bytes
end

-- keep adds a message to a history, and drops what it pushes out. bytes is field b of the
-- state: the bytes of content in the history, if they are counted. Returns how many messages
-- are stored, and the new b.
local function keep(state, history, text, content, size, ttl, most, bytes, t)
  local stored, left = 0, nil
  if size == 0 then
    redis.call('DEL', history)
  else
    stored = redis.call('RPUSH', history, text)
    if most > 0 and bytes then
      left = bytes + #content
    elseif most > 0 then
      left = 0
      for _, m in ipairs(redis.call('LRANGE', history, 0, -1)) do
        left = left + #m - (string.sub(m, 1, 1) < 'a' and 9 or 20)
      end
    end
    stored, left = shed(history, stored, size, ttl, most, left, t)
  end
  if left then
    redis.call('HSET', state, 'b', left)
  elseif bytes then
    redis.call('HDEL', state, 'b')
  end
  return stored, left
end
