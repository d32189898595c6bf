"""Look at the attention of a model in this thread; what is computed stays the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch

from farsight.attention.layer_call import LayerCall
from farsight.attention.layers import AttentionLayer, LanguageModel
from farsight.attention.tap import Tap, tapped


def watched(
    language_model: LanguageModel, see: Callable[[LayerCall], None], layers: Sequence[AttentionLayer] | None = None
) -> AbstractContextManager[None]:
    """Call ``see`` after every call of layers (all for None) in this thread, for the length of a ``with`` block."""
    look = _Look(see)
    return tapped(language_model, [(layer, look) for layer in (language_model.layers if layers is None else layers)])


class _Look(Tap):
    def __init__(self, see: Callable[[LayerCall], None]) -> None:
        self.shown, self.thread = see, threading.get_ident()

    def see(self, call: LayerCall) -> None:
        if threading.get_ident() == self.thread and not torch.compiler.is_compiling():
            self.shown(call)
