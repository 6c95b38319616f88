"""A hundred thousand zones: starting from a snapshot, changing one zone under a steady load, and what an idle one takes."""

import json
import os
import re
import signal
import time
from pathlib import Path

from . import http, processes, steady, zones
from .peers import PROXY, Instance, free_port
from .samples import Sample

COUNT = 100_000
START_LIMIT_S = 60.0
SETTLE_LIMIT_S = 40.0
IDLE_CORES = 0.05  # settled: the edge has used no more over two seconds
STEADY_PER_SECOND = 400
BASELINE_S = 8.0  # of the steady load alone
AFTER_S = 1.0  # and so long after the change holds
AROUND_S = 0.25  # to either side of a moment at which a pointer changes
HOLD_MS = 500
CHANGES = 2


def text(site, folder, ports, metrics_port, count, version):
    """As `reload-10k` has it, with short stages, and metrics on a port that is known."""
    out = zones.seawall_text(site, folder, ports, count, version)
    out = out.replace('metrics = "127.0.0.1:0"', f'metrics = "127.0.0.1:{metrics_port}"')
    return out.replace("[[zone]]", f'[edge.rollout]\nstages = [50]\nhold = "{HOLD_MS}ms"\nsoak = "1s"\n[[zone]]', 1)


class Many:
    """Seawall with so many zones."""

    def __init__(self, bench, count):
        self.bench, self.count = bench, count
        self.metrics_port = free_port()
        self.instance = Instance("seawall", bench.site, self._prepare)

    def _prepare(self, site, folder, ports):
        self.path, self.folder, self.ports = folder / "zones.toml", folder, ports
        # All of them now: writing so much later would be a load of its own.
        for number in range(CHANGES + 1):
            version = f"v{number}"
            self._of(version).write_text(text(site, folder, ports, self.metrics_port, self.count, version))
        self.put("v0")
        return [site.seawall, "run", "--config", self.path]

    def _of(self, version):
        return self.path.with_suffix(f".{version}")

    def put(self, version):
        os.replace(self._of(version), self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.instance.stop()

    def start(self):
        """Milliseconds from exec to the first response."""
        began = time.monotonic()
        self.instance.launch()
        self.first_answer()
        return (time.monotonic() - began) * 1e3

    def first_answer(self):
        alive = self.instance.process.alive
        if not http.wait_for(self.ports[PROXY], zones.PATH, zones.host(0), None, START_LIMIT_S, 0.002, alive):
            raise RuntimeError(f"no response with {self.count} zones: {self.instance.process.last_words()}")

    def edge(self):
        """The edge's process id: the child of the supervisor."""
        table = processes.table()
        found = [pid for pid, (parent, *_rest) in table.items() if parent == self.instance.process.pid]
        if len(found) != 1:
            raise RuntimeError(f"{len(found)} edges under the supervisor")
        return found[0]

    def kill_edge(self):
        """SIGKILL to the edge. Milliseconds until the next one answers: from the death, and from its own start."""
        before = self.edge()
        os.kill(before, signal.SIGKILL)
        began = time.time()
        self.first_answer()
        ended = time.time()
        after = self.edge()
        if after == before:
            raise RuntimeError("the edge outlived SIGKILL")
        return (ended - began) * 1e3, (ended - started_at(after)) * 1e3

    def settle(self):
        """Waits until nothing of a start or a change goes on: the configuration is read again after it, and compared."""
        deadline = time.monotonic() + SETTLE_LIMIT_S
        used = self.cpu_s()
        while time.monotonic() < deadline:
            time.sleep(2.0)
            before, used = used, self.cpu_s()
            if used - before < 2.0 * IDLE_CORES:
                return

    def cpu_s(self):
        return processes.tree_cpu_s(self.instance.process.pid)

    def memory_kib(self):
        return pss_kib(self.edge())

    def metric(self, name):
        with http.connect(self.metrics_port) as stream:
            stream.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            data = b""
            while more := stream.recv(65536):
                data += more
        found = re.search(rf"^{name} ([\d.e+]+)$", data.decode(), re.M)
        return float(found.group(1)) if found else None

    def timeline(self, kind):
        """When events of a kind were told, Unix seconds."""
        lines = (Path(self.folder) / "data/timeline.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [event["unix_ms"] / 1e3 for event in events if event["kind"] == kind]

    def change(self, version):
        """Puts a changed zone in place and waits until it serves alone. (edited, proposed, stage, adopted), Unix seconds."""
        # No signal: the edge sees it by itself, a second or two later.
        told = {kind: len(self.timeline(kind)) for kind in ("change_proposed", "stage", "adopted")}
        self.put(version)
        began = time.time()
        deadline = time.monotonic() + START_LIMIT_S
        while len(self.timeline("adopted")) == told["adopted"]:
            if time.monotonic() > deadline or not self.instance.process.alive():
                raise RuntimeError(f"the change was not adopted: {self.instance.process.last_words(600)}")
            time.sleep(0.05)
        return began, *(self.timeline(kind)[told[kind]] for kind in told)


def started_at(pid):
    """When a process started, Unix seconds, to a hundredth."""
    ticks = processes.table()[pid][3]
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / processes.TICKS_PER_SECOND


def pss_kib(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))


def measure(bench, name):
    """All of it, once: the figure is the edge's start from its snapshot."""
    extra = {}
    with Many(bench, 1) as one:
        one.start()
        one.settle()
        alone = one.memory_kib()
    with Many(bench, COUNT) as many:
        extra["first"] = many.start()  # from the configuration, for want of a snapshot
        many.settle()
        many.instance.stop()
        extra["whole"] = many.start()
        many.settle()
        extra["zone_kib"] = (many.memory_kib() - alone) / COUNT
        extra["killed"], figure = many.kill_edge()
        many.settle()
        extra["zone_kib_killed"] = (many.memory_kib() - alone) / COUNT
        faults = _change(bench, many, extra)
        many.settle()
        extra["zone_kib_changed"] = (many.memory_kib() - alone) / COUNT
        return Sample(figure, extra=extra, faults=faults)


def _change(bench, many, extra):
    """Two changes of one zone under the steady load."""
    faults, per_change = [], []
    hosts = [zones.host(n * COUNT // zones.HOSTS_ASKED) for n in range(zones.HOSTS_ASKED)]
    port = many.ports[PROXY]
    with steady.Steady(processes.Process, many.folder, port, zones.PATH, STEADY_PER_SECOND, hosts) as load:
        bench.pause(1.0)
        began = time.time()
        bench.pause(BASELINE_S)
        quiet = (began, time.time())
        for number in range(1, CHANGES + 1):
            moments = many.change(f"v{number}")
            bench.pause(AFTER_S)
            if _version(many) != f"v{number}":
                faults.append(f"the zone does not say v{number}")
            per_change.append((moments, many.metric("seawall_change_compile_ms"), many.metric("seawall_change_prepare_ms")))
        rows = load.stop()
    _, failed, *before = steady.between(rows, *quiet)
    extra["before_p99"], extra["before_max"] = before[1:]
    for key, pick in (("compile", 1), ("prepare", 2)):
        # Absent, or never set: 100,000 zones take a millisecond at least.
        extra[key] = max((change[pick] for change in per_change if change[pick]), default=None)
    extra["seen"] = max((proposed - began) * 1e3 for (began, proposed, *_), *_ in per_change)
    whole = [row for (began, _, _, adopted), *_ in per_change for row in rows if began <= row[0] < adopted + AFTER_S]
    _, lost, _, extra["change_p99"], extra["change_max"] = steady.between(whole, 0, float("inf"))
    swaps = [
        row
        for (_, _, stage, adopted), *_ in per_change
        for row in rows
        if abs(row[0] - stage) < AROUND_S or abs(row[0] - adopted) < AROUND_S
    ]
    _, _, _, extra["swap_p99"], extra["swap_max"] = steady.between(swaps, 0, float("inf"))
    return faults + ([f"{failed + lost} requests failed"] if failed + lost else [])


def _version(many):
    status, fields, _ = http.get(many.ports[PROXY], zones.PATH, zones.host(zones.marked(many.count)))
    return fields.get(zones.HEADER) if status == 200 else None


def _took(e):
    if not e.get("compile") or not e.get("prepare"):
        return ""
    return f" (compiled in {e['compile']:.0f} ms, with review and disk {e['prepare']:.0f} ms)"


def note(e):
    if "swap_max" not in e:
        return ""
    return (
        f"after a kill {e['killed']:.0f} ms, whole program {e['whole']:.0f} ms, from the configuration {e['first']:.0f} ms; "
        f"one zone changed: {e['seen']:.0f} ms after the edit it is read, compiled and kept{_took(e)}; "
        f"p99 (longest) {e['before_p99']:.2f} ({e['before_max']:.1f}) ms before, {e['change_p99']:.2f} ({e['change_max']:.1f}) during it, "
        f"{e['swap_p99']:.2f} ({e['swap_max']:.1f}) around the swaps; "
        f"{e['zone_kib']:.2f} KiB a zone, {e['zone_kib_changed']:.2f} after {CHANGES} changes"
    )
