"""The machine: what it is, and whether it is quiet enough for figures to hold."""

import datetime
import os
import platform
import re
import resource
import subprocess
import time
from pathlib import Path

from . import processes

# Beyond this, in cores, what others use during a measurement is in its figures: caches, clock speed, waiting.
FOREIGN_CORES_MAX = 0.10
STEAL_MAX = 0.02  # share of all CPU time that the hypervisor gave to another machine


def facts():
    """What a reader needs to judge the figures."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory_kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))
    return {
        "date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "cpu": cpu.group(1).strip() if cpu else platform.processor() or "unknown",
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kib / 1024 / 1024, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "virtual": virtual(),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


def virtual():
    """Whether the CPU says that it is a guest's."""
    return " hypervisor" in Path("/proc/cpuinfo").read_text()


def raise_open_files():
    """Raises the soft limit of open files to the hard one, for this process and all it starts. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _system_cpu():
    """(seconds of CPU used by anything, seconds stolen, seconds in all) since boot, over all cores."""
    field = [int(x) / processes.TICKS_PER_SECOND for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, idle, iowait, irq, softirq, steal = field
    busy = user + nice + system + irq + softirq
    return busy, steal, busy + idle + iowait + steal


class Watch:
    """Looks at what else the machine does between its making and `done`."""

    def __init__(self):
        self.started = time.monotonic()
        self.table = processes.table()
        self.own = self._own(self.table)
        self.busy, self.steal, self.total = _system_cpu()

    @staticmethod
    def _own(table):
        return sum(table[pid][1] for pid in processes.descendants(os.getpid(), table))

    def done(self):
        """{"foreign": cores used by processes that are not ours, "steal": share stolen, "who": the busiest of them}."""
        table = processes.table()
        busy, steal, total = _system_cpu()
        elapsed = max(time.monotonic() - self.started, 1e-3)
        foreign = (busy - self.busy) - (self._own(table) - self.own)
        ours = set(processes.descendants(os.getpid(), table))
        used = {}
        for pid, (_parent, cpu_s, name, born) in table.items():
            old = self.table.get(pid)
            gain = cpu_s - (old[1] if old and old[3] == born else 0.0)
            if pid not in ours and gain > 0.05 * elapsed:
                used[name] = used.get(name, 0.0) + gain / elapsed
        # Clock ticks are coarse: below zero means nothing.
        return {
            "foreign": max(foreign, 0.0) / elapsed,
            "steal": (steal - self.steal) / max(total - self.total, 1e-3),
            "who": sorted(used, key=used.get, reverse=True)[:3],
        }


def noisy(seen):
    """Whether a measurement with this around it should not be believed."""
    return seen["foreign"] > FOREIGN_CORES_MAX or seen["steal"] > STEAL_MAX


def warn_if_loaded():
    """A line about load that is there before anything has started, or None."""
    watch = Watch()
    time.sleep(1.0)
    seen = watch.done()
    load = os.getloadavg()[0]
    if not noisy(seen) and load < 0.5 * (os.cpu_count() or 1):
        return None
    by = f" ({', '.join(seen['who'])})" if seen["who"] else ""
    return f"others use {seen['foreign']:.2f} cores{by}, {100 * seen['steal']:.1f} % is stolen, load average {load:.1f}"


def first_line(argv, pattern=None):
    """What a program says about its version: the first line, or what `pattern` finds. None if it is not there."""
    try:
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    text = (done.stdout + done.stderr).strip()
    found = re.search(pattern, text) if pattern else None
    return found.group(1) if found else text.split("\n", 1)[0]
