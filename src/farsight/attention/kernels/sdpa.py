"""PyTorch's scaled dot-product attention, with the log-sum-exp that its public function throws away.

``torch.nn.functional.scaled_dot_product_attention`` computes the log-sum-exp in every fused kernel and returns only
the output. The kernels themselves are ATen operators without a stability promise, so each is compared with the
written-out reference on first use; one that is missing or answers differently is replaced by the reference.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend

from farsight.attention.kernels.attended import Attended, needs_gradient, repeat_heads
from farsight.errors import UnsupportedModelError

try:
    from transformers.integrations.sdpa_attention import pack_gqa
except ImportError:  # older Transformers repeat the heads of a single query instead
    pack_gqa = None

_aten = torch.ops.aten
_cpu_flash: Any = getattr(getattr(_aten, "_scaled_dot_product_flash_attention_for_cpu", None), "default", None)
_FUSED = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION)


def sdpa_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    is_causal: bool = True,
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    **_: Any,
) -> Attended:
    """The same kernel, on the same shapes, as Transformers' ``sdpa``, and its log-sum-exp.

    Written out where a gradient is asked for: the gate has one too.
    """
    if softcap is not None:
        raise UnsupportedModelError("sdpa takes no soft-cap: load the model with attn_implementation='eager'")
    heads, queries = query.shape[1:3]
    groups = heads // key.shape[1]
    if groups > 1 and (attention_mask is not None or position_bias is not None):
        if queries == 1 and position_bias is None and pack_gqa is not None and _packs_now(query):
            query, attention_mask = pack_gqa(query, groups), pack_gqa(attention_mask, groups)
        else:
            key, value = repeat_heads(key, groups), repeat_heads(value, groups)
    causal = queries > 1 and attention_mask is None and is_causal
    if causal and key.shape[2] > queries:
        key, value = key[:, :, :queries], value[:, :, :queries]
    bias = _additive(attention_mask, query)
    if position_bias is not None:
        bias, causal = _with_places(bias, position_bias[..., : key.shape[2]], causal), False
    output, lse = _fused(query, key, value, bias, causal, scaling)
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
    if needs_gradient(query, key, value):
        return _written_out(query, key, value, bias, causal, scale)
    grouped = query.shape[1] != key.shape[1]
    fits = query.is_cpu and query.shape[-1] == value.shape[-1] and torch._C._get_flash_sdp_enabled()
    if fits and _verified(SDPBackend.FLASH_ATTENTION, "cpu", grouped):  # every decode step on a CPU ends here
        output, lse = _cpu_flash(query, key, value, 0.0, causal, attn_mask=bias, scale=scale)
        return output, lse
    backend = _backend(query, key, value, bias, causal, scale)
    if backend != SDPBackend.MATH and not _verified(backend, query.device.type, grouped):
        if not grouped:
            backend = SDPBackend.MATH
        else:
            groups = query.shape[1] // key.shape[1]
            key, value = repeat_heads(key, groups), repeat_heads(value, groups)
            return _fused(query, key, value, bias, causal, scale)
    return _call(backend, query, key, value, bias, causal, scale)


def _backend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, causal: bool, scale: float) -> SDPBackend:
    """The kernel that PyTorch itself would pick, so that plain decoding and this differ in nothing but the gate."""
    kind = query.device.type
    if kind not in ("cpu", "cuda"):
        _warn_once(kind)
        return SDPBackend.MATH
    if query.shape[-1] != value.shape[-1]:  # no fused kernel takes these, PyTorch's own function neither
        return SDPBackend.MATH
    if torch.compiler.is_compiling():
        return SDPBackend.FLASH_ATTENTION if kind == "cpu" else SDPBackend.EFFICIENT_ATTENTION
    if kind == "cpu":
        enabled = torch.backends.cuda.flash_sdp_enabled()
        return SDPBackend.FLASH_ATTENTION if enabled else SDPBackend.MATH
    grouped = query.shape[1] != key.shape[1]
    choice = SDPBackend(torch._fused_sdp_choice(query, key, value, bias, 0.0, causal, scale=scale, enable_gqa=grouped))
    return choice if choice in _FUSED else SDPBackend.MATH


def _call(
    backend: SDPBackend,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Run one fused operator: output ``(batch, heads, queries, head_dim)`` and its log-sum-exp."""
    if backend == SDPBackend.MATH:
        return _written_out(query, key, value, bias, causal, scale)
    if query.device.type == "cpu":
        output, lse = _cpu_flash(query, key, value, 0.0, causal, attn_mask=bias, scale=scale)
        return output, lse
    if backend == SDPBackend.FLASH_ATTENTION:
        dim = query.shape[-1]
        padded = (nn.functional.pad(x, (0, -dim % 8)) for x in (query, key, value))
        output, lse, *_ = _aten._scaled_dot_product_flash_attention(*padded, 0.0, causal, False, scale=scale)
        return output[..., :dim], lse[..., : query.shape[2]]
    if query.shape[1] != key.shape[1]:
        groups = query.shape[1] // key.shape[1]
        key, value = repeat_heads(key, groups), repeat_heads(value, groups)
    bias = _aligned(bias, query, key)
    if backend == SDPBackend.CUDNN_ATTENTION:
        output, lse, *_ = _aten._scaled_dot_product_cudnn_attention(
            query, key, value, bias, True, 0.0, causal, False, scale=scale
        )
    else:
        output, lse, *_ = _aten._scaled_dot_product_efficient_attention(
            query, key, value, bias, True, 0.0, causal, scale=scale
        )
    return output, lse.reshape(*query.shape[:2], -1)[..., : query.shape[2]]


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
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_heads(key, groups), repeat_heads(value, groups)
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


def _verified(backend: SDPBackend, device: str, grouped: bool) -> bool:
    """The kept answer of `_agrees`: it costs two 8 x 8 attentions, and cannot be asked inside a compiled region."""
    question = backend.name + device + ("" if grouped else "alike")  # a compiled region guards on strings only
    verdict = _verdicts.get(question)
    if verdict is None:
        if torch.compiler.is_compiling():
            return False
        verdict = _verdicts[question] = _agrees(backend, device, grouped)
    return verdict


def _agrees(backend: SDPBackend, device: str, grouped: bool) -> bool:
    """Whether this PyTorch's fused operator gives the output and log-sum-exp that its definition says."""
    dtype = torch.float32 if device == "cpu" else torch.float16
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(2, heads, 8, 16, generator=generator).to(device, dtype)
        for heads in (4, *((2, 2) if grouped else (4, 4)))
    )
    bias = None
    if backend != SDPBackend.FLASH_ATTENTION or device == "cpu":
        bias = torch.randn(2, 1, 8, 8, generator=generator).to(device, dtype)
    try:
        with torch.no_grad():
            found = [
                _call(backend, query, key, value, None, True, 0.25),
                _call(backend, query, key, value, bias, False, 0.25),
            ]
            expected = [
                _written_out(query, key, value, None, True, 0.25),
                _written_out(query, key, value, bias, False, 0.25),
            ]
        tolerance = 1e-5 if device == "cpu" else 5e-3
        if all(
            torch.allclose(a.float(), b.float(), atol=tolerance, rtol=tolerance)
            for pair in zip(found, expected, strict=True)
            for a, b in zip(*pair, strict=True)
        ):
            return True
        problem = "answers differently from its definition"
    except Exception as error:
        problem = f"cannot be called ({type(error).__name__})"
    if not grouped:
        warnings.warn(
            f"PyTorch {torch.__version__} on {device}: the {backend.name} operator {problem}, so attention is "
            "written out, which is slower. attn_implementation='flex_attention' may be faster here.",
            stacklevel=2,
        )
    return False


@cache
def _warn_once(device: str) -> None:
    warnings.warn(f"PyTorch gives no log-sum-exp of a fused attention on {device}: it is written out", stacklevel=2)


def verify(device: str) -> None:
    """Ask about every operator that a compiled region may need on this device."""
    if device in ("cpu", "cuda"):
        backend = SDPBackend.FLASH_ATTENTION if device == "cpu" else SDPBackend.EFFICIENT_ATTENTION
        for grouped in (False, True):
            _verified(backend, device, grouped)


verify("cpu")
