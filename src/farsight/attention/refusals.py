"""Which attention implementations can carry taps that change something."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from farsight.attention.kernels import kernel_of
from farsight.attention.kernels.sdpa import verify
from farsight.attention.layers import LanguageModel
from farsight.attention.names import attention_function, own_name
from farsight.errors import UnsupportedModelError

# What an attention function may take: understood here, or without meaning for a decoder in evaluation.
_KNOWN = {"module", "query", "key", "value", "attention_mask", "scaling", "dropout", "is_causal", "kwargs", "_kwargs"}
_KNOWN |= {"s_aux", "sinks", "softcap", "position_bias", "sliding_window", "cache"}


def refusal(implementation: str) -> str | None:
    """Why layers with this attention implementation cannot carry edits or gates, or None if they can."""
    if kernel_of(own_name(implementation)) is not None:
        return None
    return (
        f"attention implementation '{implementation}' gives no log-sum-exp; load the model with "
        "attn_implementation='sdpa' (or eager, flex_attention, flash_attention_2)"
    )


def check_implementations(language_model: LanguageModel, edits: Sequence[object], gates: Sequence[object]) -> None:
    """Raise if a layer's attention cannot be edited or gated.

    Raises
    ------
    UnsupportedModelError
        The message names the implementation and the remedy.
    """
    for device in {parameter.device.type for parameter in language_model.module.parameters()}:
        verify(device)
    for layer in language_model.layers if edits or gates else ():
        name = own_name(layer.config._attn_implementation)
        if (reason := refusal(name)) is not None:
            raise UnsupportedModelError(reason)
        if unknown := sorted(set(inspect.signature(attention_function(name, layer.module)).parameters) - _KNOWN):
            raise UnsupportedModelError(
                f"the {name} attention of {type(layer.module).__name__} takes {', '.join(unknown)}, which "
                "a change of attention does not know"
            )
        if edits and "flash" in name:
            raise UnsupportedModelError(
                f"attention scores cannot be edited beside attention implementation '{name}', whose masks have another "
                "form: load the model with attn_implementation='sdpa' (or eager)"
            )
