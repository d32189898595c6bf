"""A server of OpenAI's chat API that answers, fails and breaks off as a test tells it to, over real connections."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaves = Callable[[dict[str, Any], int], Any]
"""Given a request and how often the same prompt came before: an answer's text, or what `answer`, `status`, ... give."""


@dataclass(kw_only=True)
class Raw:
    """What is sent as it is, after so many seconds; an empty body of a negative status tears the connection."""

    body: bytes = b""
    status: int = 200
    seconds: float = 0.0


TORN = Raw(status=-1)


def status(code: int, message: str = "no") -> Raw:
    return Raw(status=code, body=json.dumps({"error": {"message": message, "type": "x"}}).encode())


def answer(
    text: Any = "yes", *, finish_reason: str = "stop", tokens: Any = 2, prompt: int = 10, seconds: float = 0.0
) -> Raw:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": 0}
    made = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return Raw(body=json.dumps(made).encode(), seconds=seconds)


def prompt_of(asked: dict[str, Any]) -> str:
    """The text of a request."""
    content = asked["messages"][0]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


@dataclass(kw_only=True)
class Troubled:
    """A server that listens."""

    port: int
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the requests for answers"""
    keys: set[str] = field(default_factory=set)
    """What requests had as authorization"""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def troubled(behaves: Behaves, *, models: Any = None) -> Iterator[Troubled]:
    """Serve a model 'm', whose answers ``behaves`` gives."""
    listed = models if models is not None else {"data": [{"id": "m", "object": "model", "owned_by": "somebody"}]}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.keys.add(self.headers.get("Authorization", ""))
            self._send(listed if isinstance(listed, Raw) else Raw(body=json.dumps(listed).encode()))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                before = sum(prompt_of(one) == prompt_of(body) for one in server.asked)
                server.asked.append(body)
                server.keys.add(self.headers.get("Authorization", ""))
            does = behaves(body, before)
            self._send(answer(does) if isinstance(does, str) else does)

        def _send(self, raw: Raw) -> None:
            time.sleep(raw.seconds)
            if raw.status < 0:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            try:
                self.send_response(raw.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw.body)))
                self.end_headers()
                self.wfile.write(raw.body)
            except OSError:
                self.close_connection = True

        def finish(self) -> None:
            with suppress(OSError, ValueError):
                super().finish()

        def log_message(self, *_: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server = Troubled(port=listener.server_address[1])
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(10)
