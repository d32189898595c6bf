"""The way the released code decodes, written anew from its description, to compare speed with.

Every step computes the whole sequence again, without a cache, with the upper triangle of every attention matrix
materialised: rate ``sigma * (1 - 0.25 * i / (L - 1))`` for row ``i`` of the current length ``L`` (the average of a
plain decay and one scaled by ``1 - 0.5 * i / (L - 1)``), plus ALiBi's slopes; softmax over all; erase.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from farsight.registers import PAPER_SIGMA, alibi_slopes

_NAME = "released_farsight"


def _upper_triangle(length: int, heads: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    rows = torch.arange(length, device=device, dtype=dtype)
    ahead = rows[None, :] - rows[:, None]
    rate = PAPER_SIGMA * (1 - 0.25 * rows[:, None] / max(length - 1, 1))
    slopes = alibi_slopes(heads).to(device, dtype)[:, None, None]
    return -ahead * (rate + slopes)


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(2, 3) * scaling
    allowed = attention_mask == 0
    registers = _upper_triangle(scores.shape[-1], scores.shape[1], query.device, query.dtype)
    weights = torch.softmax(torch.where(allowed, scores, registers), dim=-1, dtype=torch.float32) * allowed
    return (weights.to(value.dtype) @ value).transpose(1, 2).contiguous(), None


def released_step(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Logits of the next token after ``ids`` ``(1, length)``, the whole sequence computed again."""
    if _NAME not in AttentionInterface():
        AttentionInterface.register(_NAME, _attention)
        AttentionMaskInterface.register(_NAME, AttentionMaskInterface()["eager"])
    before, model.config._attn_implementation_internal = model.config._attn_implementation, _NAME
    try:
        logits: Tensor = model(ids, use_cache=False, logits_to_keep=1).logits
        return logits[:, -1]
    finally:
        model.config._attn_implementation_internal = before
