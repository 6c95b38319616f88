"""Where the clients are tested: checks that print a line each, certificates, and Seawall in front of origins."""

import atexit
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

SEAWALL = os.environ["SEAWALL"]
START_SECONDS = 15
passed, failed = 0, 0
_children: list[subprocess.Popen] = []


def count(ok: bool, line: str) -> None:
    global passed, failed
    passed, failed = passed + ok, failed + (not ok)
    print(line, flush=True)


def check(name: str):
    """Runs the function under it at once, as a check. What it returns is said beside the name."""

    def run(function):
        start = time.monotonic()
        try:
            said = function()
            took = f"{(time.monotonic() - start) * 1000:.0f} ms"
            count(True, f"ok    {name}{f' ({said})' if said else ''}  {took}")
        except Exception as error:  # a check may fail in any way
            where = traceback.extract_tb(error.__traceback__)[-1]
            at = next((f for f in reversed(traceback.extract_tb(error.__traceback__)) if "tests/clients" in f.filename), where)
            count(False, f"FAIL  {name}\n      {type(error).__name__}: {str(error)[:600]}\n      {at.filename}:{at.lineno} {at.line}")
        return function

    return run


def equal(got, wanted, what: str = "value") -> None:
    assert got == wanted, f"{what} is {got!r}, not {wanted!r}"


def child(arguments: list[str], **options) -> subprocess.Popen:
    """A process that ends with the run, whatever happens."""
    process = subprocess.Popen(arguments, **options)
    _children.append(process)
    return process


class Place:
    """Seawall with a demo site and other origins behind it, in a folder that is gone at the end."""

    def __init__(self, grpc_port: int, plain_port: int, certificate: tuple[str, str], folder: pathlib.Path):
        self.folder, self.ca = folder, certificate[0]
        demo = child([SEAWALL, "demo-origin", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
        origin = re.search(r"http://[\d.:]+", demo.stdout.readline()).group()
        config = folder / "seawall.toml"
        config.write_text(f"""
data_dir = "data"
[edge]
http = "127.0.0.1:0"
https = "127.0.0.1:0"
metrics = "127.0.0.1:0"
[edge.tls]
certificates = [{{ cert = "{certificate[0]}", key = "{certificate[1]}" }}]
[[zone]]
name = "demo"
hosts = ["*"]
[[zone.pool]]
name = "app"
origins = [{{ url = "{origin}" }}]
[[zone]]
name = "grpc.test"
[[zone.pool]]
name = "services"
origins = [{{ url = "https://127.0.0.1:{grpc_port}", tls = "full", http2 = true, sni = "grpc.test" }}]
[[zone]]
name = "plain.test"
[[zone.pool]]
name = "odd"
origins = [{{ url = "http://127.0.0.1:{plain_port}" }}]
""")
        self.log = open(folder / "log", "w+")
        self.process = child([SEAWALL, "run", "--config", str(config)], stdout=self.log, stderr=self.log)
        end = time.monotonic() + START_SECONDS
        while True:
            text = (folder / "log").read_text()
            if "  https " in text and 'role="edge"' in re.sub(r"\x1b\[[0-9;]*m", "", text):
                break
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"seawall does not serve:\n{text}")
            time.sleep(0.05)
        self.http = re.search(r"^  http +127.0.0.1:(\d+)$", text, re.M).group(1)
        self.https = re.search(r"^  https +127.0.0.1:(\d+)$", text, re.M).group(1)
        self.secure, self.clear = f"https://localhost:{self.https}", f"http://localhost:{self.http}"


def folder() -> pathlib.Path:
    path = pathlib.Path(tempfile.mkdtemp(prefix="seawall-clients-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def certificate(place: pathlib.Path) -> tuple[str, str]:
    """A certificate that vouches for itself, for every name used here."""
    cert, key = str(place / "cert.pem"), str(place / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=seawall client tests", "-keyout", key, "-out", cert, "-addext",
         "subjectAltName=DNS:localhost,DNS:grpc.test,DNS:plain.test,IP:127.0.0.1"],
        check=True, stderr=subprocess.DEVNULL)
    return cert, key


def stop_children() -> None:
    # Twice: a second signal ends Seawall's drain.
    for _ in range(2):
        for process in _children:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 1
        while time.monotonic() < end and any(p.poll() is None for p in _children):
            time.sleep(0.05)
    for process in _children:
        if process.poll() is None:
            process.kill()
        process.wait()


atexit.register(stop_children)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
