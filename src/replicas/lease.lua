-- Takes, renews or returns a lease. ARGV: key, holder, milliseconds (0: return it).
-- Answers the fencing token if the holder has it now, else 0.
local key, holder, period = ARGV[1], ARGV[2], tonumber(ARGV[3])
local held = redis.call('GET', key)
local mine = held and held:sub(1, #holder + 1) == holder .. ' '
if period == 0 then
  if mine then
    redis.call('DEL', key)
  end
  return 0
end
if held and not mine then
  return 0
end
local token = mine and held:sub(#holder + 2) or redis.call('INCR', key .. ':count')
redis.call('SET', key, holder .. ' ' .. token, 'PX', period)
return tonumber(token)
