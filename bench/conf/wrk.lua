-- What wrk saw, exactly, as one line of JSON; and, with BENCH_HOSTS set, requests that go from host to host in turn. With
-- BENCH_PATHS=N, NUMBER in the path is 0 to N-1 in turn, and BENCH_FIELDS are further lines of the head, separated by "|".
local hosts = os.getenv("BENCH_HOSTS")
if hosts then
  local requests, at = {}, 0
  function init()
    for line in (os.getenv("BENCH_FIELDS") or ""):gmatch("[^|]+") do
      local name, value = line:match("^([^:]+): (.*)$")
      wrk.headers[name] = value
    end
    for host in hosts:gmatch("%S+") do
      wrk.headers["Host"] = host
      local paths = tonumber(os.getenv("BENCH_PATHS") or "0")
      if paths == 0 then requests[#requests + 1] = wrk.format() end
      for n = 0, paths - 1 do requests[#requests + 1] = wrk.format(nil, (wrk.path:gsub("NUMBER", n))) end
    end
  end
  function request()
    at = at % #requests + 1
    return requests[at]
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nBENCH {"requests":%d,"bytes":%d,"us":%d,"p99_us":%d,"max_us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(99), latency.max,
    e.connect, e.read, e.write, e.status, e.timeout))
end
