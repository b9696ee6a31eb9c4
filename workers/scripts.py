"""The Lua scripts: each is one step that no other client of Redis can come in between."""

# KEYS: queues. ARGV: the function that is called, the time as RQ writes it, time-out, for how long a result and a
# failure are kept, the channel of wakes, then, for each delivery, the number of its queue and its RQ id, which begins
# with the job's. Writes what RQ itself would write for each, but for fields that would be empty, and payloads that are
# not compressed: they would not be shorter, and RQ takes them so. A queue that cannot be written to holds up no other.
DELIVER = """
local failure = nil
local waiting = {}
for i = 1, #KEYS do waiting[i] = {} end
for i = 7, #ARGV, 2 do
  local queue, id = tonumber(ARGV[i]), ARGV[i + 1]
  local job = string.sub(id, 1, 36)
  local written = redis.pcall('HSET', 'rq:job:' .. id, 'created_at', ARGV[2], 'enqueued_at', ARGV[2],
    'origin', string.sub(KEYS[queue], 10), 'status', 'queued', 'description', 'job ' .. job,
    'data', '["' .. ARGV[1] .. '", null, ["' .. job .. '"], {}]',
    'timeout', ARGV[3], 'result_ttl', ARGV[4], 'failure_ttl', ARGV[5])
  if type(written) == 'table' and written.err then failure = written
  else table.insert(waiting[queue], id) end
end
for i = 1, #KEYS do
  if #waiting[i] > 0 then
    redis.call('SADD', 'rq:queues', KEYS[i])
    local pushed = redis.pcall('RPUSH', KEYS[i], unpack(waiting[i]))
    if type(pushed) == 'table' and pushed.err then failure = pushed end
  end
end
redis.call('PUBLISH', ARGV[6], '')
return failure or redis.status_reply('OK')
"""

# KEYS: queues in the order of their priority. ARGV: how many at most, and the largest payload of interest.
# Returns nil while suspended, so that `rq suspend` is a barrier; else {queue number, RQ id, payload} of each.
# Where Redis is out of memory a list can only get shorter: then nothing stands in the intermediate list, and
# if this worker dies too, recovery finds that the delivery is nowhere.
POP = """
if redis.call('EXISTS', 'rq:suspended') == 1 then return false end
local most, largest = tonumber(ARGV[1]), tonumber(ARGV[2])
local popped, failure = {}, nil
for i = 1, #KEYS do
  while #popped < most do
    local id = redis.pcall('LMOVE', KEYS[i], KEYS[i] .. ':intermediate', 'LEFT', 'RIGHT')
    if type(id) == 'table' and string.find(id.err, 'OOM', 1, true) then id = redis.pcall('LPOP', KEYS[i]) end
    if type(id) == 'table' then failure = id end
    if type(id) ~= 'string' then break end
    local payload = redis.pcall('HGET', 'rq:job:' .. id, 'data')
    if type(payload) ~= 'string' then payload = false end
    if payload and #payload > largest then payload = string.sub(payload, 1, largest + 1) end
    popped[#popped + 1] = {i, id, payload}
  end
end
if failure and #popped == 0 then return failure end
return popped
"""

# KEYS: the worker's hash. ARGV: what to write, as JSON. Returns whether the worker is (still) registered, and the
# first thing that went wrong. Each write is tried whatever became of the others, removals first: they need no memory.
# Running it twice with the same book changes nothing but the trace of a result.
KEEP_BOOK = """
local book = cjson.decode(ARGV[1])
local failure = ''
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    if failure == '' then failure = answer.err end
    return nil
  end
  return answer
end
for _, one in ipairs(book.returned) do
  local waiting = 'rq:queue:' .. one.queue
  if try('LREM', waiting .. ':intermediate', 1, one.id) == 1 then try('LPUSH', waiting, one.id) end
end
for _, one in ipairs(book.ended) do
  local job, results = 'rq:job:' .. one.id, 'rq:results:' .. one.id
  try('LREM', 'rq:queue:' .. one.queue .. ':intermediate', 1, one.id)
  try('ZREM', 'rq:wip:' .. one.queue, one.id .. ':' .. one.execution)
  try('UNLINK', 'rq:execution:' .. one.id .. ':' .. one.execution)
  try('ZREM', 'rq:executions:' .. one.id, one.execution)
  if try('EXISTS', job) == 1 then
    try('HSET', job, 'status', one.status, 'started_at', one.started_at, 'ended_at', one.ended_at,
      'last_heartbeat', one.ended_at, 'worker_name', book.worker)
    try('EXPIRE', job, one.ttl)
    try('ZADD', 'rq:' .. one.registry .. ':' .. one.queue, book.time + one.ttl, one.id)
    try('XADD', results, 'MAXLEN', 10, '*', 'type', one.result, 'worker_name', book.worker,
      'execution_id', one.execution, 'execution_started_at', one.started, 'execution_ended_at', one.ended)
    try('EXPIRE', results, one.ttl)
  end
end
for _, one in ipairs(book.running) do
  local job, execution = 'rq:job:' .. one.id, 'rq:execution:' .. one.id .. ':' .. one.execution
  if try('ZADD', 'rq:wip:' .. one.queue, book.time + book.ttl, one.id .. ':' .. one.execution) then
    try('LREM', 'rq:queue:' .. one.queue .. ':intermediate', 1, one.id)
  end
  try('HSET', execution, 'id', one.execution, 'created_at', one.started, 'last_heartbeat', book.time,
    'worker_name', book.worker)
  try('EXPIRE', execution, book.ttl)
  try('ZADD', 'rq:executions:' .. one.id, book.time + book.ttl, one.execution)
  try('EXPIRE', 'rq:executions:' .. one.id, book.ttl)
  if try('EXISTS', job) == 1 then
    try('HSET', job, 'status', 'started', 'started_at', one.started_at, 'last_heartbeat', book.fields.last_heartbeat,
      'worker_name', book.worker)
  end
end
if try('EXISTS', KEYS[1]) ~= 1 then return {0, failure} end
for name, value in pairs(book.fields) do try('HSET', KEYS[1], name, value) end
try('EXPIRE', KEYS[1], book.ttl)
return {1, failure}
"""

# ARGV: pairs of a queue's key and an RQ id. Takes foreign entries out for good, with all that is theirs: nobody,
# no dashboard either, shall be tempted to unpickle them.
REMOVE = """
for i = 1, #ARGV, 2 do
  redis.call('LREM', ARGV[i] .. ':intermediate', 1, ARGV[i + 1])
  redis.call('UNLINK', 'rq:job:' .. ARGV[i + 1], 'rq:job:' .. ARGV[i + 1] .. ':dependents')
end
"""

# KEYS: the lock. ARGV: how long it holds in seconds, after how many seconds an id in an intermediate list counts as
# left behind, then names of queues. Cleans up after workers that were killed, without any callback or retry:
#   started, but its heartbeat has ended: forgotten (the lease in the database decides what becomes of the job);
#   popped, but never started: back to the front of its queue (should it run after all: the claim decides);
#   registered, but its hash has expired: a worker no more.
MAINTAIN = """
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then return {0, 0} end
local clock = redis.call('TIME')
local now, stale = tonumber(clock[1]), tonumber(ARGV[2])
local forgotten, returned = 0, 0
local workers = redis.call('SMEMBERS', 'rq:workers')
for i = 3, #ARGV do
  local waiting, wip = 'rq:queue:' .. ARGV[i], 'rq:wip:' .. ARGV[i]
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', wip, 0, now)) do
    local id = string.match(member, '^[^:]*')
    redis.call('ZREM', wip, member)
    redis.call('UNLINK', 'rq:job:' .. id, 'rq:execution:' .. member, 'rq:executions:' .. id)
    forgotten = forgotten + 1
  end
  for _, registry in ipairs({'finished', 'failed'}) do
    redis.call('ZREMRANGEBYSCORE', 'rq:' .. registry .. ':' .. ARGV[i], 0, now)
  end
  local seen, started = waiting .. ':intermediate:seen', {}
  for _, member in ipairs(redis.call('ZRANGE', wip, 0, -1)) do started[string.match(member, '^[^:]*')] = true end
  local known = {}
  for _, id in ipairs(redis.call('LRANGE', waiting .. ':intermediate', 0, -1)) do
    local first = redis.call('HGET', seen, id)
    if not started[id] and first and now - tonumber(first) >= stale then
      redis.call('LREM', waiting .. ':intermediate', 1, id)
      redis.call('LPUSH', waiting, id)
      returned = returned + 1
    elseif started[id] then
      redis.call('LREM', waiting .. ':intermediate', 1, id)
    else
      known[#known + 1] = {id, first or now}
    end
  end
  redis.call('DEL', seen)
  for _, one in ipairs(known) do redis.call('HSET', seen, one[1], one[2]) end
  if #known > 0 then redis.call('EXPIRE', seen, 3600) end
  for _, key in ipairs(workers) do
    if redis.call('EXISTS', key) == 0 then redis.call('SREM', 'rq:workers:' .. ARGV[i], key) end
  end
end
for _, key in ipairs(workers) do
  if redis.call('EXISTS', key) == 0 then redis.call('SREM', 'rq:workers', key) end
end
return {forgotten, returned}
"""

# KEYS: places. ARGV: the first position and the last, how many of the places are lists, then how many registries of
# what runs follow them. Returns the time, and for each place its members, a text where it is no such place; of what
# runs, members and expiries by turns.
LOOK = """
local lists, running = tonumber(ARGV[3]), tonumber(ARGV[4])
local found = {redis.call('TIME')[1]}
for i = 1, #KEYS do
  local members
  if i <= lists then members = redis.pcall('LRANGE', KEYS[i], ARGV[1], ARGV[2])
  elseif i <= lists + running then members = redis.pcall('ZRANGE', KEYS[i], ARGV[1], ARGV[2], 'WITHSCORES')
  else members = redis.pcall('ZRANGE', KEYS[i], ARGV[1], ARGV[2]) end
  found[i + 1] = members.err or members
end
return found
"""

# ARGV: the largest payload of interest, then RQ ids. Returns status and payload of each; false for what is not there.
READ = """
local largest, found = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
  local fields = redis.pcall('HMGET', 'rq:job:' .. ARGV[i], 'status', 'data')
  local status, payload = fields[1], fields[2]
  if fields.err then status, payload = false, false end
  if payload and #payload > largest then payload = string.sub(payload, 1, largest + 1) end
  found[#found + 1] = {status, payload}
end
return found
"""

# KEYS: places. ARGV: how many of them are lists, how many registries of what runs follow, then RQ ids. Returns, by
# turns, an id that was found and the number of the place; twice where it lies there twice.
LOCATE = """
local lists, running = tonumber(ARGV[1]), tonumber(ARGV[2])
local wanted, found = {}, {}
for i = 3, #ARGV do wanted[ARGV[i]] = true end
for i = 1, #KEYS do
  local members = redis.pcall(i <= lists and 'LRANGE' or 'ZRANGE', KEYS[i], 0, -1)
  for _, member in ipairs(members.err and {} or members) do
    local id = member
    if i > lists and i <= lists + running then id = string.match(member, '^[^:]*') end
    if wanted[id] then
      found[#found + 1] = id
      found[#found + 1] = i
    end
  end
end
return found
"""

# As LOCATE. Returns those that are in none of the places.
ABSENT = """
local lists, running = tonumber(ARGV[1]), tonumber(ARGV[2])
local there, absent = {}, {}
for i = 1, #KEYS do
  local members = redis.pcall(i <= lists and 'LRANGE' or 'ZRANGE', KEYS[i], 0, -1)
  for _, member in ipairs(members.err and {} or members) do
    if i > lists and i <= lists + running then member = string.match(member, '^[^:]*') end
    there[member] = true
  end
end
for i = 3, #ARGV do
  if not there[ARGV[i]] then absent[#absent + 1] = ARGV[i] end
end
return absent
"""

# KEYS: a place, and where to put what is said of each member that was taken out. ARGV: whether anything is to be
# put there, then members and what is said of each by turns. Returns the members that were there.
# A list is read once and written once: an LREM for each would be quadratic. The first write frees memory, so that
# the others are not refused for want of it.
TAKE_OUT = """
local said, taken = {}, {}
for i = 2, #ARGV, 2 do said[ARGV[i]] = ARGV[i + 1] end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'list' then
  local kept, there = {}, {}
  for _, member in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
    if not said[member] then kept[#kept + 1] = member
    elseif not there[member] then
      there[member] = true
      taken[#taken + 1] = member
    end
  end
  if #taken > 0 then
    redis.call('DEL', KEYS[1])
    for first = 1, #kept, 1000 do
      redis.call('RPUSH', KEYS[1], unpack(kept, first, math.min(first + 999, #kept)))
    end
  end
elseif kind == 'zset' then
  for i = 2, #ARGV, 2 do
    if redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then taken[#taken + 1] = ARGV[i] end
  end
end
for _, member in ipairs(taken) do
  local id = string.match(member, '^[^:]*')
  if ARGV[1] == '1' then redis.pcall('RPUSH', KEYS[2], said[member]) end
  redis.call('UNLINK', 'rq:job:' .. member, 'rq:job:' .. id, 'rq:results:' .. id, 'rq:job:' .. id .. ':dependents')
end
return taken
"""
