"""Proof that the handshakes measured are full ones: a TLS server of our own counts what h2load resumes."""

import socket
import ssl
import threading

from . import http, load

CONNECTIONS = 40
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Counting:
    """A TLS server on loopback that answers each connection once and counts sessions it resumed."""

    def __init__(self, folder):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return  # closed: the end
            try:
                stream.settimeout(5.0)
                with self.context.wrap_socket(stream, server_side=True) as tls:
                    tls.recv(4096)
                    tls.sendall(RESPONSE)
                    tls.unwrap()
            except OSError:
                pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(timeout=6)


def _resume_once(port):
    """Connects twice, the second time with the first one's session: the count must rise, or it proves nothing."""
    context, session = http.tls_context(), None
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", port), 5) as stream:
            with context.wrap_socket(stream, server_hostname="localhost", session=session) as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while tls.recv(4096):
                    pass
                session = tls.session


def check(folder):
    """(connections h2load made, sessions it resumed, whether the counting was seen to work)."""
    with Counting(folder) as server:
        load.h2load(server.port, "/", CONNECTIONS, CONNECTIONS, h1=True, limit_s=30)
        stats = server.context.session_stats()
        _resume_once(server.port)
        works = server.context.session_stats()["hits"] > stats["hits"]
    return stats["accept_good"], stats["hits"], works
