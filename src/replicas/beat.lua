-- A sign of life. ARGV: prefix, replica, its name, fingerprint of its sealing key, whether it is one of the replicas (new, member,
-- refused), milliseconds after which one without a sign of life is gone, number of shards, then the kinds.
-- Answers the fingerprint of the replicas' sealing key, the names of those alive, and for each kind the sums of its shards.
local prefix, replica, name, key, member, gone, shards = unpack(ARGV, 1, 7)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local alive, names, common = prefix .. ':alive', prefix .. ':names', prefix .. ':sealing-key'

local dead = redis.call('ZRANGEBYSCORE', alive, 0, now - tonumber(gone))
for _, one in ipairs(dead) do
  redis.call('ZREM', alive, one)
  redis.call('HDEL', names, one)
end

-- The key is that of whoever is alive. After a flush nobody seems to be, and one that was refused waits for those who were not.
local expected = redis.call('GET', common)
local nobody = redis.call('ZCARD', alive) == 0
if expected ~= key and ((expected and nobody) or (not expected and (member == 'member' or (nobody and member == 'new')))) then
  redis.call('SET', common, key)
  expected = key
end
if expected ~= key then
  return { expected or '', {}, {} }
end
redis.call('ZADD', alive, now, replica)
redis.call('HSET', names, replica, name)

local sums = {}
for at = 8, #ARGV do
  local of = {}
  for shard = 0, shards - 1 do
    of[#of + 1] = redis.call('HGET', prefix .. ':versions:' .. ARGV[at] .. ':' .. shard, '=') or '0000000000000000'
  end
  sums[#sums + 1] = table.concat(of)
end
return { expected, redis.call('HVALS', names), sums }
