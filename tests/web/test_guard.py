"""The guard in front of the page: what it lets through, and what it refuses before anything is stored."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("starlette", reason="make test-web installs it")
uvicorn: Any = pytest.importorskip("uvicorn", reason="make test-web installs it")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server that says how much of a body reached it."""
    import socket

    from farsight.web.guard import Guard

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(size).encode()})

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Guard(app, lambda path: path == "/mine", 2_000_000), log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(60)


def answer(address: str, path: str, body: Any = None) -> tuple[int, bytes]:
    request = urllib.request.Request(address + path, body, method="GET" if body is None else "POST")
    try:
        with urllib.request.urlopen(request, timeout=120) as given:
            assert "default-src 'self'" in given.headers["Content-Security-Policy"]
            return given.status, given.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


@pytest.mark.parametrize(
    "body", [bytes(2_100_000), [bytes(700_000)] * 3, [b"small"]], ids=["large", "chunks", "unsaid"]
)
def test_an_upload_that_is_too_large_or_does_not_say_is_refused_and_told_so(address: str, body: Any) -> None:
    sent = body if isinstance(body, bytes) else iter(body)
    assert answer(address, "/gradio_api/upload", sent) == (400, b"The file is larger than the limit of 2 MB.")


def test_an_upload_within_the_limit_passes_whole(address: str) -> None:
    assert answer(address, "/gradio_api/upload", bytes(1_999_999)) == (200, b"1999999")


def test_only_files_that_were_uploaded_can_be_named(address: str) -> None:
    for path, expected in (("/mine", 200), ("/etc/passwd", 400), ("http://127.0.0.1:1/", 400)):
        for value in ({"path": path}, [[{"a": {"path": path}}]], {"path": {"path": path}}):
            body = json.dumps({"data": value}).encode()
            status, said = answer(address, "/gradio_api/queue/join", body)
            assert status == expected
            assert said == (str(len(body)).encode() if expected == 200 else said)


def test_a_message_that_is_no_upload_is_short(address: str) -> None:
    assert answer(address, "/gradio_api/queue/join", bytes(1_000_001)) == (400, b"The request is too large.")


@pytest.mark.parametrize("path", ["/gradio_api/file=/etc/passwd", "/file/etc/passwd", "/gradio_api/proxy=http://x/"])
def test_files_and_other_hosts_are_not_handed_out(address: str, path: str) -> None:
    assert answer(address, path) == (400, b"Files are not handed out.")


def test_everything_else_passes(address: str) -> None:
    assert answer(address, "/") == (200, b"0")
