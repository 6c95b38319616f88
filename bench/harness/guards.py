"""What guarding costs: variants of Seawall beside each other under one load, each round paired.

The zone of each is the same but for what its name says. `seawall` uses no module; `seawall-modules` has bans, rules, a bot
score and header edits; `seawall-canary…` runs half of the requests under a change that is held there for the whole of the
measurement; `seawall-before` is another program (`--before`), of a commit before there were guards.

The edge has cores of its own here, and the load generator and the origin have the others: figures of a saturated edge that
shares its core with nobody hold within some percent, others within some ten.
"""

import json
import os
import socket
import time

from . import http, load, processes
from .peers import PROXY, Instance
from .samples import Sample

HOST = "bench.test"
VARIANTS = ("seawall-before", "seawall", "seawall-canary", "seawall-modules", "seawall-canary-modules")
# (variant, the one it is to be compared with)
PAIRS = (
    ("seawall", "seawall-before"),
    ("seawall-canary", "seawall"),
    ("seawall-canary", "seawall-before"),
    ("seawall-modules", "seawall"),
    ("seawall-canary-modules", "seawall-modules"),
)
CONNECTIONS = 64
BANNED = 1000  # networks
CANARY_PERCENT = 50
CANARY_LIMIT_S = 30.0
# Half of the paths draw the candidate, give or take: 64 paths, four deviations.
CANARY_SHARE = (0.25, 0.75)
TROUBLES = ("breaker_opened", "rule_tripped", "module_off", "worker_stuck", "died")
MISSES_MAX = 200  # the first time each of the paths is asked for, by several connections at once
# What a browser sends, so that rules and score have something to look at. Nothing is to be compressed.
FIELDS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
    "Accept-Encoding: identity",
    "Referer: http://bench.test/",
    "Sec-Fetch-Mode: navigate",
)
# What such rules usually are: (name, conditions). None holds for what is asked here, so each is tried.
RULES = (
    ("wordpress-login", 'path = "^/wp-login\\\\.php"'),
    ("xmlrpc", 'path = "/xmlrpc\\\\.php$"'),
    ("dot-files", 'path = "/\\\\.(env|git|svn|htaccess|aws)"'),
    ("backups", 'path = "\\\\.(bak|old|orig|sql|swp)$"'),
    ("admin-from-elsewhere", 'path = "^/(admin|phpmyadmin|manager)/"'),
    ("traversal", 'path = "\\\\.\\\\./"'),
    ("shells", 'path = "(?i)/(shell|cmd|c99|r57)\\\\.(php|jsp|aspx)$"'),
    ("sql-in-the-query", 'query = "(?i)union(\\\\s|%20|\\\\+)+(all(\\\\s|%20|\\\\+)+)?select"'),
    ("script-in-the-query", 'query = "(?i)(<|%3c)script"'),
    ("files-in-the-query", 'query = "(?i)(/etc/passwd|boot\\\\.ini|php://)"'),
    ("scanners", 'user_agent = "(?i)(sqlmap|nikto|nmap|masscan|acunetix|nessus)"'),
    ("libraries-at-the-api", 'path = "^/api/"\nuser_agent = "(?i)^(curl|python-requests|go-http-client|wget)"'),
    ("log4shell", 'header = { name = "User-Agent", matches = "(?i)\\\\$\\\\{jndi:" }'),
    ("log4shell-referer", 'header = { name = "Referer", matches = "(?i)\\\\$\\\\{jndi:" }'),
    ("odd-methods", 'methods = ["TRACE", "TRACK", "DEBUG"]'),
    ("old-clients", 'user_agent = "MSIE [1-7]\\\\."'),
    ("an-office-only", 'path = "^/internal/"\nsources = ["198.51.100.0/24", "203.0.113.0/24"]'),
    ("listed-at-the-login", 'path = "^/login"\nlist = "banned"'),
    ("programs-at-the-login", 'path = "^/login"\nscore_below = 30'),
    ("programs-at-the-checkout", 'path = "^/checkout"\nscore_below = 20\nmethods = ["POST"]'),
)


def edge_cores():
    """(cores of the edge, cores of everything else); None where there is one only."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    return (set(cores[half:]), set(cores[:half])) if half else (None, None)


def banned():
    """Networks that do not hold 127.0.0.1."""
    return [f"10.{n // 250}.{n % 250}.0/24" for n in range(BANNED)]


def zone_text(site, ports, modules=False, canary=False, changed=False):
    """The configuration. `changed`: what the canary is about, a further route of the zone that nobody asks for."""
    out = [f'data_dir = "data"\n[edge]\nhttp = "127.0.0.1:{ports[PROXY]}"\nhttps = "off"\nmetrics = "127.0.0.1:0"\n']
    if canary:
        out.append(f'[edge.rollout]\nstages = [{CANARY_PERCENT}]\nhold = "1d"\n')
    if modules:
        out.append(f'[[list]]\nname = "banned"\naddresses = {json.dumps(banned())}\n')
    out.append(f'[[zone]]\nname = "{HOST}"\n')
    out.append('bans = ["banned"]\n[zone.bot]\nscore = true\n' if modules else "")
    out.append(f'[[zone.pool]]\nname = "o"\norigins = [{{ url = "http://127.0.0.1:{site.origin_port}" }}]\n')
    if changed:
        out.append('[[zone.route]]\npath = "/new/*"\npool = "o"\ncache = false\n')
    edits = ""
    if modules:
        edits = (
            'request_headers = { set = { X-Edge = "seawall", X-Env = "production" }, remove = ["X-Debug"] }\n'
            'response_headers = { set = { X-Frame-Options = "DENY", X-Content-Type-Options = "nosniff" }, remove = ["X-Powered-By"] }\n'
        )
    out.append(f'[[zone.route]]\npool = "o"\n{edits}')
    for name, conditions in RULES if modules else ():
        out.append(f'[[zone.rule]]\nname = "{name}"\naction = "block"\n{conditions}\n')
    return "".join(out)


def asked(socket_path, target):
    """The JSON that the admin socket answers."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(5.0)
        stream.connect(str(socket_path))
        stream.sendall(f"GET {target} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n".encode())
        text = b""
        while more := stream.recv(65536):
            text += more
    head, body = text.split(b"\r\n\r\n", 1)
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(f"the admin socket answered {head.splitlines()[0].decode()}")
    return json.loads(body)


class Variant:
    """One of them, running."""

    def __init__(self, bench, name):
        self.bench, self.name = bench, name
        self.modules, self.canary = "modules" in name, "canary" in name
        self.instance = Instance(name, bench.site, self._prepare, peer="seawall")
        self.process = None

    def _prepare(self, site, folder, ports):
        self.path, self.ports = folder / "zones.toml", ports
        self._write()
        return [site.before if self.name == "seawall-before" else site.seawall, "run", "--config", self.path]

    def _write(self, changed=False):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(zone_text(self.bench.site, self.ports, self.modules, self.canary, changed))
        fresh.rename(self.path)

    def start(self):
        try:
            self.instance.launch(cores=edge_cores()[0]).wait_ready("/cached/many/0.txt", HOST, kinds=[PROXY])
        except BaseException:
            self.stop()
            raise
        self.process = self.instance.process

    def stop(self):
        self.instance.stop()

    def snapshot(self):
        return asked(self.path.parent / "data/edge.sock", "/snapshot")

    def candidate(self):
        """(share of the candidate in percent, its requests, all requests) of the stage it is at."""
        candidate = self.snapshot()["candidate"]
        if not candidate:
            return 0, 0, 0
        seen = candidate["requests"]
        return candidate["percent"], seen["candidate"], seen["candidate"] + seen["current"]

    def troubles(self):
        """How often the edge said that a module failed: one that is skipped would cost nothing."""
        try:
            lines = (self.path.parent / "data/timeline.jsonl").read_text().splitlines()
        except OSError:
            return 0  # before there was one
        return sum(json.loads(line)["kind"] in TROUBLES for line in lines)

    def hold_canary(self):
        """Changes the file, if there is no candidate at its stage, and waits until there is."""
        if self.candidate()[0] == CANARY_PERCENT:
            return
        last = self.snapshot()["last"]
        if last:
            self.bench.say(f"{self.name}: another change is made, since the last one ended: {last['outcome']} {last['verdict'] or ''}")
            self._write(changed=False)
            time.sleep(3.0)
        self._write(changed=True)
        deadline = time.monotonic() + CANARY_LIMIT_S
        while self.candidate()[0] != CANARY_PERCENT:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no candidate at {CANARY_PERCENT} %: {self.snapshot()}")
            time.sleep(0.1)


def running(bench, name):
    """The variant of this name, started on first use."""
    if name not in bench.running:
        variant = Variant(bench, name)
        if not bench.running:
            bench.say(f"the edge runs on cores {edge_cores()[0]}, all else on {edge_cores()[1]}")
        variant.start()  # stops it again if that fails
        bench.running[name] = variant
    return bench.running[name]


def cost(path, proxied):
    """A row's measure: CPU per request, of an edge with cores of its own."""

    def measure(bench, name):
        _, others = edge_cores()
        before_affinity = os.sched_getaffinity(0)
        variant = running(bench, name)
        if variant.canary:
            variant.hold_canary()
        run = lambda seconds: load.wrk(  # noqa: E731
            variant.ports[PROXY], path, seconds, CONNECTIONS, hosts=[HOST], paths=bench.site.MANY, fields=FIELDS
        )
        try:
            if others:
                os.sched_setaffinity(0, others)
                processes.keep_to(bench.site.origin.pid, others)
            if not getattr(variant, "warm", None) == path:
                run(1)
                variant.warm = path
            held = variant.candidate() if variant.canary else None
            troubles = variant.troubles()
            reached, cpu = bench.site.origin_requests(), processes.tree_cpu_s(variant.process.pid)
            seen = run(bench.seconds)
            cpu = processes.tree_cpu_s(variant.process.pid) - cpu
            reached = bench.site.origin_requests() - reached
        finally:
            if others:
                os.sched_setaffinity(0, before_affinity)
                processes.keep_to(bench.site.origin.pid, before_affinity)
        us = cpu / seen.requests * 1e6 if seen.requests else float("nan")
        faults = seen.faults(bench.site.SIZES["1k"])
        if proxied and reached < 0.99 * seen.requests:
            faults.append(f"only {reached} of {seen.requests} reached the origin")
        if not proxied and reached > MISSES_MAX:
            faults.append(f"{reached} of {seen.requests} reached the origin")
        if variant.troubles() > troubles:
            faults.append("a module failed meanwhile (timeline)")
        extra = {}
        if held:
            share, fault = held_share(held, variant.candidate())
            extra["share"] = share
            faults += [fault] if fault else []
        return Sample(us, seen.rps, seen.p99_ms, extra=extra, faults=faults)

    return measure


def held_share(before, after):
    """(share of requests that ran under the candidate between two looks, or None; what is wrong with that, or None)."""
    if before[0] != CANARY_PERCENT or after[0] != CANARY_PERCENT:
        return None, f"the candidate was not at {CANARY_PERCENT} % throughout"
    total = after[2] - before[2]
    if total <= 0:
        return None, "no request was counted by the canary"
    share = (after[1] - before[1]) / total
    low, high = CANARY_SHARE
    return share, None if low <= share <= high else f"{share:.0%} of the requests ran under the candidate"


def note(extra):
    return f"{extra['share']:.0%} under the candidate" if extra.get("share") is not None else ""
