"""Load from wrk (HTTP/1) and h2load (HTTP/2, handshakes), and what they saw.

Nothing is taken on trust: every response must be 2xx and of the size asked for, and the origin's own counter says
whether a response came from a cache.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"
GRACE_S = 30  # beyond its own duration, what a load generator gets before it is ended


@dataclass
class Seen:
    """What one run of a load generator saw."""

    requests: int
    rps: float
    body_bytes: int  # at least so many; wrk counts heads too
    p99_ms: float | None = None
    max_ms: float | None = None
    failures: dict = field(default_factory=dict)  # kind: count, only those above zero
    facts: dict = field(default_factory=dict)

    def faults(self, size):
        """What makes this run not count, given the size of each body in bytes."""
        out = [f"{count} {kind}" for kind, count in self.failures.items()]
        if self.requests == 0:
            out.append("no responses")
        elif self.body_bytes < self.requests * size:
            out.append(f"{self.body_bytes} bytes for {self.requests} responses of {size}")
        return out


def _run(argv, limit_s, env=None):
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=limit_s, check=False, env={**os.environ, **(env or {})}
        )
        return done.stdout + done.stderr
    except subprocess.TimeoutExpired as error:  # subprocess.run has killed it
        return (error.stdout or b"").decode() if isinstance(error.stdout, bytes) else error.stdout or ""


def wrk_argv(port, path, seconds, connections, tls=False):
    scheme = "https" if tls else "http"
    url = f"{scheme}://127.0.0.1:{port}{path}"
    return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(CONF / "wrk.lua"), url]


def wrk_environment(hosts=(), paths=0, fields=()):
    if not hosts:
        return {}
    return {"BENCH_HOSTS": " ".join(hosts), "BENCH_PATHS": str(paths), "BENCH_FIELDS": "|".join(fields)}


def wrk_seen(text):
    """Reads what conf/wrk.lua wrote."""
    found = re.search(r"^BENCH (\{.*\})$", text, re.M)
    if not found:
        return Seen(0, 0.0, 0, failures={f"wrk failed: {text.strip()[-120:]}": 1})
    got = json.loads(found.group(1))
    kinds = {"connect": "connects failed", "read": "reads failed", "write": "writes failed", "status": "not 2xx", "timeout": "timed out"}
    return Seen(
        requests=got["requests"],
        rps=got["requests"] / max(got["us"] / 1e6, 1e-6),
        body_bytes=got["bytes"],
        p99_ms=got["p99_us"] / 1e3,
        max_ms=got["max_us"] / 1e3,
        failures={says: got[key] for key, says in kinds.items() if got[key]},
    )


def wrk(port, path, seconds, connections, tls=False, hosts=(), paths=0, fields=()):
    """Closed loop over kept HTTP/1 connections from one thread. `hosts` are named in turn, else the address.

    With `hosts`, NUMBER in the path may be 0 to `paths` - 1 in turn, and there may be further `fields` of the head.
    """
    environment = wrk_environment(hosts, paths, fields)
    return wrk_seen(_run(wrk_argv(port, path, seconds, connections, tls), seconds + GRACE_S, environment))


def h2load(port, path, requests, connections, streams=1, h1=False, per_second=None, log=None, limit_s=120):
    """`requests` in all over `connections` of TLS, `streams` at once on each; `per_second` connections open at most.

    `log` is a file for one line per request, from which the 99th percentile is read (writing it costs the client time,
    so a run that is measured should do without).
    """
    argv = ["h2load", f"-n{requests}", f"-c{connections}", f"-m{streams}", "-t1"]
    argv += ["--h1"] if h1 else []
    if per_second:
        # Ten times a second, so that connections come evenly rather than in one burst.
        argv += [f"-r{max(per_second // 10, 1)}", "--rate-period=100ms"]
    argv += [f"--log-file={log}"] if log else []
    text = _run([*argv, f"https://127.0.0.1:{port}{path}"], limit_s)
    seen = h2load_seen(text, requests)
    if log:
        seen.p99_ms = _p99_ms(log)
    return seen


def h2load_seen(text, asked):
    done = re.search(r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded", text)
    status = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if not done or not status:
        return Seen(0, 0.0, 0, failures={f"h2load failed: {text.strip()[-120:]}": 1})
    good = int(status.group(1))
    failures = {"not 2xx": asked - good} if good != asked else {}
    data = re.search(r"\((\d+)\) data", text)
    facts = {}
    for name in ("TLS Protocol", "Cipher", "Server Temp Key", "Application protocol"):
        found = re.search(rf"^{name}: (.+)$", text, re.M)
        if found:
            facts[name] = found.group(1).strip()
    connect = re.search(r"time for connect:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)\b", text)
    if connect:
        facts["connect_ms"] = float(connect.group(1)) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[connect.group(2)]
    rps = re.search(r"([\d.]+) req/s", text)
    return Seen(good, float(rps.group(1)) if rps else 0.0, int(data.group(1)) if data else 0, failures=failures, facts=facts)


def _p99_ms(log):
    """The log has start (µs since the epoch), status and duration (µs) on each line."""
    took = []
    try:
        for line in Path(log).read_text().splitlines():
            part = line.split("\t")
            if len(part) >= 3 and part[2].isdigit():
                took.append(int(part[2]))
        Path(log).unlink()
    except OSError:
        return None
    took.sort()
    return took[min(len(took) * 99 // 100, len(took) - 1)] / 1e3 if took else None
