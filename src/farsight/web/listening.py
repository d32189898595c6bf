"""A port of this machine that a server is on, and an end that cleans up."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from farsight.errors import InputError, SettingError

AGAIN = 5.0
"""Seconds after which a process that was told to end, and has not, is told so again."""


@contextmanager
def terminating() -> Iterator[None]:
    """Let SIGTERM, which uvicorn raises again after its own end, leave by way of what is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    raised: list[threading.Timer] = []

    def leave(number: int, _: object) -> None:
        again = threading.Timer(AGAIN, os.kill, (os.getpid(), number))  # Python drops what is raised in a finalizer
        again.daemon = True
        again.start()
        raised.append(again)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        for timer in raised:
            timer.cancel()


def listen(host: str, port: int) -> socket.socket:
    """Listen on a port of this machine; port 0 is any that is free.

    Raises
    ------
    SettingError
        If there is no such port.
    InputError
        If it is taken, or there is no such address on this machine.
    """
    if not 0 <= port <= 65535:
        raise SettingError(f"--port {port} is no port; choose one from 1024 to 65535, or 0 for any that is free")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"--host '{host}' is no address of this machine; choose 127.0.0.1") from error
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen()  # who is told the address may call at once
    except OSError as error:
        made.close()
        if error.errno in (13, 98, 48, 10013, 10048):
            raise InputError(
                f"port {port} cannot be used ({error.strerror}); choose another with --port, or 0 for any that is free"
            ) from error
        raise InputError(f"--host '{host}' is no address of this machine; choose 127.0.0.1") from error
    return made


def address_of(listening: socket.socket) -> str:
    """Where to open what listens there."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
