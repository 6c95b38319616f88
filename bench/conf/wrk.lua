-- What wrk saw, exactly, as one line of JSON; and, with BENCH_HOSTS set, requests that go from host to host in turn.
local hosts = os.getenv("BENCH_HOSTS")
if hosts then
  local requests, at = {}, 0
  function init()
    for host in hosts:gmatch("%S+") do
      wrk.headers["Host"] = host
      requests[#requests + 1] = wrk.format()
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
