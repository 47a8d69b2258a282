-- Takes records of one replica down: values by id, their versions, the sum of the versions of each shard, and a line in the stream for
-- the other replicas. A version that was not made of the one that is here is not taken: the answer is what is here, to be merged.
-- ARGV: prefix, replica, longest stream, milliseconds that removals are remembered; then for each record kind, shard, id, the version it
-- was made of, its version (empty: it is removed), its JSON.
-- Answers for each: 0 taken, 1 it was removed by another, or the value that is here.
local prefix, replica, longest, remembered = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local stream = prefix .. ':changes'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function half(one, other, from, to)
  return bit.tohex(bit.bxor(tonumber(one:sub(from, to), 16), tonumber(other:sub(from, to), 16)))
end

local function add(versions, version)
  local sum = redis.call('HGET', versions, '=') or '0000000000000000'
  redis.call('HSET', versions, '=', half(sum, version, 1, 8) .. half(sum, version, 9, 16))
end

local answers = {}
for at = 5, #ARGV, 6 do
  local kind, shard, id, made_of, version, json = unpack(ARGV, at, at + 5)
  local versions, values = prefix .. ':versions:' .. kind .. ':' .. shard, prefix .. ':records:' .. kind .. ':' .. shard
  local removed = prefix .. ':removed:' .. kind
  local here = redis.call('HGET', versions, id)
  local value = here and redis.call('HGET', values, id)
  local answer = 0
  if version == '' then
    if here then
      add(versions, here)
      redis.call('HDEL', versions, id)
      redis.call('HDEL', values, id)
    end
    redis.call('ZADD', removed, now, id)
    redis.call('ZREMRANGEBYSCORE', removed, 0, now - remembered)
    redis.call('XADD', stream, 'MAXLEN', '~', longest, '*', 'replica', replica, 'kind', kind, 'id', id)
  elseif value and here == version then
    answer = 0
  elseif value and here ~= made_of then
    answer = value
  elseif not here and redis.call('ZSCORE', removed, id) then
    answer = 1
  else
    if here then
      add(versions, here)
    end
    add(versions, version)
    redis.call('HSET', versions, id, version)
    redis.call('HSET', values, id, json)
    redis.call('XADD', stream, 'MAXLEN', '~', longest, '*', 'replica', replica, 'kind', kind, 'id', id, 'json', json)
  end
  answers[#answers + 1] = answer
end
return answers
