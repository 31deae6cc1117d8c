-- wrk: POST the JSON in the environment's BODY; {n} in it becomes a number never used before.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local body, n, run = os.getenv("BODY"), 0, os.getenv("RUN") or "0"

function request()
  n = n + 1
  return wrk.format(nil, nil, nil, (body:gsub("{n}", run .. "-" .. n)))
end

local threads = {}
function setup(thread) table.insert(threads, thread) end

refused = 0
function response(status) if status >= 300 then refused = refused + 1 end end

function done(summary, latency)
  local bad = 0
  for _, thread in ipairs(threads) do bad = bad + thread:get("refused") end
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('RESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, bad, errors))
end
