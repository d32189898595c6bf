"""A server that listens, and what it is asked."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from farsight.inputs.checkpoints import LoadedModel
from farsight.method import Method


@dataclass(kw_only=True)
class Serving:
    """A server that listens."""

    loaded: LoadedModel
    method: Method
    """That requests have unless they say otherwise"""
    worker: Any
    port: int
    forwards: list[float] = field(default_factory=list)
    """When the model was called"""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def post(self, body: Any, **headers: str) -> tuple[int, Any]:
        """Ask with whatever body, as JSON unless it is bytes: the status and the JSON of the answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", "/v1/chat/completions", data, **{"Content-Type": "application/json", **headers})

    def ask(self, method: str, path: str, data: bytes | None = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def request(self, **more: Any) -> dict[str, Any]:
        """A request that is right, with some of it changed."""
        messages = [{"role": "user", "content": "What?"}]
        return {"model": self.loaded.name, "messages": messages, "max_tokens": 2, **more}

    def sent(self, body: dict[str, Any]) -> socket.socket:
        """A connection on which a request was sent and nothing read."""
        data = json.dumps(body).encode()
        connection = socket.create_connection(("127.0.0.1", self.port))
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
        connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
        return connection


Serve = Callable[..., AbstractContextManager[Serving]]


def picture_part(picture: Image.Image | bytes | Path) -> dict[str, Any]:
    """A picture as the API takes it."""
    if isinstance(picture, Image.Image):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        picture = buffer.getvalue()
    data = picture.read_bytes() if isinstance(picture, Path) else picture
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(data).decode()}}
