-- wrk: POST the JSON in the environment's BODY, in which {n} becomes a text never used before and {1000} a random number up to that.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local body, n, run, keyed = os.getenv("BODY"), 0, os.getenv("RUN") or "0", os.getenv("KEYED") == "1"
local numbered, random = body:find("{n}", 1, true), body:find("{%d+}")
math.randomseed(os.time())

local function up_to(most) return tostring(math.random(tonumber(most))) end

function request()
  local filled = body
  n = n + 1
  if numbered then filled = filled:gsub("{n}", run .. "-" .. n) end
  if random then filled = filled:gsub("{(%d+)}", up_to) end
  if keyed then wrk.headers["Idempotency-Key"] = run .. "-" .. n end
  return wrk.format(nil, nil, nil, filled)
end

local threads = {}
function setup(thread) table.insert(threads, thread) end

-- A batch is answered with 200 whatever became of its items: each that was refused is a problem in it.
refused = 0
function response(status, _, answer)
  if status >= 300 or answer:find('"problem"', 1, true) then refused = refused + 1 end
end

function done(summary, latency)
  local bad = 0
  for _, thread in ipairs(threads) do bad = bad + thread:get("refused") end
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('RESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, bad, errors))
end
