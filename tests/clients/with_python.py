"""requests, httpx, aiohttp, websockets and h11."""

import asyncio
import gzip
import hashlib
import json
import os
import socket
import ssl
import time

import aiohttp
import h11
import httpx
import requests
import websockets

from place import check, equal


def run(edge):
    def tls():
        # One for each client: httpx sets its own protocols on it.
        return ssl.create_default_context(cafile=edge.ca)

    blob = os.urandom(1 << 20)
    digest = hashlib.sha256(blob).hexdigest()

    @check("requests: a session with redirects, decoding and errors")
    def _():
        with requests.Session() as session:
            # The environment would name other authorities.
            session.trust_env, session.verify = False, edge.ca
            got = session.get(f"{edge.secure}/")
            equal((got.status_code, got.headers["Server"]), (200, "seawall"))
            assert "This page came over the wall." in got.text and got.headers["Content-Encoding"] == "gzip"
            got = session.get(f"{edge.secure}/status/302")
            equal(([r.status_code for r in got.history], got.status_code), ([302], 200))
            equal(session.get(f"{edge.secure}/status/503").status_code, 503)
            equal(session.delete(f"{edge.secure}/status/204").content, b"")
            seen = session.get(f"{edge.secure}/headers?a=b%20c", headers={"X-Twice": "1"}).json()
            names = {name.lower(): value for name, value in seen["headers"]}
            equal((seen["query"], names["x-twice"], names["cf-connecting-ip"]), ("a=b%20c", "1", "127.0.0.1"))
            equal(names["cdn-loop"], "seawall", "CDN-Loop")

    @check("requests: a chunked upload and a form with a file")
    def _():
        pieces = (blob[i:i + 7777] for i in range(0, len(blob), 7777))
        got = requests.post(f"{edge.secure}/upload", data=pieces, verify=edge.ca, headers={"Accept": "application/json"})
        equal(got.json()["sha256"], digest)
        got = requests.post(f"{edge.secure}/upload", files={"file": ("a.bin", blob)}, verify=edge.ca)
        assert len(blob) < got.json()["bytes"] < len(blob) + 500

    @check("requests: a coded upload and a large download pass unchanged")
    def _():
        packed = gzip.compress(blob)
        got = requests.post(f"{edge.secure}/upload", data=packed, headers={"Content-Encoding": "gzip"}, verify=edge.ca)
        equal(got.json()["sha256"], hashlib.sha256(packed).hexdigest())
        with requests.get(f"{edge.secure}/large?mb=16", stream=True, verify=edge.ca) as got:
            equal(sum(len(piece) for piece in got.iter_content(1 << 16)), 16 << 20)

    @check("httpx: sixty streams at once over HTTP/2")
    def _():
        async def go():
            async with httpx.AsyncClient(http2=True, verify=tls()) as client:
                asks = [client.get(f"{edge.secure}/headers?n={n}", headers={"accept": "application/json"}) for n in range(60)]
                for n, got in enumerate(await asyncio.gather(*asks)):
                    equal((got.http_version, got.status_code, got.json()["query"]), ("HTTP/2", 200, f"n={n}"))
        asyncio.run(go())

    @check("httpx: uploads and downloads cross on one HTTP/2 connection")
    def _():
        async def go():
            async with httpx.AsyncClient(http2=True, verify=tls(), timeout=20) as client:
                async def send():
                    return (await client.post(f"{edge.secure}/upload", content=blob, headers={"accept": "application/json"})).json()["sha256"]
                async def receive():
                    return len((await client.get(f"{edge.secure}/large?mb=4")).content)
                got = await asyncio.gather(*[send() for _ in range(4)], *[receive() for _ in range(4)])
                equal(got, [digest] * 4 + [4 << 20] * 4)
        asyncio.run(go())

    @check("httpx: events come one by one, compressed or not")
    def _():
        for coding in ("identity", "gzip"):
            with httpx.Client(http2=True, verify=tls()) as client:
                with client.stream("GET", f"{edge.secure}/events", headers={"accept-encoding": coding}) as got:
                    times = []
                    for line in got.iter_lines():
                        if line.startswith("data:"):
                            times.append(time.monotonic())
                            late = time.time() * 1000 - json.loads(line[5:])["unix_ms"]
                            assert late < 500, f"{late} ms late"
                        if len(times) == 3:
                            break
            gaps = [b - a for a, b in zip(times, times[1:])]
            assert all(0.6 < gap < 1.6 for gap in gaps), f"{coding}: gaps {gaps}"

    @check("aiohttp: fifty at once over kept connections, and a streamed answer")
    def _():
        async def go():
            connector = aiohttp.TCPConnector(limit=8, ssl=tls())
            async with aiohttp.ClientSession(connector=connector) as session:
                async def one(n):
                    async with session.get(f"{edge.secure}/headers?n={n}", headers={"Accept": "application/json"}) as got:
                        return got.status, (await got.json())["query"]
                got = await asyncio.gather(*[one(n) for n in range(50)])
                equal(got, [(200, f"n={n}") for n in range(50)])
                start, times = time.monotonic(), []
                async with session.get(f"{edge.secure}/slow?s=3&drip=1") as got:
                    async for _ in got.content:
                        times.append(time.monotonic() - start)
                assert len(times) == 3 and times[0] < 0.7 and times[2] - times[0] > 1.5, times
        asyncio.run(go())

    @check("aiohttp: a WebSocket, in the clear and over TLS")
    def _():
        async def go():
            async with aiohttp.ClientSession() as session:
                for url in (f"{edge.clear}/ws", f"{edge.secure}/ws"):
                    async with session.ws_connect(url, ssl=tls()) as socket:
                        await socket.send_str("Ahoy")
                        equal((await socket.receive()).data, "Ahoy")
                        await socket.send_bytes(blob[:60_000])
                        equal((await socket.receive()).data, blob[:60_000])
        asyncio.run(go())

    @check("websockets: many messages in flight, ping and pong, a clean end, a message too long")
    def _():
        async def go():
            async with websockets.connect(f"wss://localhost:{edge.https}/ws", ssl=tls()) as socket:
                for n in range(500):
                    await socket.send(f"message {n}")
                for n in range(500):
                    equal(await socket.recv(), f"message {n}")
                await asyncio.wait_for(await socket.ping(), 2)
                await socket.send(["in ", "three ", "pieces"])
                equal(await socket.recv(), "in three pieces")
            equal(socket.close_code, 1000)
            async with websockets.connect(f"wss://localhost:{edge.https}/ws", ssl=tls()) as socket:
                try:
                    await socket.send("x" * 100_000)
                    await asyncio.wait_for(socket.recv(), 5)
                    raise AssertionError("a message beyond the origin's limit came back")
                except websockets.ConnectionClosed:
                    pass
        asyncio.run(go())

    @check("websockets: a page that is none refuses the upgrade with its own answer")
    def _():
        async def go():
            try:
                async with websockets.connect(f"wss://localhost:{edge.https}/status/403", ssl=tls()):
                    raise AssertionError("connected")
            except websockets.InvalidStatus as error:
                equal(error.response.status_code, 403)
        asyncio.run(go())

    @check("h11: requests sent one behind the other are answered in their order")
    def _():
        with socket.create_connection(("127.0.0.1", int(edge.http)), 5) as wire:
            asked = ["/headers?n=1", "/slow?s=1", "/static/site.css", "/status/404", "/headers?n=2"]
            wire.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n".encode() for path in asked))
            client = h11.Connection(h11.CLIENT)
            statuses = []
            for path in asked:
                client.send(h11.Request(method="GET", target=path, headers=[("Host", "localhost")]))
                client.send(h11.EndOfMessage())
                while True:
                    event = client.next_event()
                    if event is h11.NEED_DATA:
                        client.receive_data(wire.recv(65536))
                    elif isinstance(event, h11.Response):
                        statuses.append(event.status_code)
                    elif isinstance(event, h11.EndOfMessage):
                        break
                    else:
                        assert isinstance(event, h11.Data), event
                client.start_next_cycle()
            equal(statuses, [200, 200, 200, 404, 200])

    @check("h11: waits for 100 Continue, and gets a final answer instead where the origin refuses")
    def _():
        for path, interim in (("/upload", True), ("/api/time", None)):
            with socket.create_connection(("127.0.0.1", int(edge.http)), 5) as wire:
                client = h11.Connection(h11.CLIENT)
                head = h11.Request(method="POST", target=path, headers=[
                    ("Host", "localhost"), ("Content-Length", "5"), ("Expect", "100-continue"), ("Accept", "application/json")])
                wire.sendall(client.send(head))
                events = []
                while not any(isinstance(event, h11.Response) for event in events):
                    event = client.next_event()
                    if event is h11.NEED_DATA:
                        client.receive_data(wire.recv(65536))
                        continue
                    events.append(event)
                    if isinstance(event, h11.InformationalResponse):
                        wire.sendall(client.send(h11.Data(data=b"hello")) + client.send(h11.EndOfMessage()))
                if interim:
                    equal(events[0].status_code, 100)
                equal(events[-1].status_code, 200 if interim else 405, path)
