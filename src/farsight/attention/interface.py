"""Attention functions with registers, under names in Transformers' registries.

What is registered globally is a name; nothing of Transformers is patched. A function registered here runs a layer's
own implementation unchanged unless that very layer carries registers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from farsight.attention import observer
from farsight.attention.eager import eager_attention
from farsight.attention.flash import flash
from farsight.attention.flex import flex
from farsight.attention.gate import LayerGate, apply_gate
from farsight.attention.kernel import Attended
from farsight.attention.sdpa import sdpa_attention
from farsight.errors import UnsupportedModelError
from farsight.language_model import attention_function

ATTRIBUTE = "farsight_registers"
_PREFIX = "farsight_"
# What an attention function may take: understood here, or without meaning for a decoder in evaluation.
_KNOWN = {"module", "query", "key", "value", "attention_mask", "scaling", "dropout", "is_causal", "kwargs", "_kwargs"}
_KNOWN |= {"s_aux", "sinks", "softcap", "position_bias", "sliding_window", "cache"}
_KERNELS: dict[str, Callable[..., Attended]] = {
    "eager": eager_attention,
    "sdpa": sdpa_attention,
    "flex_attention": flex,
}


def _kernel(implementation: str) -> Callable[..., Attended] | None:
    if "flash" in implementation and "|" not in implementation:
        return partial(flash, implementation=implementation)
    return _KERNELS.get(implementation)


def refusal(implementation: str) -> str | None:
    """Why layers with this attention implementation cannot carry registers, or None if they can."""
    if _kernel(implementation.removeprefix(_PREFIX)) is not None:
        return None
    return (
        f"attention implementation {implementation!r} gives no log-sum-exp; load the model with "
        "attn_implementation='sdpa' (or eager, flex_attention, flash_attention_2)"
    )


def gated_name(implementation: str) -> str:
    """Name under which the gated form of an attention implementation is registered, registering it if need be.

    The mask function is registered with it: without one Transformers hands an attention function no mask at all.
    """
    if (kernel := _kernel(implementation)) is None:
        raise UnsupportedModelError(refusal(implementation))
    name = _PREFIX + implementation
    masks = AttentionMaskInterface()
    if name not in masks:
        mask_name = "flash_attention_2" if "flash" in implementation else implementation
        AttentionMaskInterface.register(name, masks[mask_name])
        AttentionInterface.register(name, partial(_attention_forward, implementation, kernel))
    return name


def _attention_forward(
    implementation: str,
    kernel: Callable[..., Attended],
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as Transformers calls it: ``(batch, heads, queries, dim)`` in, ``(batch, queries, heads, dim)`` out."""
    registers: LayerGate | None = getattr(module, ATTRIBUTE, None)
    if registers is None:
        own = attention_function(implementation, module)
        options = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal, "s_aux": s_aux, **kwargs}
        options = {name: given for name, given in options.items() if given is not None}
        found: tuple[Tensor, Tensor | None] = own(module, query, key, value, attention_mask, **options)
        return found
    if dropout > 0.0:
        raise UnsupportedModelError(
            "registers are a change of decoding: call model.eval() first (attention dropout is on)"
        )
    if kwargs.get("cache") is not None:
        raise UnsupportedModelError("continuous batching (a paged cache) is not supported: use generate")
    sink = s_aux if (per_row := kwargs.pop("sinks", None)) is None else per_row
    if is_causal is None:
        is_causal = bool(getattr(module, "is_causal", True))
    attended = kernel(
        module,
        query,
        key,
        value,
        attention_mask,
        scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
        score_scale=registers.score_scale,
        is_causal=is_causal,
        **kwargs,
    )
    gate = registers.gate(attended.lse, query, key, attention_mask, is_causal, sink)
    observer.show(module, gate)
    output = apply_gate(attended.output, gate).transpose(1, 2).contiguous()
    weights = attended.weights
    return output, None if weights is None else apply_gate(weights, gate)


def check_options(implementation: str, module: nn.Module) -> None:
    """Refuse a layer whose own attention function takes something that registers do not know."""
    parameters = inspect.signature(attention_function(implementation, module)).parameters
    if unknown := sorted(set(parameters) - _KNOWN):
        raise UnsupportedModelError(
            f"the {implementation} attention of {type(module).__name__} takes {', '.join(unknown)}, which registers do "
            "not know"
        )
