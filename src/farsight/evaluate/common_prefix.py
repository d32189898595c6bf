"""Prompts that begin alike are read once: their common beginning comes out of a cache, with room for what follows.

This is exact where a method leaves the rows of the prompt as they are: their keys and values are those of plain
decoding, whatever follows them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from farsight.attention.cache import CACHE
from farsight.method import Method, parts

LEAST = 32
"""Tokens that are worth it."""
_ROOM = 64


class RoomyLayer(DynamicLayer):
    """Keys and values in tensors that have room for more, so that a new token is written and nothing is copied."""

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


def leaves_prompts(method: Method) -> bool:
    """Whether all rows of a prompt but the last are those of plain decoding, and nothing is searched."""
    return all(
        part.changes == "nothing" or (part.changes == "gate" and getattr(part, "rows", "all") == "generated")
        for part in parts(method)
    )


def with_prefix(model: Any, inputs: dict[str, Tensor]) -> dict[str, Any]:
    """Add a cache that has read what all prompts of a batch begin with; padding moves behind it.

    Parameters
    ----------
    model
        Without a method.
    inputs
        ``input_ids`` and ``attention_mask``, ``(batch, slots)``, padded on the left.

    Returns
    -------
    Inputs of ``generate`` that mean the same; unchanged if less than `LEAST` tokens are common.
    """
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    rows = [row[real.bool()] for row, real in zip(ids, mask, strict=True)]
    shortest = min(map(len, rows))
    same = torch.stack([row[:shortest] for row in rows]).eq(rows[0][:shortest]).all(0)
    common = min(int(same.long().cumprod(0).sum()), shortest - 1)
    cache = DynamicCache(config=model.config)
    if common < LEAST or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return dict(inputs)
    cache.layers = [RoomyLayer() for _ in cache.layers]
    prefix = rows[0][None, :common]
    model(input_ids=prefix, use_cache=True, logits_to_keep=1, **{CACHE: cache})
    cache.batch_repeat_interleave(len(rows))
    for number, row in enumerate(rows):
        padding = ids.shape[1] - len(row)
        ids[number] = torch.cat([row[:common], ids[number, :padding], row[common:]])
        mask[number, :common], mask[number, common : common + padding] = 1, 0
    return {**inputs, CACHE: cache}
