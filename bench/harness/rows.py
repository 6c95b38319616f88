"""The rows: what is measured, for whom, and how.

A row's `measure(bench, name)` makes one Sample of one peer. Rows of one group share running peers; the others start a
fresh one each time.
"""

import functools
from dataclasses import dataclass
from typing import Callable

from . import guards, http, load, processes, scale, zones
from .peers import CACHE, PEERS, PROXY, TLS_CACHE, TLS_PROXY, Instance, Site
from .samples import Sample

HANDSHAKES_PER_SECOND = 600
IDLE_CONNECTIONS = 2000
SCALE_IDLE = 10_000
SCALE_ACTIVE = 1_000
# Some of what is measured must reach the origin although all should come from the cache: the fill, and revalidation.
MISSES_MAX = 50


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str
    peers: tuple
    measure: Callable
    shared: str = ""  # peers that keep running from row to row, as long as the next one names the same
    note: Callable = lambda extra: ""  # further numbers, in words
    pairs: tuple = ()  # ((peer, peer it is compared with round by round), …) of variants of Seawall
    times: int = 1  # so many times the rounds of other rows: small differences need many


def _size(path):
    return Site.SIZES[path.rsplit("/", 1)[1].removesuffix(".txt")]


def _checked(seen, path, proxied, reached):
    """Faults of a run: what failed, and responses that did not come from where the row says they come from."""
    faults = seen.faults(_size(path))
    if proxied and reached < 0.99 * seen.requests:
        faults.append(f"only {reached} of {seen.requests} reached the origin")
    if not proxied and reached > MISSES_MAX + 0.001 * seen.requests:
        faults.append(f"{reached} of {seen.requests} reached the origin")
    return faults


def _measured(bench, instance, path, proxied, run, **extra):
    """CPU of the peer's tree over `run()`, per response."""
    before, cpu = bench.site.origin_requests(), processes.tree_cpu_s(instance.process.pid)
    seen = run()
    cpu = processes.tree_cpu_s(instance.process.pid) - cpu
    reached = bench.site.origin_requests() - before
    us = cpu / seen.requests * 1e6 if seen.requests else float("nan")
    return Sample(us, seen.rps, seen.p99_ms, extra=dict(extra), faults=_checked(seen, path, proxied, reached), facts=seen.facts)


def _h1(kind, path, tls=False):
    """wrk: 64 kept connections (32 over TLS), one request at a time on each."""

    def measure(bench, name):
        instance = bench.shared(name)
        port, connections = instance.ports[kind], 32 if tls else 64
        load.wrk(port, path, 1, connections, tls)
        return _measured(
            bench, instance, path, kind in (PROXY, TLS_PROXY), lambda: load.wrk(port, path, bench.seconds, connections, tls)
        )

    return measure


def _h2(kind, path):
    """h2load: 32 connections, 16 streams on each; a number of requests that takes about as long as the other rows."""

    def measure(bench, name):
        instance = bench.shared(name)
        port = instance.ports[kind]
        log = bench.site.folder / "h2load.log"
        # The 99th percentile comes from a run of its own, since writing the log disturbs the client.
        warm = load.h2load(port, path, 8000, 32, 16, log=log)
        count = max(int(warm.rps * bench.seconds), 8000)
        sample = _measured(
            bench, instance, path, kind == TLS_PROXY, lambda: load.h2load(port, path, count, 32, 16)
        )
        sample.p99_ms = warm.p99_ms
        if sample.facts.get("Application protocol") != "h2":
            sample.faults.append("not HTTP/2")
        return sample

    return measure


def _handshake(bench, name):
    """h2load: a new connection, full handshake and one request, at a steady rate. That h2load never resumes is shown by resumption.py."""
    instance = bench.shared(name)
    cached = TLS_CACHE in instance.ports
    port = instance.ports[TLS_CACHE if cached else TLS_PROXY]
    path = "/cached/1k.txt" if cached else "/fresh/1k.txt"
    load.h2load(port, path, 50, 50, h1=True, per_second=HANDSHAKES_PER_SECOND)
    count = HANDSHAKES_PER_SECOND * bench.seconds
    sample = _measured(
        bench, instance, path, not cached,
        lambda: load.h2load(port, path, count, count, h1=True, per_second=HANDSHAKES_PER_SECOND),
    )  # fmt: skip
    sample.rps = None  # given, not reached
    sample.extra["connect"] = sample.facts.pop("connect_ms", None)
    if sample.facts.get("TLS Protocol") != "TLSv1.3":
        sample.faults.append(f"not TLS 1.3: {sample.facts.get('TLS Protocol')}")
    return sample


def _idle(tls):
    """Memory that `IDLE_CONNECTIONS` add to a fresh, warmed peer; each has had one response."""

    def measure(bench, name):
        kind, path = (TLS_PROXY if tls else PROXY), "/fresh/1k.txt"
        with Instance(name, bench.site) as instance:
            instance.launch().wait_ready()
            port = instance.ports[kind]
            load.wrk(port, path, 1, 8, tls)
            bench.pause(0.5)
            before = processes.tree_memory_kib(instance.process.pid)
            with http.Held(IDLE_CONNECTIONS, port, path, tls=tls) as held:
                bench.pause(2.0)
                after = processes.tree_memory_kib(instance.process.pid)
                faults = _held_faults(held)
            return Sample((after - before) / IDLE_CONNECTIONS, faults=faults, extra={"base": before / 1024})

    return measure


def _held_faults(held):
    lost = held.closed()
    return ([f"{held.refused} connections failed"] if held.refused else []) + ([f"{lost} were closed"] if lost else [])


def _start(bench, name):
    """From the start of the program to the first response, with the smallest configuration that proxies HTTP/1."""
    with Instance(name, bench.site, functools.partial(PEERS[name].argv, minimal=True)) as instance:
        began = bench.clock()
        instance.launch(fast=True)
        ok = http.wait_for(
            instance.ports[PROXY], "/fresh/1k.txt", limit_s=20.0, every_s=0.0005, alive=instance.process.alive
        )
        took = bench.clock() - began
        cpu_ms = processes.tree_cpu_s(instance.process.pid) * 1e3
        return Sample(took * 1e3, extra={"cpu": cpu_ms}, faults=[] if ok else ["no response"])


def _scale_idle(bench, name):
    """CPU per cached response over 1,000 active connections, with 10,000 idle ones beside them and without."""
    path = "/cached/1k.txt"
    with Instance(name, bench.site) as instance:
        instance.launch().wait_ready(path)
        port = instance.ports[CACHE]
        run = lambda: load.wrk(port, path, bench.seconds, SCALE_ACTIVE)  # noqa: E731
        load.wrk(port, path, 1, SCALE_ACTIVE)
        alone = _measured(bench, instance, path, False, run)
        with http.Held(SCALE_IDLE, port, path) as held:
            load.wrk(port, path, 1, SCALE_ACTIVE)
            sample = _measured(bench, instance, path, False, run, alone=alone.figure, alone_rps=alone.rps)
            sample.faults += [f"alone: {f}" for f in alone.faults] + _held_faults(held)
        return sample


def _scale_note(extra):
    if not extra.get("alone"):
        return ""
    return f"alone {extra['alone']:.1f} µs at {extra['alone_rps']:.0f}/s"


H1_PROXY = ("seawall", "haproxy", "nginx", "varnish", "envoy", "caddy", "traefik")
TLS = ("seawall", "haproxy", "nginx", "envoy", "caddy", "traefik")
CACHES = ("seawall", "haproxy", "nginx", "varnish")
TLS_CACHES = ("seawall", "haproxy", "nginx")

GUARD_TIMES = 4

US, KIB, MS = "µs CPU/request", "KiB/connection", "ms"

ROWS = [
    Row("h1-proxy-1k", "HTTP/1 proxied, 1 KiB", US, H1_PROXY, _h1(PROXY, "/fresh/1k.txt"), "peers"),
    Row("h1-proxy-100k", "HTTP/1 proxied, 100 KiB", US, H1_PROXY, _h1(PROXY, "/fresh/100k.txt"), "peers"),
    Row("h1-cached-1k", "HTTP/1 cached, 1 KiB", US, CACHES, _h1(CACHE, "/cached/1k.txt"), "peers"),
    Row("h1-cached-100k", "HTTP/1 cached, 100 KiB", US, CACHES, _h1(CACHE, "/cached/100k.txt"), "peers"),
    Row("tls-cached-1k", "HTTP/1 over TLS, cached, 1 KiB", US, TLS_CACHES, _h1(TLS_CACHE, "/cached/1k.txt", tls=True), "peers"),
    Row("h2-proxy-1k", "HTTP/2 proxied, 1 KiB", US, TLS, _h2(TLS_PROXY, "/fresh/1k.txt"), "peers"),
    Row("h2-cached-1k", "HTTP/2 cached, 1 KiB", US, TLS_CACHES, _h2(TLS_CACHE, "/cached/1k.txt"), "peers"),
    Row("tls-handshake", "Full TLS 1.3 handshake and one request", "µs CPU/handshake", TLS, _handshake, "peers",
        lambda e: f"connect {e['connect']:.1f} ms" if e.get("connect") else ""),
    Row("idle-clear", "Idle keep-alive connection", KIB, ("seawall", "haproxy", "nginx", "varnish", "envoy", "caddy", "traefik"),
        _idle(False), note=lambda e: f"program alone {e['base']:.0f} MiB"),
    Row("idle-tls", "Idle keep-alive connection over TLS", KIB, TLS, _idle(True), note=lambda e: f"program alone {e['base']:.0f} MiB"),
    Row("start", "Start to first response", MS, H1_PROXY, _start, note=lambda e: f"{e['cpu']:.0f} ms CPU"),
    Row("reload-10k", "Reload with 10,000 zones", MS, TLS_CACHES, zones.reload, note=zones.reload_note),
    Row("guards-proxy-1k", "Guards, HTTP/1 proxied, 1 KiB", US, guards.VARIANTS, guards.cost("/fresh/many/NUMBER.txt", True), "guards",
        guards.note, guards.PAIRS, GUARD_TIMES),
    Row("guards-cached-1k", "Guards, HTTP/1 cached, 1 KiB", US, guards.VARIANTS, guards.cost("/cached/many/NUMBER.txt", False), "guards",
        guards.note, guards.PAIRS, GUARD_TIMES),
    Row("zones-100k", "Start from a snapshot of 100,000 zones", MS, ("seawall",), scale.measure, note=scale.note),
    Row("scale-idle", "1,000 active connections beside 10,000 idle, cached 1 KiB", US, TLS_CACHES, _scale_idle, note=_scale_note),
    *(Row(f"scale-zones-{n}", f"HTTP/1 proxied, 1 KiB, {n:,} zones", US, TLS_CACHES, zones.cost(n)) for n in zones.COUNTS),
]  # fmt: skip


def chosen(text):
    """The rows named in a list by name or by the beginning of a name. Raises ValueError for a name that fits none."""
    if not text:
        return ROWS
    out = []
    for part in text.split(","):
        fit = [row for row in ROWS if row.name == part] or [row for row in ROWS if row.name.startswith(part)]
        if not fit:
            raise ValueError(f"no row {part!r}; there are {', '.join(row.name for row in ROWS)}")
        out += [row for row in fit if row not in out]
    return out
