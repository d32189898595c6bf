"""The KV cache of the beams of one prompt: try a token and take it back, keep one, go back to the prompt."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from farsight.attention.cache import CACHE
from farsight.errors import UnsupportedModelError

_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)

NewStates = list[tuple[Tensor, Tensor] | None]
"""Of each layer, keys and values of the newest token, ``(beams, tries, heads, 1, head_dim)``; None: caches nothing."""


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

    def widen(self, tries: int) -> None:
        """Repeat each beam in place for so many tries of it, of one new token each; `restore` takes that back."""
        for number, layer in enumerate(self.cache.layers):
            if type(layer) is DynamicLayer:
                self.cache.layers[number] = _Tried(layer)
            else:
                layer.batch_repeat_interleave(tries)

    def newest(self) -> NewStates:
        """Copy what the layers hold of their newest token."""

        def last(states: Tensor) -> Tensor:
            newest: Tensor = states[..., -1:, :].unflatten(0, (self.beams, -1))
            return newest.clone()

        return [(last(layer.keys), last(layer.values)) if layer.is_initialized else None for layer in self.cache.layers]

    def keep(self, layers: list[Any], tried: NewStates, parents: Tensor, choices: Tensor) -> None:
        """Go on from a snapshot: beam ``b`` continues beam ``parents[b]`` with its try number ``choices[b]``."""
        self.restore(layers)
        self.cache.reorder_cache(parents)
        for layer, states in zip(self.cache.layers, tried, strict=True):
            if states is not None:
                where = parents.to(states[0].device)
                which = choices.to(where.device)
                layer.update(*(part[where, which] for part in states))


class _Tried(DynamicLayer):
    """A layer whose beams are repeated where the new states are put behind them: one copy instead of two."""

    def __init__(self, layer: DynamicLayer) -> None:
        super().__init__()
        self.__dict__.update(layer.__dict__)
        self.keys: Tensor
        self.values: Tensor

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        self.keys, self.values = _behind(self.keys, key_states), _behind(self.values, value_states)
        return self.keys, self.values


def _behind(old: Tensor, new: Tensor) -> Tensor:
    """Put new states of the tries ``(beams * tries, heads, 1, head_dim)`` behind the old ones of their beams."""
    beams, heads, slots, size = old.shape
    whole = new.new_empty((len(new), heads, slots + new.shape[2], size))
    whole.unflatten(0, (beams, -1))[..., :slots, :] = old.unsqueeze(1)
    whole[..., slots:, :] = new
    return whole


def joined(parts: list[NewStates]) -> NewStates:
    """Join the states of several tries of the same beams."""
    whole: NewStates = []
    for layer in zip(*parts, strict=True):
        states = [part for part in layer if part is not None]
        whole.append(
            (torch.cat([k for k, _ in states], dim=1), torch.cat([v for _, v in states], dim=1)) if states else None
        )
    return whole


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
            f"cache_implementation and {CACHE}"
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
