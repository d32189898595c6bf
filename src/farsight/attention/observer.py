"""Look at the gates while a model runs: for figures and pictures, not for decoding."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Observer = Callable[[nn.Module, Tensor], None]
"""Gets an attention layer and the gate of its rows, ``(batch, heads, queries)``."""

_watching = threading.local()


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Call ``observer`` for each layer that carries registers, in this thread, for the length of a ``with`` block."""
    before = getattr(_watching, "observer", None)
    _watching.observer = observer
    try:
        yield
    finally:
        _watching.observer = before


def show(module: nn.Module, gate: Tensor) -> None:
    """Show a gate to whoever looks. A compiled forward is not observed."""
    if torch.compiler.is_compiling():
        return
    if (observer := getattr(_watching, "observer", None)) is not None:
        observer(module, gate)
