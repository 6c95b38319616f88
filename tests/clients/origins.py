"""Origins behind the edge that the demo site is not: a gRPC server over TLS, and one that answers byte for byte."""

import socketserver
import threading
import time
from concurrent import futures

import grpc

SERVICE = "seawall.test.Echo"


class _Echo(grpc.GenericRpcHandler):
    """Messages are plain bytes, so no generated code is needed."""

    def service(self, call):
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Join": grpc.stream_unary_rpc_method_handler(lambda messages, _: b"".join(messages)),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
        }
        return handlers.get(call.method.removeprefix(f"/{SERVICE}/"))

    hung_up = threading.Event()

    @staticmethod
    def unary(message, context):
        sent = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-seen", sent.get("x-asked", "nothing")), ("x-ray", sent.get("cf-ray", ""))))
        context.set_trailing_metadata((("x-last", "word"), ("x-last-bin", bytes(range(256)))))
        return message

    @staticmethod
    def count(message, _):
        for number in range(int(message)):
            yield str(number).encode()
            time.sleep(0.2)

    @staticmethod
    def talk(messages, _):
        for message in messages:
            yield message[::-1]

    @staticmethod
    def fail(message, context):
        context.set_trailing_metadata((("x-why", "asked to"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: " + message.decode())

    def hang(self, _, context):
        context.add_callback(self.hung_up.set)
        self.hung_up.wait(10)
        return b""


def start_grpc(cert: str, key: str) -> tuple[grpc.Server, int, _Echo]:
    server = grpc.server(futures.ThreadPoolExecutor(64))
    echo = _Echo()
    server.add_generic_rpc_handlers((echo,))
    with open(key, "rb") as k, open(cert, "rb") as c:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(k.read(), c.read())]))
    server.start()
    return server, port, echo


#: What each path answers, byte for byte; then the connection is closed unless the head says otherwise.
ANSWERS = {
    "/trailers": b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n"
                 b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n",
    "/until-close": b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    "/early": b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: text/plain\r\n\r\nonly this",
    "/case": b"HTTP/1.1 200 Fine\r\nX-MiXed-CaSe: Yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
}


class _Plain(socketserver.StreamRequestHandler):
    def handle(self):
        path = self.rfile.readline().split(b" ")[1].decode()
        while self.rfile.readline().strip():
            pass
        self.wfile.write(ANSWERS.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))


def start_plain() -> int:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Plain)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
