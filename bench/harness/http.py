"""A small HTTP/1 client on plain sockets, for probes and for connections that are only held."""

import select
import socket
import ssl
import time

TIMEOUT_S = 10.0


def tls_context():
    """TLS to ourselves: certificates are made for the run, so they are not checked."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def request(path, host):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def read_response(stream):
    """Reads one response whole. Returns (status, fields by lower-case name, body length).

    Knows Content-Length, chunked, and neither (read to the end).
    """
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(stream)
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    fields = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    if "content-length" in fields:
        while len(body) < int(fields["content-length"]):
            body += _some(stream)
    elif fields.get("transfer-encoding", "").lower() == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += _some(stream)
    else:
        while more := stream.recv(65536):
            body += more
    return int(lines[0].split()[1]), fields, len(body)


def _some(stream):
    data = stream.recv(65536)
    if not data:
        raise ConnectionError("closed before the response was whole")
    return data


def connect(port, tls=None, timeout_s=TIMEOUT_S):
    stream = socket.create_connection(("127.0.0.1", port), timeout_s)
    # Or the request would wait for the acknowledgement of the end of the handshake: 40 ms each time.
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(stream, server_hostname="localhost") if tls else stream


def get(port, path, host="localhost", tls=None, timeout_s=TIMEOUT_S):
    """One request on a connection of its own."""
    with connect(port, tls, timeout_s) as stream:
        stream.sendall(request(path, host))
        return read_response(stream)


def wait_for(port, path, host="localhost", tls=None, limit_s=30.0, every_s=0.02, alive=lambda: True):
    """Waits until a request is answered with 2xx. Returns whether it was, within the limit and while `alive`."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and alive():
        try:
            if 200 <= get(port, path, host, tls, timeout_s=5.0)[0] < 300:
                return True
        except (OSError, ValueError, IndexError):
            pass
        time.sleep(every_s)
    return False


class Held:
    """Connections that made one request each and are kept open, idle."""

    def __init__(self, count, port, path, host="localhost", tls=False):
        context = tls_context() if tls else None
        self.streams = []
        self.refused = 0
        for _ in range(count):
            try:
                stream = connect(port, context)
                self.streams.append(stream)
                stream.sendall(request(path, host))
                if read_response(stream)[0] != 200:
                    self.refused += 1
            except (OSError, ValueError, IndexError):
                self.refused += 1

    def closed(self):
        """How many the other side has closed since."""
        poll = select.poll()
        for stream in self.streams:
            poll.register(stream, select.POLLIN | select.POLLRDHUP)
        return sum(1 for _, event in poll.poll(0) if event & (select.POLLRDHUP | select.POLLHUP | select.POLLERR))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for stream in self.streams:
            stream.close()
