"""The guard in front of the page: what it lets through, and what it refuses before anything is stored."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    guarded = Guard(app, lambda path: path == "/mine", 2_000_000, {"farsight.example"})
    config = uvicorn.Config(guarded, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(60)


def answer(address: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(address + path, body, headers, method="GET" if body is None else "POST")
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
    assert answer(address, "/gradio_api/queue/join", bytes(100_001)) == (400, b"The request is too large.")


@pytest.mark.parametrize("path", ["/gradio_api/file=/etc/passwd", "/file/etc/passwd", "/gradio_api/proxy=http://x/"])
def test_files_and_other_hosts_are_not_handed_out(address: str, path: str) -> None:
    assert answer(address, path) == (400, b"Files are not handed out.")


def test_everything_else_passes(address: str) -> None:
    assert answer(address, "/") == (200, b"0")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "localhost.evil"]
)
def test_a_name_that_points_here_is_not_enough(address: str, host: str) -> None:
    status, said = answer(address, "/", Host=host)
    assert (status, b"--allow-name" in said) == (403, True)


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "192.0.2.7:7860", "FarSight.example"])
def test_addresses_and_names_that_were_given_are_let_in(address: str, host: str) -> None:
    assert answer(address, "/", Host=host)[0] == 200
    assert answer(address, "/", Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:1", "null", "http://localhost", "http://[", "file://"]
)
def test_pages_of_others_may_not_talk_to_it(address: str, origin: str) -> None:
    for path, body in (("/", None), ("/gradio_api/queue/join", b"{}"), ("/gradio_api/upload", b"x")):
        assert answer(address, path, body, Origin=origin) == (403, b"Another page may not talk to this one.")


def test_a_server_in_front_is_let_in_by_the_name_that_it_was_given(address: str) -> None:
    assert answer(address, "/", Origin="https://farsight.example")[0] == 200


@pytest.mark.parametrize("body", [b"[" * 90_000, b"[" * 50_000 + b"]" * 49_000, b"{", b"9" * 9_000, b"\xff"])
def test_a_message_that_is_no_sensible_json_is_refused(address: str, body: bytes) -> None:
    assert answer(address, "/gradio_api/queue/join", body) == (400, b"The request is no JSON of a sensible size.")


def test_a_body_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from farsight.web import guard

    async def never() -> Any:
        await asyncio.sleep(600)

    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)
    with ThreadPoolExecutor(1) as pool:  # a browser of other tests may have a loop in this thread
        assert pool.submit(asyncio.run, guard._whole(never, 100)).result() is None
