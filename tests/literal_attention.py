"""Attention written out in float64, whose scores a test may change and whose weights it may read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel


@dataclass
class Literal:
    """``change(layer, scores)`` gives the scores that go into the softmax, ``reweigh(layer, weights)`` what comes out.

    ``weights`` has that, by layer.
    """

    change: Callable[[int, Tensor], Tensor] = lambda _, scores: scores
    reweigh: Callable[[int, Tensor], Tensor] = lambda _, weights: weights
    weights: dict[int, Tensor] = field(default_factory=dict)


_now: list[Literal] = []


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = _now[-1].change(module.layer_idx, torch.einsum("bhid,bhjd->bhij", query, key) * scaling)
    weights = torch.softmax(torch.where(attention_mask == 0, scores, -torch.inf), dim=-1)
    weights = _now[-1].reweigh(module.layer_idx, weights)
    _now[-1].weights[module.layer_idx] = weights
    return torch.einsum("bhij,bhjd->bihd", weights, value).contiguous(), None


@contextmanager
def literally(model: PreTrainedModel, literal: Literal) -> Iterator[None]:
    AttentionInterface.register("literal", _attention)
    AttentionMaskInterface.register("literal", AttentionMaskInterface()["eager"])
    config = model.config.get_text_config(decoder=True)
    before, config._attn_implementation_internal = config._attn_implementation, "literal"
    _now.append(literal)
    try:
        yield
    finally:
        _now.pop()
        config._attn_implementation_internal = before
