"""Gradient checkpointing runs layers again, long after their forward and perhaps on a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import ref

from torch import Tensor, nn

from farsight.attention import LanguageModel
from farsight.call import Forward, calls_of


@contextmanager
def recomputed(model: nn.Module, language_model: LanguageModel) -> Iterator[None]:
    """Find the forward of a layer that is run again: it is handed the very tensors of the first time.

    Layers get their hooks in the first forward that trains with checkpoints, so that others cost nothing.
    """
    calls, decoder = calls_of(model), language_model.module
    known: dict[int, tuple[ref[Tensor], Forward]] = {}

    def before_layer(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rotation = (kwargs.get("position_embeddings") or [None])[0]
        given = (rotation, kwargs.get("position_ids"), kwargs.get("attention_mask"))
        anchor = next((tensor for tensor in given if isinstance(tensor, Tensor)), None)
        if anchor is None or not module.training:
            return
        made, forward = known.get(id(anchor), (None, None))
        if made is not None and made() is anchor:
            calls.forward = forward
        elif calls.forward is not None:
            key = id(anchor)
            known[key] = ref(anchor, lambda _: known.pop(key, None)), calls.forward

    def before_decoder(module: nn.Module, args: tuple[Any, ...]) -> None:
        if module.training and any(getattr(part, "gradient_checkpointing", False) for part in module.modules()):
            first.remove()
            for layer in language_model.layers:
                stack.callback(layer.module.register_forward_pre_hook(before_layer, with_kwargs=True).remove)

    with ExitStack() as stack:
        first = decoder.register_forward_pre_hook(before_decoder)
        stack.callback(first.remove)
        yield
