"""Many zones: what a request costs among them, and how long a changed configuration takes to hold.

Each zone is a host of its own with an origin of its own. Seawall: a [[zone]] with a pool; nginx: a server and an
upstream; HAProxy: a backend, found by a map of hosts. The marked zone says in a header which version it is.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

from . import http, load, processes
from .peers import PROXY, Instance, program
from .samples import Sample

COUNTS = (10, 1_000, 10_000)
RELOAD_ZONES = 10_000
RELOAD_LIMIT_S = 60.0
HOSTS_ASKED = 10  # requests go round over so many of the zones
IN_A_ROW = 20  # so many new answers on new connections, and the new configuration holds
LOAD_LEAD_S = 1.0  # under load, so long before the signal
LOAD_S = 8  # and the load lasts so long
PATH = "/fresh/1k.txt"
HEADER = "x-bench"


def host(number):
    return f"z{number}.example"


def marked(count):
    return count // 2


def seawall_text(site, folder, ports, count, version):
    out = [
        f'data_dir = "{folder}/data"\n[edge]\nhttp = "127.0.0.1:{ports[PROXY]}"\nhttps = "off"\nmetrics = "127.0.0.1:0"\n'
    ]
    for n in range(count):
        out.append(
            f'[[zone]]\nname = "{host(n)}"\n[[zone.pool]]\nname = "o"\norigins = [{{ url = "http://127.0.0.1:{site.origin_port}" }}]\n'
        )
        if n == marked(count):
            out.append(f'[[zone.route]]\npool = "o"\nresponse_headers = {{ set = {{ "{HEADER}" = "{version}" }} }}\n')
    return "".join(out)


def nginx_text(site, folder, ports, count, version):
    user = "user root;" if os.geteuid() == 0 else ""
    out = [
        f"{user} worker_processes {os.cpu_count()}; pid {folder}/nginx.pid; error_log {folder}/nginx.err warn;\n"
        "events { worker_connections 4096; }\nhttp { access_log off; keepalive_requests 100000000; keepalive_timeout 3600s;\n"
        "server_names_hash_max_size 65536; server_names_hash_bucket_size 128;\n"
        'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;\n'
    ]
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        out.append(f"{kind}_temp_path {folder}/{kind};\n")
    for n in range(count):
        header = f"add_header {HEADER} {version};" if n == marked(count) else ""
        out.append(
            f"upstream o{n} {{ server 127.0.0.1:{site.origin_port}; keepalive 64; keepalive_requests 100000000; }}\n"
            f"server {{ listen 127.0.0.1:{ports[PROXY]}; server_name {host(n)}; location / {{ proxy_pass http://o{n}; {header} }} }}\n"
        )
    return "".join([*out, "}\n"])


def haproxy_text(site, folder, ports, count, version):
    (folder / "hosts.map").write_text("".join(f"{host(n)} b{n}\n" for n in range(count)))
    out = [
        f"global\n  maxconn 4000\n  no strict-limits\n  nbthread {os.cpu_count()}\n  stats socket {folder}/admin.sock mode 600 level admin expose-fd listeners\n"
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 3600s\n  timeout server 60s\n  http-reuse always\n"
        f"frontend f\n  bind 127.0.0.1:{ports[PROXY]}\n  use_backend %[req.hdr(host),lower,map({folder}/hosts.map)]\n"
    ]
    for n in range(count):
        out.append(f"backend b{n}\n  server o 127.0.0.1:{site.origin_port} pool-max-conn 64\n")
        if n == marked(count):
            out.append(f"  http-response set-header {HEADER} {version}\n")
    return "".join(out)


# name: (text of the configuration, arguments given its path, signal that reloads)
KINDS = {
    "seawall": (seawall_text, lambda site, path: [site.seawall, "run", "--config", path], signal.SIGHUP),
    # What `nginx -s reload` sends.
    "nginx": (nginx_text, lambda site, path: [program("nginx"), "-e", f"{path}.err", "-c", path, "-g", "daemon off;"], signal.SIGHUP),
    # A master that starts a new worker and hands it the sockets, as Debian's unit does.
    "haproxy": (haproxy_text, lambda site, path: [program("haproxy"), "-W", "-f", path], signal.SIGUSR2),
}  # fmt: skip


class Zoned:
    """A peer with many zones, whose configuration can be changed."""

    def __init__(self, bench, name, count):
        self.bench, self.name, self.count = bench, name, count
        self.text, self.argv, self.number = KINDS[name]
        self.instance = Instance(name, bench.site, self._prepare)

    def _prepare(self, site, folder, ports):
        self.path = Path(folder) / "zones.conf"
        self.ports, self.folder = ports, folder
        self.path.write_text(self.text(site, folder, ports, self.count, "v0"))
        return self.argv(site, self.path)

    def __enter__(self):
        self.instance.launch().wait_ready(PATH, host(0), kinds=[PROXY])
        return self

    def __exit__(self, *_):
        self.instance.stop()

    @property
    def port(self):
        return self.ports[PROXY]

    def version(self):
        """Which version the marked zone answers with, on a new connection. None: no good answer."""
        try:
            status, fields, _ = http.get(self.port, PATH, host(marked(self.count)), timeout_s=5.0)
            return fields.get(HEADER) if status == 200 else None
        except (OSError, ValueError, IndexError):
            return None

    def change(self, version):
        """Puts a changed configuration in place and tells the peer.

        Returns milliseconds until every answer is new (None: not within RELOAD_LIMIT_S), and failed probes meanwhile.
        """
        fresh = self.path.with_suffix(".new")
        fresh.write_text(self.text(self.bench.site, self.folder, self.ports, self.count, version))
        fresh.rename(self.path)
        began = time.monotonic()
        self.instance.process.signal(self.number)
        first, streak, failed = None, 0, 0
        while time.monotonic() - began < RELOAD_LIMIT_S:
            asked = time.monotonic()
            answer = self.version()
            failed += answer is None
            if answer == version:
                first = first if streak else asked
                streak += 1
                if streak == IN_A_ROW:
                    return (first - began) * 1e3, failed
            else:
                streak = 0
            time.sleep(0.001)
        return None, failed


def reload(bench, name):
    """From the signal until the change is visible: on an idle machine, then under load on other zones."""
    with Zoned(bench, name, RELOAD_ZONES) as zoned:
        bench.pause(2.5)  # so that nothing of the start goes on, Seawall's look at its files each second included
        pid = zoned.instance.process.pid
        cpu = processes.tree_cpu_s(pid)
        quiet_ms, failed = zoned.change("v1")
        bench.pause(2.5)
        cpu = processes.tree_cpu_s(pid) - cpu
        faults = [f"{failed} probes failed"] if failed else []
        if quiet_ms is None:
            return Sample(float("nan"), faults=[*faults, "the change never showed"])
        argv = load.wrk_argv(zoned.port, PATH, LOAD_S, 8)
        environment = {**os.environ, **load.wrk_environment([host(n) for n in range(HOSTS_ASKED)])}
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as wrk:
            try:
                bench.pause(LOAD_LEAD_S)
                loaded_ms, lost = zoned.change("v2")
                text = wrk.communicate(timeout=LOAD_S + load.GRACE_S)[0]
            finally:
                wrk.kill()
        seen = load.wrk_seen(text)
        if loaded_ms is None:
            faults.append("the change never showed under load")
        if not seen.requests:
            faults.append("no responses under load")
        # Failed requests are this row's finding, not a fault of the measurement.
        extra = {
            "loaded": loaded_ms,
            "failed": sum(seen.failures.values()) + lost,
            "longest": seen.max_ms,
            "cpu": cpu,
            "memory": processes.tree_memory_kib(pid) / 1024,
        }
        return Sample(quiet_ms, rps=seen.rps, extra=extra, faults=faults)


def reload_note(extra):
    if extra.get("loaded") is None:
        return ""
    return (
        f"{extra['cpu']:.2f} s CPU; under load {extra['loaded']:.0f} ms, {extra['failed']:.0f} requests failed, "
        f"longest {extra['longest']:.0f} ms; then {extra['memory']:.0f} MiB"
    )


def cost(count):
    """CPU per proxied request that goes round over ten of `count` zones."""

    def measure(bench, name):
        with Zoned(bench, name, count) as zoned:
            hosts = [host(n * count // HOSTS_ASKED) for n in range(HOSTS_ASKED)]
            load.wrk(zoned.port, PATH, 1, 64, hosts=hosts)
            pid = zoned.instance.process.pid
            cpu = processes.tree_cpu_s(pid)
            seen = load.wrk(zoned.port, PATH, bench.seconds, 64, hosts=hosts)
            cpu = processes.tree_cpu_s(pid) - cpu
            us = cpu / seen.requests * 1e6 if seen.requests else float("nan")
            return Sample(us, seen.rps, seen.p99_ms, faults=seen.faults(bench.site.SIZES["1k"]))

    return measure
