"""FlexAttention, whose log-sum-exp PyTorch returns on request."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, create_mask, flex_attention

from farsight.attention.kernels.attended import Attended, repeat_heads


def flex(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockMask | None,
    *,
    scaling: float,
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    **_: Any,
) -> Attended:
    """Transformers' ``flex_attention`` with its log-sum-exp; soft-caps and position biases included."""
    block_mask = attention_mask if isinstance(attention_mask, BlockMask) else None
    bias = attention_mask[..., : key.shape[-2]] if isinstance(attention_mask, Tensor) else None

    def score_mod(score: Tensor, batch: Tensor, head: Tensor, q_index: Tensor, kv_index: Tensor) -> Tensor:
        if softcap is not None:
            score = softcap * torch.tanh(score / softcap)
        if position_bias is not None:
            score = score + position_bias[batch, head, q_index, kv_index]
        if bias is not None:
            score = score + bias[batch, 0, q_index, kv_index]
        return score

    groups = query.shape[1] // key.shape[1]
    attend = _compiled() if query.device.type != "cpu" and not torch.compiler.is_compiling() else _direct(query)
    output, aux = attend(
        query,
        repeat_heads(key, groups),
        repeat_heads(value, groups),
        score_mod=score_mod if (softcap, position_bias, bias) != (None, None, None) else None,
        block_mask=block_mask,
        scale=scaling,
        return_aux=AuxRequest(lse=True),
    )
    return Attended(output=output, lse=aux.lse)


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention)


def _direct(query: Tensor) -> Any:
    if query.device.type == "cpu":
        _warn_once()
    return flex_attention


@cache
def _warn_once() -> None:
    warnings.warn(
        "PyTorch's compiled FlexAttention gives no log-sum-exp on CPU, so its uncompiled form runs, which is slower: "
        "attn_implementation='sdpa' is the fast choice on CPU",
        stacklevel=2,
    )
    warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")


def allowed_keys(block_mask: BlockMask) -> Tensor:
    """The block mask written out, ``(batch, 1 or heads, queries, keys)``, bool."""
    batch, heads, queries, keys = block_mask.shape
    return create_mask(block_mask.mask_mod, batch, heads, queries, keys, device=block_mask.kv_indices.device)
