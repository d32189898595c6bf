"""A cache with room for what follows: a new token is written into it, and nothing is copied.

`DynamicCache` copies all keys and values at every step, which takes half the time of a small model on a CPU. What is
read from this one is the same, bit by bit.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_ROOM = 64
"""Tokens, and a quarter of what is there."""


class RoomyLayer(DynamicLayer):
    """Keys and values at the beginning of tensors that have room for more."""

    keys: Tensor
    values: Tensor
    _held: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add keys and values ``(batch, heads, new, head_dim)``; give all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        if self._held is None or self._held[0].shape[-2] < after or self.keys.data_ptr() != self._held[0].data_ptr():
            self._held = _roomy(self.keys, key_states, after), _roomy(self.values, value_states, after)
        for held, new in zip(self._held, (key_states, value_states), strict=True):
            held[:, :, before:after] = new
        self.keys, self.values = (held[:, :, :after] for held in self._held)
        return self.keys, self.values


def _roomy(old: Tensor, new: Tensor, slots: int) -> Tensor:
    batch, heads, _, size = new.shape
    held = new.new_empty(batch, heads, slots + _ROOM + slots // 4, size)
    if old.numel():
        held[:, :, : old.shape[-2]] = old
    return held


def roomy_cache(model: nn.Module) -> DynamicCache | None:
    """Make one for a model; None where its layers keep anything else than all keys and values."""
    config: Any = model.config
    if config.is_encoder_decoder:
        return None
    cache = DynamicCache(config=config)
    if not cache.layers or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    cache.layers = [RoomyLayer() for _ in cache.layers]
    return cache
