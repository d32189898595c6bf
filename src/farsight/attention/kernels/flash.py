"""FlashAttention 2, 3 and 4, whose functions return their log-sum-exp on request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from farsight.attention.layer_call import Attended, LayerCall
from farsight.errors import UnsupportedModelError

# The option that makes a function return (output, log-sum-exp, ...): FlashAttention 4, then 3 and 2.
_LSE_OPTIONS = ("return_lse", "return_softmax_lse", "return_attn_probs")


def flash(call: LayerCall) -> Attended:
    """Transformers' flash attention, padded or not, with its log-sum-exp.

    The mask is the padding mask ``(batch, keys)`` or None, as Transformers hands it to flash kernels.
    """
    from transformers.modeling_flash_attention_utils import _upad_input, lazy_import_flash_attention

    implementation = call.implementation
    if call.position_bias is not None:
        raise UnsupportedModelError(
            f"{implementation} takes no position bias: load the model with attn_implementation='eager'"
        )
    if any(call.options.get(name) is not None for name in ("indices", "block_indices")):
        raise UnsupportedModelError(
            f"{implementation} takes no keys chosen by an indexer: load the model with attn_implementation='sdpa'"
        )
    if call.needs_gradient:
        raise UnsupportedModelError(
            f"{implementation} gives no gradient of its log-sum-exp, which the registers' gate has: "
            "use torch.no_grad(), or load the model with attn_implementation='sdpa'"
        )
    fixed, varlen, *_rest, pad, unpad = lazy_import_flash_attention(implementation)[0]
    target = call.value.dtype if call.value.dtype in (torch.float16, torch.bfloat16) else torch.bfloat16
    # flash functions take (batch, length, heads, head_dim)
    query, key, value = (states.transpose(1, 2).to(target) for states in call.states)
    options: dict[str, Any] = {"softmax_scale": call.scaling, "causal": call.is_causal}
    if (window := call.options.get("sliding_window")) is not None and key.shape[1] > window:
        options["window_size"] = (window - 1, window - 1)
    if call.softcap is not None:
        options["softcap"] = call.softcap
    batch, queries = query.shape[:2]
    if call.mask is None:
        output, lse = _with_lse(fixed, implementation)(query, key, value, **options)
        return Attended(output=output.transpose(1, 2), lse=lse)
    query, key, value, indices, (starts_q, starts_k), (longest_q, longest_k) = _upad_input(
        query, key, value, call.mask, queries, unpad
    )
    output, lse = _with_lse(varlen, implementation)(
        query,
        key,
        value,
        cu_seqlens_q=starts_q,
        cu_seqlens_k=starts_k,
        max_seqlen_q=longest_q,
        max_seqlen_k=longest_k,
        **options,
    )
    # varlen kernels give the log-sum-exp as (heads, tokens)
    padded = pad(lse.transpose(0, 1).unsqueeze(-1).contiguous(), indices, batch, queries).squeeze(-1)
    return Attended(output=pad(output, indices, batch, queries).transpose(1, 2), lse=padded.transpose(1, 2))


@cache
def _with_lse(function: Callable[..., Any] | None, implementation: str) -> Callable[..., tuple[Tensor, Tensor]]:
    """``function`` with the option set that makes it return its log-sum-exp."""
    accepted = inspect.signature(function).parameters if function is not None else {}
    option = next((name for name in _LSE_OPTIONS if name in accepted), None)
    if function is None or option is None:
        raise UnsupportedModelError(
            f"the installed {implementation} kernel gives no log-sum-exp, so it cannot carry attention registers: "
            "load the model with attn_implementation='sdpa' or 'flex_attention'"
        )

    def attend(*tensors: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        known = {name: value for name, value in options.items() if name in accepted}
        if missing := {"window_size", "softcap"} & (options.keys() - known.keys()):
            raise UnsupportedModelError(
                f"the installed {implementation} kernel has no option {', '.join(sorted(missing))}: "
                "load the model with attn_implementation='sdpa' or 'eager'"
            )
        output, lse, *_ = function(*tensors, **known, **{option: True})
        return output, lse

    return attend
