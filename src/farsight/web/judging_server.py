"""The judging page on a port of this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from farsight.judging.desk import Desk
from farsight.web.guard import MESSAGE_BYTES, Guard
from farsight.web.judging import judging_app
from farsight.web.listening import address_of, listen, terminating


class JudgingServer:
    """The page on a socket that listens already; made by `judging_server`."""

    def __init__(self, desk: Desk, host: str, listening: socket.socket) -> None:
        self.listening = listening
        config = uvicorn.Config(
            Guard(judging_app(desk), lambda _: False, MESSAGE_BYTES, {host}),
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=3,
            limit_concurrency=100,
        )
        self._server = uvicorn.Server(config)

    @property
    def address(self) -> str:
        """Where to open it."""
        return address_of(self.listening)

    @property
    def started(self) -> bool:
        """Whether the server answers."""
        return bool(self._server.started)

    def run(self) -> None:
        """Answer until `stop`, or the user interrupts."""
        self._server.run(sockets=[self.listening])

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._server.should_exit = True


@contextmanager
def judging_server(desk: Desk, *, host: str, port: int) -> Iterator[JudgingServer]:
    """Make the server for the length of a block.

    Parameters
    ----------
    desk
        What is judged.
    host, port
        Where it listens; port 0 is any that is free.

    Raises
    ------
    InputError
        If the port is taken, or there is no such address on this machine.
    """
    with terminating(), listen(host, port) as listening:
        yield JudgingServer(desk, host, listening)
