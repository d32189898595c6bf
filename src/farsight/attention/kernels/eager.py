"""The reference: attention written out, with its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from farsight.attention.kernels.attended import Attended, repeat_heads


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    edit: Callable[[Tensor], Tensor] | None = None,
    **_: Any,
) -> Attended:
    """Attention with materialised scores; the only kernel that returns the attention weights.

    Shapes: ``query`` ``(batch, heads, queries, head_dim)``, ``key`` and ``value``
    ``(batch, kv_heads, keys, head_dim)``, ``attention_mask`` additive ``(batch, 1, queries, keys)``. ``edit`` changes
    the scores ``(batch, heads, queries, keys)`` before the mask is added.
    """
    groups = query.shape[1] // key.shape[1]
    scores = torch.matmul(query, repeat_heads(key, groups).transpose(2, 3)) * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if position_bias is not None:
        scores = scores + position_bias
    if edit is not None:
        scores = edit(scores)
    if attention_mask is not None:
        scores = scores + attention_mask[..., : key.shape[-2]]
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    weights = torch.softmax(scores, dim=-1).to(query.dtype)
    output = torch.matmul(weights, repeat_heads(value, groups))
    return Attended(output=output, lse=torch.logsumexp(scores, dim=-1), weights=weights)
