"""What every attention kernel here takes and gives."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn


class Attended(NamedTuple):
    """Plain attention and the log of its softmax denominator, before the gate."""

    output: Tensor
    """``(batch, heads, queries, head_dim)``"""
    lse: Tensor
    """``(batch, heads, queries)``, fp32 or fp64"""
    weights: Tensor | None = None
    """``(batch, heads, queries, keys)``, from the reference only"""


class Kernel(Protocol):
    """An attention implementation of Transformers that also gives its log-sum-exp."""

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *,
        scaling: float,
        is_causal: bool = True,
        softcap: float | None = None,
        sliding_window: int | None = None,
        position_bias: Tensor | None = None,
    ) -> Attended: ...


def needs_gradient(*states: Tensor) -> bool:
    """Whether a gradient is asked for. Fused kernels give one of their output and none of their log-sum-exp."""
    return torch.is_grad_enabled() and any(state.requires_grad for state in states)


def repeat_heads(states: Tensor, groups: int) -> Tensor:
    """Repeat key or value heads for grouped queries: ``(batch, kv_heads, ..)`` to ``(batch, heads, ..)``."""
    if groups == 1:
        return states
    batch, heads, length, dim = states.shape
    return states[:, :, None].expand(batch, heads, groups, length, dim).reshape(batch, heads * groups, length, dim)
