"""grpcio through the edge, to a gRPC server over TLS."""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from origins import SERVICE
from place import check, equal


def run(edge, echo):
    with open(edge.ca, "rb") as ca:
        credentials = grpc.ssl_channel_credentials(ca.read())
    channel = grpc.secure_channel(f"127.0.0.1:{edge.https}", credentials, options=[
        ("grpc.ssl_target_name_override", "grpc.test"), ("grpc.default_authority", "grpc.test"),
        ("grpc.max_receive_message_length", 32 << 20), ("grpc.max_send_message_length", 32 << 20)])

    def method(kind, name):
        return getattr(channel, kind)(f"/{SERVICE}/{name}")

    unary = method("unary_unary", "Unary")

    @check("gRPC: a call with metadata both ways and trailers")
    def _():
        answer, call = unary.with_call(b"Ahoy", timeout=10, metadata=(("x-asked", "this"),))
        equal(answer, b"Ahoy")
        first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
        equal((first["x-seen"], last["x-last"], last["x-last-bin"]), ("this", "word", bytes(range(256))))
        equal((first["x-ray"].split("-")[0], first["server"]), (first["cf-ray"].split("-")[0], "seawall"))

    @check("gRPC: empty messages, and messages of 3 MiB")
    def _():
        for message in (b"", b"\0" * (3 << 20)):
            assert unary(message, timeout=20) == message

    @check("gRPC: a stream of answers, each as it was sent")
    def _():
        start, times = time.monotonic(), []
        got = []
        for message in method("unary_stream", "Count")(b"5", timeout=10):
            got.append(message)
            times.append(time.monotonic() - start)
        equal(got, [b"0", b"1", b"2", b"3", b"4"])
        assert times[-1] - times[0] > 0.6, f"all at once: {times}"

    @check("gRPC: a stream of requests, and both at once in turn")
    def _():
        equal(method("stream_unary", "Join")((str(n).encode() for n in range(1000)), timeout=10), b"".join(str(n).encode() for n in range(1000)))
        said = []

        def words():
            # The next is sent only once the one before came back: nothing on the way may wait for more.
            for n in range(20):
                end = time.monotonic() + 5
                while len(said) < n and time.monotonic() < end:
                    time.sleep(0.002)
                yield f"word {n}".encode()

        for answer in method("stream_stream", "Talk")(words(), timeout=10):
            said.append(answer[::-1].decode())
        equal(said, [f"word {n}" for n in range(20)])

    @check("gRPC: an error comes with its status, its words and its metadata")
    def _():
        try:
            method("unary_unary", "Fail")(b"please", timeout=10)
            raise AssertionError("no error")
        except grpc.RpcError as error:
            equal((error.code(), error.details()), (grpc.StatusCode.FAILED_PRECONDITION, "no: please"))
            equal(dict(error.trailing_metadata())["x-why"], "asked to")
        try:
            method("unary_unary", "Missing")(b"", timeout=10)
            raise AssertionError("no error")
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    @check("gRPC: a caller that gives up is told to the server")
    def _():
        echo.hung_up.clear()
        try:
            method("unary_unary", "Hang")(b"", timeout=0.5)
            raise AssertionError("no error")
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        assert echo.hung_up.wait(3), "the server was not told"

    @check("gRPC: two hundred calls, fifty at once")
    def _():
        with ThreadPoolExecutor(50) as pool:
            messages = [f"{n}".encode() * 100 for n in range(200)]
            assert list(pool.map(lambda m: unary(m, timeout=20), messages)) == messages

    channel.close()
