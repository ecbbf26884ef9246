-- Prepended to the scripts that store or read messages. A stored message is 'd' (data) or
-- 'b' (broadcast), its mark (8), when it was stored (9 hex digits: tenths of a second) and
-- the content. 'D' and 'B' are of version 0.1: they have no time.

-- shed drops the oldest messages of a history that has stored ones: those above size, those
-- stored before old (tenths of a second), and while there are more than most bytes of
-- content (0: no limit) all but the newest. bytes is what they have (nil: not counted).
-- Returns stored and bytes as they are now.
local function shed(history, stored, size, bytes, most, old)
  while stored > 0 do
    local first = redis.call('LINDEX', history, 0)
    local head, at = 18, nil
    if string.sub(first, 1, 1) < 'a' then
      head, at = 9, 0
    elseif old > 0 then
      at = tonumber(string.sub(first, 10, 18), 16)
    end
    if stored <= size and not (most > 0 and bytes > most and stored > 1) and not (old > 0 and at < old) then break end
    redis.call('LPOP', history)
    stored = stored - 1
    if bytes then bytes = bytes - #first + head end
  end
  return stored, bytes
end

-- keep adds a message to a history, and drops what it pushes out. ttl (ms) and most (bytes)
-- are 0 for no limit; bytes is field b of the state. Returns how many are stored, and the
-- new b (nil: none).
local function keep(history, text, content, now, size, ttl, most, bytes)
  if size == 0 then
    redis.call('DEL', history)
    return 0, nil
  end
  local stored = redis.call('RPUSH', history, text)
  if ttl == 0 and most == 0 then
    if stored > size then redis.call('LTRIM', history, -size, -1) end
    return stored, nil
  end
  if most == 0 then
    bytes = nil
  elseif bytes then
    bytes = bytes + #content
  else
    bytes = 0
    for _, m in ipairs(redis.call('LRANGE', history, 0, -1)) do
      bytes = bytes + #m - (string.sub(m, 1, 1) < 'a' and 9 or 18)
    end
  end
  return shed(history, stored, size, bytes, most, ttl == 0 and 0 or math.floor((now - ttl) / 100))
end
