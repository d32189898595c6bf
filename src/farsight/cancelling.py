"""Stop a model in the middle of whatever it is doing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch import nn


class CancelledError(Exception):
    """Whoever asked does not want the answer any more, or has left."""


class Cancelled(Protocol):
    """Says whether nobody waits any more, as a ``threading.Event`` does."""

    def is_set(self) -> bool: ...


@contextmanager
def stops(model: nn.Module, cancelled: Cancelled) -> Iterator[None]:
    """Raise `CancelledError` out of the model's next forward pass once ``cancelled`` is set.

    A forward pass is in every decoding loop, search and diagnosis, and methods restore the model on every exception.
    """

    def check(*_: Any) -> None:
        if cancelled.is_set():
            raise CancelledError

    hook = model.register_forward_pre_hook(check)
    try:
        check()
        yield
    finally:
        hook.remove()
