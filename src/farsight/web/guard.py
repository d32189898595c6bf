"""What stands between the network and Gradio: no other page, no path of a visitor's choosing, nothing endless."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from farsight.errors import InputError
from farsight.files import parse_json

POLICY = "; ".join(
    (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "frame-ancestors 'self'",
        "base-uri 'self'",
        "form-action 'self'",
        "object-src 'none'",
    )
)
"""A browser that keeps to it talks to nobody but this server."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
MESSAGE_BYTES = 100_000
"""Of a request that is no upload: settings and prompts are short."""
FORM_BYTES = 10_000
"""What a form adds to the file in it."""
DRAINED_BYTES = 200_000_000
"""How much of what is refused is let come in, to no place."""
BODY_SECONDS = 60.0
"""Within which a request has to be there as a whole."""
ANOTHER_NAME = "This page is opened by its address, or by a name that it was given with --allow-name."
ANOTHER_PAGE = "Another page may not talk to this one."


class Guard:
    """ASGI middleware around the whole page.

    Parameters
    ----------
    app
        The application that is guarded.
    may_read
        Whether a request may name this path; uploads come back as paths, and so could any other.
    upload_bytes
        Most bytes of an upload.
    names
        Under which it may be opened, besides every IP address and localhost. A page of another name that points here
        (DNS rebinding) is refused.
    """

    def __init__(
        self, app: ASGIApp, may_read: Callable[[str], bool], upload_bytes: int, names: Collection[str] = ()
    ) -> None:
        self.app = app
        self.may_read = may_read
        self.upload_bytes = upload_bytes
        self.names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        headers = Headers(scope=scope)
        if (foreign := self._foreign(headers)) is not None:
            await PlainTextResponse(foreign, status_code=403)(scope, receive, send)
            return
        refused = self._refused(scope, headers)
        body: bytes | None = None
        if refused is not None:
            await _whole(receive, 0)
        elif scope["method"] == "POST" and not self._is_upload(scope):
            body = await _whole(receive, MESSAGE_BYTES)
            refused = "The request is too large." if body is None else self._refused_body(body)
        if refused is not None:
            await PlainTextResponse(refused, status_code=400)(scope, receive, send)
            return
        try:
            await self.app(scope, receive if body is None else _again(body, receive), _with_headers(send))
        except asyncio.CancelledError:  # uvicorn ends, and this page is still open somewhere
            with suppress(Exception):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _foreign(self, headers: Headers) -> str | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._is_ours(_name_in(f"//{hosts[0]}")):
            return ANOTHER_NAME
        for origin in origins:
            same = origin.partition("://")[2].lower() == hosts[0].lower()
            if not same and _name_in(origin) not in self.names - {"localhost"}:
                return ANOTHER_PAGE
        return None

    def _is_ours(self, name: str) -> bool:
        try:
            return name in self.names or bool(ip_address(name))
        except ValueError:
            return False

    def _is_upload(self, scope: Scope) -> bool:
        return bool(scope["path"].rstrip("/").endswith("/upload"))

    def _refused(self, scope: Scope, headers: Headers) -> str | None:
        path = str(scope["path"])
        if "/file=" in path or "/proxy=" in path or "/stream/" in path or path.startswith("/file/"):
            return "Files are not handed out."
        length = headers.get("content-length", "")
        if self._is_upload(scope) and (not length.isdecimal() or int(length) > self.upload_bytes + FORM_BYTES):
            return f"The file is larger than the limit of {self.upload_bytes / 1e6:g} MB."
        return None

    def _refused_body(self, body: bytes) -> str | None:
        try:
            asked = parse_json((body or b"null").decode(), "the request")
        except (InputError, UnicodeDecodeError):
            return "The request is no JSON of a sensible size."
        if all(self.may_read(path) for path in paths_in(asked)):
            return None
        return "The request names a file that was not uploaded."


def paths_in(value: Any) -> Iterator[str]:
    """All that a request could mean as files: whatever is under ``path``, at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("path"), str):
                yield one["path"]
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _name_in(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


async def _whole(receive: Receive, most: int) -> bytes | None:
    """Read a body to its end; None if it is longer than ``most``, which is then forgotten.

    A browser that is cut off while it sends does not hear why, so what is refused is read too.
    """
    body, size, more = b"", 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            while more and size < DRAINED_BYTES:
                message = await receive()
                part = bytes(message.get("body", b""))
                size += len(part)
                body = body + part if size <= most else b""
                more = message["type"] == "http.request" and message.get("more_body", False)
    return None if more or size > most else body


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand on a body that was read, then whatever comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
