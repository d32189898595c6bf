"""FlexAttention, whose log-sum-exp PyTorch returns on request."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, flex_attention

from farsight.attention.layer_call import Attended, LayerCall, repeat_heads


def flex(call: LayerCall) -> Attended:
    """Transformers' ``flex_attention`` with its log-sum-exp; soft-caps and position biases included."""
    query, key, value = call.states
    block_mask = call.mask if isinstance(call.mask, BlockMask) else None
    bias = call.mask[..., : key.shape[2]] if isinstance(call.mask, Tensor) else None
    softcap, position_bias = call.softcap, call.position_bias

    def score_mod(score: Tensor, batch: Tensor, head: Tensor, q_index: Tensor, kv_index: Tensor) -> Tensor:
        if softcap is not None:
            score = softcap * torch.tanh(score / softcap)
        if position_bias is not None:
            score = score + position_bias[batch, head, q_index, kv_index]
        if bias is not None:
            score = score + bias[batch, 0, q_index, kv_index]
        return score

    attend = _compiled() if query.device.type != "cpu" and not torch.compiler.is_compiling() else _direct(query)
    output, aux = attend(
        query,
        repeat_heads(key, query.shape[1]),
        repeat_heads(value, query.shape[1]),
        score_mod=score_mod if (softcap, position_bias, bias) != (None, None, None) else None,
        block_mask=block_mask,
        scale=call.scaling,
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
