"""PyTorch's scaled dot-product attention, with the log-sum-exp that its public function throws away.

``torch.nn.functional.scaled_dot_product_attention`` computes the log-sum-exp in every fused kernel and returns only
the output. The kernels themselves are ATen operators without a stability promise, so each is compared with the
written-out reference on first use; one that is missing or answers differently is replaced by the reference.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend

from farsight.attention.layer_call import Attended, LayerCall, repeat_heads
from farsight.errors import UnsupportedModelError

try:
    from transformers.integrations.sdpa_attention import pack_gqa
except ImportError:  # older Transformers repeat the heads of a single query instead
    pack_gqa = None

_aten = torch.ops.aten
_cpu_flash: Any = getattr(getattr(_aten, "_scaled_dot_product_flash_attention_for_cpu", None), "default", None)


def sdpa_attention(call: LayerCall) -> Attended:
    """The same kernel, on the same shapes, as Transformers' ``sdpa``, and its log-sum-exp.

    Written out where a gradient is asked for: the gate has one too.
    """
    if call.softcap is not None:
        raise UnsupportedModelError("sdpa takes no soft-cap: load the model with attn_implementation='eager'")
    query, key, value = call.states
    mask, places, (heads, queries) = call.mask, call.position_bias, query.shape[1:3]
    if (groups := heads // key.shape[1]) > 1 and (mask is not None or places is not None):
        if queries == 1 and places is None and pack_gqa is not None and _packs_now(query):
            query, mask = pack_gqa(query, groups), pack_gqa(mask, groups)
        else:
            key, value = repeat_heads(key, heads), repeat_heads(value, heads)
    causal = queries > 1 and mask is None and call.is_causal
    if causal and key.shape[2] > queries:
        key, value = key[:, :, :queries], value[:, :, :queries]
    bias = _additive(mask, query)
    if places is not None:
        bias, causal = _with_places(bias, places[..., : key.shape[2]], causal), False
    attend = _written_out if call.needs_gradient else _fused
    output, lse = attend(query, key, value, bias, causal, call.scaling)
    if output.shape[1] != heads:  # queries of one head group were packed as rows
        output = output.reshape(output.shape[0], heads, queries, value.shape[-1])
        lse = lse.reshape(lse.shape[0], heads, queries)
    return Attended(output, lse)


def _packs_now(query: Tensor) -> bool:
    return not torch.compiler.is_compiling() and query.device.type in ("cpu", "cuda")


def _additive(attention_mask: Tensor | None, query: Tensor) -> Tensor | None:
    """The fused operators want the mask as scores in the dtype of the query."""
    if attention_mask is None or attention_mask.dtype != torch.bool:
        return attention_mask
    scores = torch.zeros_like(attention_mask, dtype=query.dtype)
    return scores.masked_fill_(~attention_mask, float("-inf"))


def _with_places(bias: Tensor | None, position_bias: Tensor, causal: bool) -> Tensor:
    """One additive mask, ``(batch, heads, queries, keys)``, of a mask's and what places add to the scores (T5)."""
    if causal:
        future = torch.ones(position_bias.shape[-2:], dtype=torch.bool, device=position_bias.device).triu(1)
        return position_bias.masked_fill(future, float("-inf"))
    return position_bias.contiguous() if bias is None else (bias + position_bias).to(bias.dtype)


def _fused(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Output ``(batch, heads, queries, head_dim)`` and log-sum-exp, by a fused operator that does as it should."""
    operator, grouped = _operator(query, key, value, bias, causal, scale), query.shape[1] != key.shape[1]
    if operator is not _written_out and not _verified(operator, query.device.type, grouped):
        if grouped:
            key, value = repeat_heads(key, query.shape[1]), repeat_heads(value, query.shape[1])
            return _fused(query, key, value, bias, causal, scale)
        operator = _written_out
    return operator(query, key, value, bias, causal, scale)


def _operator(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, causal: bool, scale: float
) -> Callable[..., tuple[Tensor, Tensor]]:
    """The one that PyTorch itself would pick, so that plain decoding and this differ in nothing but the gate."""
    if query.shape[-1] != value.shape[-1]:  # no fused kernel takes these, PyTorch's own function neither
        return _written_out
    if query.is_cpu:
        return _cpu if torch._C._get_flash_sdp_enabled() else _written_out
    if not query.is_cuda:
        _warn_once(query.device.type)
        return _written_out
    if torch.compiler.is_compiling():
        return _efficient
    grouped = query.shape[1] != key.shape[1]
    choice = torch._fused_sdp_choice(query, key, value, bias, 0.0, causal, scale=scale, enable_gqa=grouped)
    return _ON_CUDA.get(SDPBackend(choice), _written_out)


def _cpu(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    output, lse = _cpu_flash(query, key, value, 0.0, causal, attn_mask=bias, scale=scale)
    return output, lse


def _flash(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """FlashAttention, which takes no bias and heads of multiples of eight."""
    dim = query.shape[-1]
    padded = (nn.functional.pad(x, (0, -dim % 8)) for x in (query, key, value))
    output, lse, *_ = _aten._scaled_dot_product_flash_attention(*padded, 0.0, causal, False, scale=scale)
    return output[..., :dim], lse[..., : query.shape[2]]


def _efficient(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    key, value = repeat_heads(key, query.shape[1]), repeat_heads(value, query.shape[1])
    bias = _aligned(bias, query, key)
    output, lse, *_ = _aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, True, 0.0, causal, scale=scale
    )
    return output, lse.reshape(*query.shape[:2], -1)[..., : query.shape[2]]


def _cudnn(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    key, value = repeat_heads(key, query.shape[1]), repeat_heads(value, query.shape[1])
    bias = _aligned(bias, query, key)
    output, lse, *_ = _aten._scaled_dot_product_cudnn_attention(
        query, key, value, bias, True, 0.0, causal, False, scale=scale
    )
    return output, lse.reshape(*query.shape[:2], -1)[..., : query.shape[2]]


_ON_CUDA = {
    SDPBackend.FLASH_ATTENTION: _flash,
    SDPBackend.EFFICIENT_ATTENTION: _efficient,
    SDPBackend.CUDNN_ATTENTION: _cudnn,
}


def _aligned(bias: Tensor | None, query: Tensor, key: Tensor) -> Tensor | None:
    """CUDA kernels want a full-size bias whose rows start at multiples of eight elements."""
    if bias is None:
        return None
    keys = key.shape[2]
    rows = nn.functional.pad(bias, (0, -keys % 8))[..., :keys]
    return rows.expand(query.shape[0], query.shape[1], query.shape[2], keys)


def _written_out(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    key, value = repeat_heads(key, query.shape[1]), repeat_heads(value, query.shape[1])
    accurate = torch.promote_types(query.dtype, torch.float32)
    scores = query.to(accurate) @ key.to(accurate).transpose(2, 3) * scale
    if bias is not None:
        scores = scores + bias
    if causal:
        rows = torch.arange(scores.shape[-2], device=scores.device)
        scores = scores.masked_fill(rows[:, None] < rows, float("-inf"))
    # a row that may read nothing gives nothing, and its gradient is 0 and not NaN
    empty = scores.isneginf().all(-1, keepdim=True)
    scores = scores.masked_fill(empty, 0.0)
    weights = torch.softmax(scores, dim=-1).masked_fill(empty, 0.0)
    lse = torch.logsumexp(scores, dim=-1).masked_fill(empty.squeeze(-1), float("-inf"))
    return (weights @ value.to(accurate)).to(query.dtype), lse


_verdicts: dict[str, bool] = {}


def _verified(operator: Callable[..., tuple[Tensor, Tensor]], device: str, grouped: bool) -> bool:
    """The kept answer of `_agrees`: it costs two 8 x 8 attentions, and cannot be asked inside a compiled region."""
    question = operator.__name__ + device + ("" if grouped else "alike")  # a compiled region guards on strings only
    verdict = _verdicts.get(question)
    if verdict is None:
        if torch.compiler.is_compiling():
            return False
        verdict = _verdicts[question] = _agrees(operator, device, grouped)
    return verdict


def _agrees(operator: Callable[..., tuple[Tensor, Tensor]], device: str, grouped: bool) -> bool:
    """Whether this PyTorch's fused operator gives the output and log-sum-exp that its definition says."""
    dtype, tolerance = (torch.float32, 1e-5) if device == "cpu" else (torch.float16, 5e-3)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(2, heads, 8, 16, generator=generator).to(device, dtype)
        for heads in (4, *((2, 2) if grouped else (4, 4)))
    )
    bias = None
    if operator is not _flash:
        bias = torch.randn(2, 1, 8, 8, generator=generator).to(device, dtype)
    try:
        with torch.no_grad():
            pairs = [
                pair
                for how in ((None, True, 0.25), (bias, False, 0.25))
                for pair in zip(operator(query, key, value, *how), _written_out(query, key, value, *how), strict=True)
            ]
        if all(torch.allclose(a.float(), b.float(), atol=tolerance, rtol=tolerance) for a, b in pairs):
            return True
        problem = "answers differently from its definition"
    except Exception as error:
        problem = f"cannot be called ({type(error).__name__})"
    if not grouped:
        warnings.warn(
            f"PyTorch {torch.__version__} on {device}: the {operator.__name__[1:]} operator {problem}, so attention is "
            "written out, which is slower. attn_implementation='flex_attention' may be faster here.",
            stacklevel=2,
        )
    return False


@cache
def _warn_once(device: str) -> None:
    warnings.warn(f"PyTorch gives no log-sum-exp of a fused attention on {device}: it is written out", stacklevel=2)


def verify(device: str) -> None:
    """Ask about every operator that a compiled region may need on this device."""
    for operator in [found for kind, found in (("cpu", _cpu), ("cuda", _efficient)) if kind == device]:
        for grouped in (False, True):
            _verified(operator, device, grouped)


verify("cpu")
