"""Who leaves is not computed for, and a server ends when it is told to."""

import json
import signal
import socket
import subprocess
import time

import pytest
from chat_server import Serve, Serving
from processes import started

from farsight.inputs.checkpoints import LoadedModel

pytest.importorskip("starlette", reason="pip install starlette")
pytest.importorskip("uvicorn", reason="pip install uvicorn")

TOKENS = 300


def idle(server: Serving) -> None:
    """Wait until the worker has nothing in hand."""
    deadline = time.monotonic() + 30
    while server.worker.busy:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_its_answer(serve: Serve, free_llava: LoadedModel, stream: bool) -> None:
    with serve(free_llava, slowly=0.02) as server:
        connection = server.sent(server.request(max_tokens=TOKENS, stream=stream))
        while len(server.forwards) < 3:
            time.sleep(0.01)
        connection.close()
        idle(server)
        assert len(server.forwards) < TOKENS // 2
        assert server.post(server.request())[0] == 200


def test_who_left_the_queue_is_not_answered(serve: Serve, free_llava: LoadedModel) -> None:
    with serve(free_llava, slowly=0.02) as server:
        first = server.sent(server.request(max_tokens=TOKENS))
        while len(server.forwards) < 3:
            time.sleep(0.01)
        waiting = [server.sent(server.request(max_tokens=TOKENS)) for _ in range(5)]
        for connection in [*waiting, first]:
            connection.close()
        assert server.post(server.request(max_tokens=1))[0] == 200
        assert len(server.forwards) < TOKENS


def test_a_worker_ends_in_the_middle_of_an_answer(serve: Serve, free_llava: LoadedModel) -> None:
    with serve(free_llava, slowly=0.02) as server:
        connection = server.sent(server.request(max_tokens=TOKENS))
        while len(server.forwards) < 3:
            time.sleep(0.01)
        assert server.worker.close(10)
        assert len(server.forwards) < TOKENS // 2
        connection.close()


def test_a_signal_ends_the_server_whatever_is_going_on() -> None:
    """A long answer, a body and a head of which half is there: none of them keeps it."""
    command = ["serve", "--port", "0", "--device", "cpu", "--method", "plain"]
    with started(*command, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(process.stdout.readline().split()[-1].removesuffix("/v1").rpartition(":")[2])
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

        def long(stream: bool) -> bytes:
            asked = {"messages": [{"role": "user", "content": "What?"}], "max_tokens": 900, "logit_bias": {"2": -100}}
            body = json.dumps(asked | {"stream": stream}).encode()
            return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body

        connections = []
        for sent in (long(stream=True), long(stream=False), head + b'Content-Length: 99\r\n\r\n{"messages"', head[:50]):
            connections.append(socket.create_connection(("127.0.0.1", port)))
            connections[-1].sendall(sent)
        assert connections[0].recv(10) == b"HTTP/1.1 2"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (-signal.SIGTERM, 128 + signal.SIGTERM)
        assert "Traceback" not in process.stderr.read()
        for connection, told in zip(connections, (True, True, True, False), strict=True):
            with connection:
                assert (b"the server is ending" in read(connection)) is told


def read(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))
