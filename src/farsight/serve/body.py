"""The body of a request, read within bounds of bytes and time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from farsight.serve.answers import ApiError
from farsight.serve.limits import Limits


class ClientLeftError(Exception):
    """Nobody waits for an answer."""


class Bodies:
    """Reads bodies, so many bytes at once as the limits say."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._requests = self._held = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Let one more request in for the length of a block.

        Raises
        ------
        ApiError
            If there are too many already.
        """
        if self._requests >= self.limits.requests:
            raise ApiError(429, f"{self._requests} requests wait already: ask again later")
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """Read the JSON body of a request to its end.

        A page in a browser cannot send JSON to a host that it is not from and that does not allow it, as this one.

        Raises
        ------
        ApiError
            If it is not said to be JSON, too long, or too slow.
        ClientLeftError
            If it is cut off.
        """
        headers = Headers(scope=scope)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "send the request as Content-Type: application/json")
        length = headers.get("content-length", "0")
        if length.isdecimal() and len(length) < 20 and int(length) > self.limits.body_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                return await self._read(receive)
        except TimeoutError as error:
            raise ApiError(408, f"the request took more than {self.limits.body_seconds:g} s to arrive") from error

    async def _read(self, receive: Receive) -> bytes:
        body, more = bytearray(), True
        try:
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientLeftError
                part = message.get("body", b"")
                body += part
                self._held += len(part)
                if len(body) > self.limits.body_bytes:
                    raise self._too_large()
                if self._held > self.limits.held_bytes:
                    raise ApiError(429, "other requests are large as well: ask again later")
                more = message.get("more_body", False)
            return bytes(body)
        finally:
            self._held -= len(body)

    def _too_large(self) -> ApiError:
        return ApiError(413, f"the request has more than {self.limits.body_bytes / 2**20:g} MiB: send smaller pictures")
