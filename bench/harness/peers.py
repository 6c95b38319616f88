"""Seawall and the programs it is compared with: where they are, how each is configured and started.

Every peer listens on some of four ports: PROXY and CACHE in the clear, TLS_PROXY and TLS_CACHE with HTTP/2 and HTTP/1
by ALPN. Their configurations are in bench/conf, with @NAMES@ filled in here. All get as many threads as there are cores.
"""

import os
import random
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Callable, NamedTuple

from . import http, machine
from .processes import Process

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
WHEELS = ROOT / "target/peers/bin"  # the venv of scripts/install bench
START_LIMIT_S = 30.0
# Ports are taken below the kernel's range for outgoing connections, so that none of those can sit on one of ours.
PORTS = range(12_000, 30_000)

PROXY, CACHE, TLS_PROXY, TLS_CACHE = "PROXY", "CACHE", "TLS_PROXY", "TLS_CACHE"
ALL = (PROXY, CACHE, TLS_PROXY, TLS_CACHE)
_given = set()


def free_port():
    """A loopback port that nobody listens on, never given out before in this run."""
    while True:
        port = random.choice(PORTS)
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def program(name):
    """The path of a program: from the venv of wheels, the PATH, or /usr/sbin. None if it is not installed."""
    wheel = WHEELS / name
    if wheel.exists():
        return str(wheel)
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


class Site:
    """What all peers share in a run: folder, content, certificate, origin."""

    SIZES = {"1k": 1024, "100k": 100 * 1024}
    MANY = 64  # further files of 1 KiB, many/0.txt and on

    def __init__(self, folder, seawall, before=None):
        self.folder = Path(folder)
        self.seawall = Path(seawall).resolve()
        self.before = Path(before).resolve() if before else None  # another Seawall, of an earlier commit
        self.origin_port = free_port()
        self.origin = None
        self._asked = 0  # times its counter was read
        self.folder.chmod(0o755)  # workers of nginx may run as somebody else
        www = self.folder / "www"
        for kind in ("cached", "fresh"):
            (www / kind / "many").mkdir(parents=True)
            for name, size in self.SIZES.items():
                (www / kind / f"{name}.txt").write_bytes(os.urandom(size // 2).hex().encode())
            for number in range(self.MANY):
                (www / kind / "many" / f"{number}.txt").write_bytes(os.urandom(self.SIZES["1k"] // 2).hex().encode())
        self._make_certificate()

    def _make_certificate(self):
        """ECDSA P-256, what every public authority issues and what Seawall makes for itself."""
        subprocess.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 30 "
            "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1",
            shell=True, check=True, capture_output=True, cwd=self.folder,
        )
        both = (self.folder / "cert.pem").read_text() + (self.folder / "key.pem").read_text()
        (self.folder / "both.pem").write_text(both)

    def render(self, name, folder, ports=None, minimal=False):
        """Fills in bench/conf/`name` and writes it into `folder`. Returns its path.

        `minimal` leaves out what stands between `# full:` and `# :full`, all but one HTTP/1 listener that proxies.
        """
        modern = nginx_version() >= (1, 25, 1)
        values = {
            "DIR": folder, "WWW": self.folder / "www", "ORIGIN": self.origin_port, "CORES": os.cpu_count(),
            "NOFILE": machine.facts()["open_files"], "USER": "user root;" if os.geteuid() == 0 else "",
            "H2": "" if modern else "http2", "HTTP2_ON": "http2 on;" if modern else "", **(ports or {}),
        }  # fmt: skip
        text = (BENCH / "conf" / name).read_text()
        if minimal:
            text = re.sub(r"^ *# full:$.*?^ *# :full\n", "", text, flags=re.M | re.S)
        text = re.sub(r"@([A-Z_0-9]+)@", lambda m: str(values[m.group(1)]), text)
        path = Path(folder) / name
        path.write_text(text)
        return path

    def start_origin(self):
        """Starts it, or starts it again. Raises RuntimeError if it does not answer."""
        self._asked = 0
        path = self.render("origin.conf", self.folder)
        argv = [program("nginx"), "-e", self.folder / "origin.err", "-c", path, "-g", "daemon off;"]
        self.origin = Process(argv, self.folder, self.folder / "origin.log")
        if not http.wait_for(self.origin_port, "/fresh/1k.txt", alive=self.origin.alive):
            raise RuntimeError(f"the origin did not start: {self.origin.last_words()}")

    def origin_requests(self):
        """How many requests the origin has had, this question not counted."""
        with http.connect(self.origin_port) as stream:
            stream.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            text = b""
            while more := stream.recv(4096):
                text += more
        self._asked += 1
        return int(re.search(rb"\n\s*\d+ \d+ (\d+)", text).group(1)) - self._asked

    def peer_folder(self, name):
        """A fresh folder for one instance, with the certificate in it."""
        number = 0
        while (folder := self.folder / f"{name}-{number}").exists():
            number += 1
        folder.mkdir()
        for pem in ("cert.pem", "key.pem", "both.pem"):
            shutil.copy(self.folder / pem, folder / pem)
        return folder


def nginx_version():
    found = machine.first_line([program("nginx") or "nginx", "-v"], r"nginx/([\d.]+)")
    return tuple(int(x) for x in (found or "0").split("."))


# How each is started: a function of site, folder and ports that writes its configuration and returns argv. `minimal` is
# one HTTP/1 listener that proxies, and nothing else.


def seawall_argv(site, folder, ports, minimal=False):
    http_port, https_port = ports[PROXY], ports[TLS_PROXY]
    return [
        site.seawall, "run", "--origin", f"http://127.0.0.1:{site.origin_port}",
        "--http", f"127.0.0.1:{http_port}", "--https", f"127.0.0.1:{https_port}" if not minimal else "off",
        "--metrics", "127.0.0.1:0", "--data-dir", folder / "data",
    ]  # fmt: skip


def nginx_argv(site, folder, ports, minimal=False):
    return [program("nginx"), "-e", folder / "nginx.err", "-c", site.render("nginx.conf", folder, ports, minimal), "-g", "daemon off;"]


def haproxy_argv(site, folder, ports, minimal=False):
    return [program("haproxy"), "-f", site.render("haproxy.cfg", folder, ports, minimal), "-db"]


def varnish_argv(site, folder, ports, minimal=False):
    vcl = site.render("varnish.vcl", folder, ports, minimal)
    return [program("varnishd"), "-j", "none", "-F", "-a", f"127.0.0.1:{ports[CACHE]}", "-f", vcl,
            "-n", folder / "work", "-s", "malloc,256m", "-T", "none"]  # fmt: skip


def envoy_argv(site, folder, ports, minimal=False):
    return [program("envoy"), "-c", site.render("envoy.yaml", folder, ports, minimal), "--concurrency", os.cpu_count(),
            "-l", "error", "--use-dynamic-base-id"]  # fmt: skip


def caddy_argv(site, folder, ports, minimal=False):
    return [program("caddy"), "run", "--config", site.render("Caddyfile", folder, ports, minimal), "--adapter", "caddyfile"]


def traefik_argv(site, folder, ports, minimal=False):
    site.render("traefik-routes.yaml", folder, ports, minimal)
    return [program("traefik"), f"--configFile={site.render('traefik.yaml', folder, ports)}"]


class Peer(NamedTuple):
    program: str | None  # None: the binary given to this run
    argv: Callable
    kinds: tuple  # of ports
    asks: tuple  # arguments that print its version
    version: str  # and the pattern that finds it


PEERS = {
    "seawall": Peer(None, seawall_argv, ALL, ("version",), r"(\d\S*)"),
    "haproxy": Peer("haproxy", haproxy_argv, ALL, ("-v",), r"version (\S+)"),
    "nginx": Peer("nginx", nginx_argv, ALL, ("-v",), r"nginx/(\S+)"),
    "varnish": Peer("varnishd", varnish_argv, (PROXY, CACHE), ("-V",), r"varnish-(\S+)"),
    "envoy": Peer("envoy", envoy_argv, (PROXY, TLS_PROXY), ("--version",), r"/(\d+\.\d+\.\d+)/"),
    "caddy": Peer("caddy", caddy_argv, (PROXY, TLS_PROXY), ("version",), r"v?(\d\S*)"),
    "traefik": Peer("traefik", traefik_argv, (PROXY, TLS_PROXY), ("version",), r"Version:\s+(\S+)"),
}
# Those that serve from the cache and proxy on one port.
ONE_PORT = ("seawall", "varnish")


def available(site):
    """Those that are installed, with their versions."""
    out = {}
    for name, peer in PEERS.items():
        path = program(peer.program) if peer.program else str(site.seawall)
        if path and os.access(path, os.X_OK):
            out[name] = machine.first_line([path, *peer.asks], peer.version)
    return out


class Instance:
    """A peer, first prepared (folder, ports, configuration), then running, then stopped."""

    def __init__(self, name, site, argv_of=None, peer=None):
        """`argv_of(site, folder, ports)` replaces the usual configuration and arguments; `peer` is what it is, if `name`
        is not its own."""
        self.name = name
        peer = peer or name
        self.folder = site.peer_folder(name)
        self.ports = {kind: free_port() for kind in PEERS[peer].kinds}
        if peer in ONE_PORT:
            self.ports[CACHE] = self.ports[PROXY]
            if TLS_PROXY in self.ports:
                self.ports[TLS_CACHE] = self.ports[TLS_PROXY]
        self.argv = (argv_of or PEERS[peer].argv)(site, self.folder, self.ports)
        self.process = None

    def launch(self, fast=False, cores=None):
        # Some keep things in the home folder; theirs is the folder of the run.
        home = {name: str(self.folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
        self.process = Process(self.argv, self.folder, self.folder / "out.log", home, fast, cores)
        return self

    def wait_ready(self, path="/fresh/1k.txt", host="localhost", kinds=None):
        """Waits until each port answers with 2xx; stops it and raises RuntimeError with its last words otherwise."""
        context = http.tls_context()
        for kind in kinds or self.ports:
            tls = context if kind.startswith("TLS") else None
            if not http.wait_for(self.ports[kind], path, host, tls, START_LIMIT_S, alive=self.process.alive):
                words = self.process.last_words()
                self.stop()
                raise RuntimeError(f"{self.name} did not answer on its {kind} port: {words}")
        return self

    def stop(self):
        if self.process:
            self.process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
