"""A steady load, and how long each request took: requests begin at even distances whatever became of the ones before
(over a few connections in turn), so that a stall is seen by every request that falls into it.

    python3 -m harness.steady PORT PATH PER_SECOND OUT HOST…    until SIGTERM; OUT then has "unix_s ms" a line
"""

import signal
import socket
import sys
import threading
import time
from pathlib import Path

from . import http

CONNECTIONS = 4
LIMIT_S = 10.0


class Steady:
    """That load, in a process of its own: used with `with`."""

    def __init__(self, process_of, folder, port, path, per_second, hosts):
        self.out = Path(folder) / "steady.txt"
        argv = [sys.executable, "-m", "harness.steady", port, path, per_second, self.out, *hosts]
        self.process = process_of(argv, Path(__file__).resolve().parent.parent, Path(folder) / "steady.log")

    def stop(self):
        """Ends it. Returns [(when it was due, Unix seconds; milliseconds it took, None: no good answer)]."""
        self.process.signal(signal.SIGTERM)
        self.process.child.wait(timeout=LIMIT_S + 5)
        rows = (line.split() for line in self.out.read_text().splitlines())
        return sorted((float(at), None if ms == "-" else float(ms)) for at, ms in rows)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()


def between(rows, begin, end):
    """(requests, failed, median, 99th percentile, longest) of those due between two moments; milliseconds."""
    here = [ms for at, ms in rows if begin <= at < end]
    took = sorted(ms for ms in here if ms is not None)
    if not took:
        return len(here), len(here), None, None, None
    at = lambda share: took[min(int(len(took) * share), len(took) - 1)]  # noqa: E731
    return len(here), len(here) - len(took), at(0.5), at(0.99), took[-1]


def _lane(port, path, hosts, first, step, stop, out):
    """One connection, and its share of the requests."""
    stream, due, turn = None, first, 0
    while not stop.is_set():
        wait = due - time.time()
        if wait > 0:
            time.sleep(wait)
        try:
            stream = stream or http.connect(port, timeout_s=LIMIT_S)
            stream.sendall(http.request(path, hosts[turn % len(hosts)]))
            good = http.read_response(stream)[0] == 200
        except (OSError, ValueError, IndexError):
            good, stream = False, None
        out.append((due, (time.time() - due) * 1e3 if good else None))
        turn += 1
        due += step


def main(port, path, per_second, out, *hosts):
    stop, rows = threading.Event(), []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    step = CONNECTIONS / float(per_second)
    begin = time.time() + 0.1
    lanes = [
        threading.Thread(target=_lane, args=(int(port), path, hosts, begin + n * step / CONNECTIONS, step, stop, rows))
        for n in range(CONNECTIONS)
    ]
    for lane in lanes:
        lane.start()
    stop.wait()
    for lane in lanes:
        lane.join()
    Path(out).write_text("".join(f"{at:.6f} {'-' if ms is None else f'{ms:.4f}'}\n" for at, ms in rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
