"""curl, nghttp and h2load."""

import hashlib
import json
import re
import subprocess

from place import check, equal

WRITTEN = "\n%{json}"


def run(edge):
    names = ["--resolve", f"plain.test:{edge.https}:127.0.0.1"]

    def curl(*arguments, stdin=None, code=0):
        """Body, head and what curl says of the transfer."""
        head = edge.folder / "head"
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--cacert", edge.ca, *names, "-D", str(head), "-w", WRITTEN, *arguments],
            input=stdin, capture_output=True)
        assert done.returncode == code, f"curl ended with {done.returncode}: {done.stderr.decode()[-300:]}"
        body, _, said = done.stdout.rpartition(b"\n")
        return body, head.read_bytes().decode("latin-1"), json.loads(said)

    def field(head, name):
        found = re.findall(rf"^{re.escape(name)}: *(.*?)\r?$", head, re.I | re.M)
        return found[-1] if found else None

    blob = b"The sea, the wall, the house. " * 100_000
    digest = hashlib.sha256(blob).hexdigest()
    data = edge.folder / "blob"
    data.write_bytes(blob)

    @check("curl speaks HTTP/2 over a verified TLS connection, and HTTP/1.1 when it asks for that")
    def _():
        for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
            body, _, said = curl(option, f"{edge.secure}/api/time")
            equal((said["http_version"], said["http_code"]), (version, 200), option)
            assert b"unix_ms" in body

    @check("curl speaks HTTP/1.0: no chunks, the end of the connection ends the body")
    def _():
        body, head, _ = curl("-0", f"{edge.clear}/slow?s=1&drip=1")
        assert body.startswith(b"line 1"), body[:80]
        equal(field(head, "transfer-encoding"), None, "Transfer-Encoding")
        body, head, said = curl("-0", "--compressed", f"{edge.clear}/static/site.js")
        assert b"EventSource" in body
        equal(said["http_code"], 200)

    @check("curl sends an upload after 100 Continue")
    def _():
        for option in ("--http1.1", "--http2"):
            body, head, _ = curl(option, "-H", "Expect: 100-continue", "--data-binary", f"@{data}", f"{edge.secure}/upload")
            equal(json.loads(body)["sha256"], digest, "digest")
            if option == "--http1.1":
                assert head.startswith("HTTP/1.1 100"), head[:60]

    @check("curl uploads a body of unknown length, over HTTP/1.1 and HTTP/2")
    def _():
        for option in ("--http1.1", "--http2"):
            body, _, _ = curl(option, "-T", "-", f"{edge.secure}/upload", stdin=blob)
            equal((json.loads(body)["sha256"], json.loads(body)["bytes"]), (digest, len(blob)), option)

    @check("curl uploads an empty body")
    def _():
        for option in ("--http1.1", "--http2"):
            body, _, _ = curl(option, "-X", "POST", "-d", "", f"{edge.secure}/upload")
            equal(json.loads(body)["bytes"], 0)

    @check("curl gets the same from every content coding")
    def _():
        plain, head, _ = curl(f"{edge.secure}/static/site.js")
        equal(field(head, "content-encoding"), None)
        for coding in ("gzip", "br", "zstd"):
            for path in ("/static/site.js", "/"):
                _, head, _ = curl("-o", "/dev/null", "-H", f"Accept-Encoding: {coding}", f"{edge.secure}{path}")
                equal(field(head, "content-encoding"), coding, path)
            got, _, _ = curl("--compressed", "-H", f"Accept-Encoding: {coding}", f"{edge.secure}/static/site.js")
            assert got == plain, f"{coding} decodes to something else"

    @check("curl gets ranges of a stored object, several at once, and 416 beyond its end")
    def _():
        url = f"{edge.secure}/large?mb=2&cache=1"
        whole, _, _ = curl(url)
        equal(len(whole), 2 << 20)
        body, head, said = curl("-r", "1048570-1048590", url)
        equal((said["http_code"], len(body), field(head, "content-range")), (206, 21, "bytes 1048570-1048590/2097152"))
        equal(field(head, "cf-cache-status"), "HIT", "CF-Cache-Status")
        body, head, said = curl("-r", "-5", url)
        equal((said["http_code"], len(body)), (206, 5))
        _, head, said = curl("-r", "9999999-", url)
        equal((said["http_code"], field(head, "content-range")), (416, "bytes */2097152"))
        body, head, said = curl("-r", "0-0,10-12", url)
        assert said["http_code"] in (200, 206), said["http_code"]
        return f"two ranges: {said['http_code']} {field(head, 'content-type')}"

    @check("curl resumes a broken download")
    def _():
        part = edge.folder / "part"
        part.write_bytes(b"~" * 700_000)
        _, _, said = curl("-C", "-", "-o", str(part), f"{edge.secure}/large?mb=2&cache=1")
        equal((said["http_code"], part.stat().st_size), (206, 2 << 20))

    @check("curl has its ETag confirmed: 304 and no body")
    def _():
        _, head, _ = curl(f"{edge.secure}/static/site.css")
        body, head, said = curl("-H", f"If-None-Match: {field(head, 'etag')}", f"{edge.secure}/static/site.css")
        equal((said["http_code"], body), (304, b""))

    @check("curl asks with HEAD: the same head, no body")
    def _():
        for option in ("--http1.1", "--http2"):
            _, head, said = curl(option, "-I", f"{edge.secure}/large?mb=2")
            equal((said["http_code"], field(head, "content-length")), (200, str(2 << 20)), option)

    @check("curl reuses its connection")
    def _():
        out = subprocess.run(
            ["curl", "-sS", "--cacert", edge.ca, "-o", "/dev/null", "-w", "%{num_connects} ", f"{edge.clear}/",
             "--next", "-sS", "-o", "/dev/null", "-w", "%{num_connects} ", f"{edge.clear}/status/404",
             "--next", "-sS", "-o", "/dev/null", "-w", "%{num_connects} ", "-d", "x=1", f"{edge.clear}/upload"],
            capture_output=True, text=True, check=True).stdout
        equal(out.split(), ["1", "0", "0"], "connections made")

    @check("curl asks for many things at once on one HTTP/2 connection")
    def _():
        out = subprocess.run(
            ["curl", "-sS", "-Z", "--parallel-max", "50", "--cacert", edge.ca, "-o", "/dev/null",
             "-w", "%{http_version} %{http_code} %{num_connects}\n", f"{edge.secure}/headers?n=[1-60]"],
            capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
        equal(len(out), 60)
        assert all(line.startswith("2 200") for line in out), out[:5]
        equal(sum(int(line.split()[2]) for line in out), 1, "connections made")

    @check("curl may offer h2c: it is answered in HTTP/1.1")
    def _():
        _, _, said = curl("--http2", f"{edge.clear}/api/time")
        equal((said["http_version"], said["http_code"]), ("1.1", 200))

    @check("HTTP/2 in the clear is refused at once and in words")
    def _():
        # curl sees an HTTP/1 answer where it wants frames, or a connection that ends; never a wait.
        done = subprocess.run(["curl", "-sS", "--max-time", "5", "--http2-prior-knowledge", f"{edge.clear}/"],
                              capture_output=True, text=True)
        assert done.returncode not in (0, 28), f"curl ended with {done.returncode}"
        raw = subprocess.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$0; printf 'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' >&3; timeout 5 cat <&3",
                              edge.http], capture_output=True)
        first = raw.stdout.split(b"\r\n")[0].decode()
        assert re.match(r"HTTP/1\.1 (400|505)", first), f"{raw.stdout[:80]!r}, status {raw.returncode}"
        return first

    @check("curl gets trailers, on both protocols")
    def _():
        for option in ("--http1.1", "--http2"):
            body, head, _ = curl(option, "-H", "TE: trailers", f"https://plain.test:{edge.https}/trailers")
            equal((body, field(head, "x-sum")), (b"hello world", "11"), option)

    @check("curl gets a body that ends with the origin's connection, hints before it, and fields as they were")
    def _():
        at = f"https://plain.test:{edge.https}"
        equal(curl(f"{at}/until-close")[0], b"until the end")
        body, head, _ = curl("--http1.1", f"{at}/early")
        equal(body, b"ok")
        body, head, _ = curl("--http1.1", f"{at}/case")
        assert "X-MiXed-CaSe: Yes" in head and head.startswith("HTTP/1.1 200 Fine"), head
        equal(len(re.findall("set-cookie", head, re.I)), 2, "cookies")
        return "103 passed on" if " 103 " in curl("--http1.1", f"{at}/early")[1] else "103 left out"

    @check("curl is told when the origin breaks off")
    def _():
        at = f"https://plain.test:{edge.https}"
        # 18: a partial file; 92: a stream that was reset.
        curl("--http1.1", f"{at}/short", code=18)
        curl("--http2", f"{at}/short", code=92)

    @check("nghttp sends trailers after its upload, and takes a hundred streams")
    def _():
        done = subprocess.run(["nghttp", "-v", "-d", str(data), "--trailer", "x-sum: 1", f"{edge.secure}/upload"],
                              capture_output=True, text=True, timeout=20)
        assert digest in done.stdout, done.stdout[-400:]
        done = subprocess.run(["nghttp", "-ans", "-m", "100", f"{edge.secure}/"], capture_output=True, text=True, timeout=20)
        statuses = re.findall(r" (\d{3}) +[\d.KM]+ /", done.stdout)
        assert len(statuses) >= 100 and set(statuses) == {"200"}, done.stdout[-300:]

    for name, options in (("HTTP/2", []), ("HTTP/1.1", ["--h1"])):
        @check(f"h2load fails nowhere: {name}")
        def _(options=options):
            # Fifty at once: fewer than a new origin is trusted with, so that none is refused by the adaptive limit.
            done = subprocess.run(
                ["h2load", "-n", "2000", "-c", "10", "-m", "5", *options, f"{edge.secure}/static/site.css", f"{edge.secure}/api/time"],
                capture_output=True, text=True, timeout=60)
            line = re.search(r"requests: .*", done.stdout).group()
            codes = re.search(r"status codes: .*", done.stdout).group()
            assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in line and "2000 2xx" in codes, f"{line}; {codes}"
            return re.search(r"finished in ([^,]+)", done.stdout).group(1)
