"""Processes the benchmark starts: their start and certain end, their CPU time and their memory, whole trees at a time."""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
STOP_WAIT_S = 3.0  # what a process gets to end by itself before it is killed
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    """Runs in the child before exec: should the benchmark itself be killed outright, its children end too."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def table():
    """Every process: {pid: (parent pid, CPU seconds, name, start time)}.

    CPU seconds are user and system time of all threads, dead ones included, and of the children it has waited for. So
    the sum over a tree never loses what a process of it that ended had used.
    """
    out = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue  # it ended meanwhile
        head, tail = text.rsplit(")", 1)
        field = tail.split()
        ticks = sum(int(x) for x in field[11:15])
        out[int(entry)] = (int(field[1]), ticks / TICKS_PER_SECOND, head.split("(", 1)[1], int(field[19]))
    return out


def descendants(root, processes):
    """`root` and everything below it that is alive."""
    below = {}
    for pid, (parent, *_rest) in processes.items():
        below.setdefault(parent, []).append(pid)
    tree, queue = [], [root] if root in processes else []
    while queue:
        pid = queue.pop()
        tree.append(pid)
        queue += below.get(pid, [])
    return tree


def tree_cpu_s(root):
    """CPU seconds the tree under `root` has used so far."""
    processes = table()
    return sum(processes[pid][1] for pid in descendants(root, processes))


def tree_memory_kib(root):
    """Memory of the tree in KiB: proportional set size, so that pages shared by workers count once."""
    total = 0
    for pid in descendants(root, table()):
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
                    break
        except OSError:
            continue
    return total


class Process:
    """One program, started in the foreground with its own session, and the tree under it."""

    def __init__(self, argv, cwd, log, env=None, fast=False, cores=None):
        """`fast` leaves out the tie to the benchmark's own life, which needs a slow fork: for measuring starts.

        `cores` are those it may run on.
        """
        self.log = Path(log)

        def prepare():
            _die_with_parent()
            if cores:
                os.sched_setaffinity(0, cores)

        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                [str(a) for a in argv],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=None if fast else prepare,
            )
        self.pid = self.child.pid

    def alive(self):
        return self.child.poll() is None

    def last_words(self, count=240):
        """The end of its log on one line, for a message about why it is not there."""
        try:
            return " ".join(self.log.read_text(errors="replace").split())[-count:]
        except OSError:
            return ""

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def stop(self):
        """Ends the whole tree: politely, then not. Safe to call twice."""
        before = table()
        tree = {pid: before[pid][3] for pid in descendants(self.pid, before)}
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WAIT_S
        while time.monotonic() < deadline and (self.alive() or _still(tree)):
            time.sleep(0.02)
        for pid in _still(tree):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.child.wait(timeout=10)


def keep_to(root, cores):
    """Has every thread of the tree under `root` run on these cores only."""
    for pid in descendants(root, table()):
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), cores)


def _still(tree):
    """Those of {pid: start time} that live on (a pid given to another process since then has another start time)."""
    now = table()
    return [pid for pid, started in tree.items() if pid in now and now[pid][3] == started and not _zombie(pid)]


def _zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True
