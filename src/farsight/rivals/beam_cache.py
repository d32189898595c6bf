"""The KV cache of the beams of one prompt: try a token and take it back, keep one, go back to the prompt."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from farsight.errors import UnsupportedModelError

_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)

NewStates = list[tuple[Tensor, Tensor] | None]
"""Of each layer, the keys and values of the newest token, ``(beams, heads, 1, head_dim)``; None: it caches nothing."""


@dataclass(kw_only=True, eq=False)
class BeamCache:
    """Layers of a `DynamicCache`, whose updates make new tensors: a shallow copy of a layer is a snapshot of it."""

    cache: DynamicCache
    prompt: list[Any]
    """The layers after the prompt, of one beam"""
    beams: int

    def back_to_prompt(self) -> None:
        """Give every beam the prompt and nothing else."""
        self.cache.layers = [copy.copy(layer) for layer in self.prompt]
        self.cache.batch_repeat_interleave(self.beams)

    def snapshot(self) -> list[Any]:
        """Keep the layers as they are now."""
        return list(self.cache.layers)

    def restore(self, layers: list[Any]) -> None:
        """Go back to a snapshot, which stays good."""
        self.cache.layers = [copy.copy(layer) for layer in layers]

    def newest(self) -> NewStates:
        """Copy what the layers hold of their newest token."""
        return [
            (layer.keys[..., -1:, :].clone(), layer.values[..., -1:, :].clone()) if layer.is_initialized else None
            for layer in self.cache.layers
        ]

    def keep(self, layers: list[Any], tried: list[NewStates], parents: Tensor, choices: Tensor) -> None:
        """Go on from a snapshot: beam ``b`` continues beam ``parents[b]`` with its try number ``choices[b]``."""
        self.restore(layers)
        self.cache.reorder_cache(parents)
        for number, layer in enumerate(self.cache.layers):
            states = [states[number] for states in tried]
            found = [state for state in states if state is not None]
            if found:
                where = parents.to(found[0][0].device)
                which = choices.to(where.device)
                layer.update(*(torch.stack(part)[which, where] for part in zip(*found, strict=True)))


def prompt_layers(cache: Any, beams: int) -> list[list[Any]]:
    """Give the layers of the cache after the prompts, of one beam for each prompt.

    Raises
    ------
    UnsupportedModelError
        If tokens cannot be taken back from this cache.
    """
    if type(cache) is not DynamicCache or getattr(cache, "offloading", False):
        raise UnsupportedModelError(
            f"a search that goes back needs the default cache, not {_kind(cache)}: leave out use_cache, "
            "cache_implementation and past_key_values"
        )
    for layer in cache.layers:
        if type(layer) not in _LAYERS:
            raise UnsupportedModelError(f"a search that goes back cannot take tokens back from {type(layer).__name__}")
    batch = next(len(layer.keys) for layer in cache.layers if layer.is_initialized)
    return [[_of_row(layer, row) for layer in cache.layers] for row in range(0, batch, beams)]


def _of_row(layer: Any, row: int) -> Any:
    own = copy.copy(layer)
    if own.is_initialized:
        own.keys, own.values = own.keys[row : row + 1].clone(), own.values[row : row + 1].clone()
    return own


def _kind(cache: object) -> str:
    return "none" if cache is None else "an offloaded one" if type(cache) is DynamicCache else type(cache).__name__
