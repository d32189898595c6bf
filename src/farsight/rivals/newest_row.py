"""The attention weights of the newest row of one layer, whatever kernel computes its attention."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface

from farsight.language_model import AttentionLayer, LanguageModel

_ATTRIBUTE = "farsight_newest_row"
_PREFIX = "watched_"


class NewestRow:
    """Weights of the last query of the last forward, ``(batch, heads, keys)``, each row of sum 1; at least fp32."""

    def __init__(self) -> None:
        self.weights: Tensor | None = None


@contextmanager
def watched(language_model: LanguageModel, layer: AttentionLayer) -> Iterator[NewestRow]:
    """See the newest row of ``layer`` at every forward in a ``with`` block; what the model computes stays the same.

    Kernels that give no weights have those of this one row computed beside them, from their queries and keys: memory
    is linear in the length. Every head's row is scaled to sum 1, so gates and sinks that take a share of a whole row
    leave it as it is.
    """
    row = NewestRow()
    before = [(config, config._attn_implementation) for config in language_model.configs]
    try:
        setattr(layer.module, _ATTRIBUTE, row)
        for config, name in before:
            config._attn_implementation_internal = _watched_name(name or "eager")
        yield row
    finally:
        for config, name in before:
            config._attn_implementation_internal = name
        vars(layer.module).pop(_ATTRIBUTE, None)


def _watched_name(implementation: str) -> str:
    name = _PREFIX + implementation
    masks = AttentionMaskInterface()
    if name not in masks:
        AttentionMaskInterface.register(name, masks[implementation])
        AttentionInterface.register(name, partial(_attention_forward, implementation))
    return name


def _attention_forward(
    implementation: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as Transformers calls it: ``(batch, heads, queries, dim)`` in, ``(batch, queries, heads, dim)`` out."""
    own = _own_implementation(implementation, module)
    found: tuple[Tensor, Tensor | None] = own(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    row: NewestRow | None = getattr(module, _ATTRIBUTE, None)
    if row is not None:
        weights = found[1]
        if weights is None:
            scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
            newest = _newest_row(query, key, attention_mask, scaling, kwargs.get("softcap"))
        else:
            newest = weights[:, :, -1].to(torch.promote_types(weights.dtype, torch.float32))
        row.weights = newest / newest.sum(-1, keepdim=True)
    return found


def _own_implementation(implementation: str, module: nn.Module) -> Callable[..., Any]:
    functions = AttentionInterface()
    if implementation in functions:
        function: Callable[..., Any] = functions[implementation]
    else:
        function = sys.modules[type(module).__module__].eager_attention_forward
    return function


def _newest_row(query: Tensor, key: Tensor, mask: Any, scaling: float, softcap: float | None) -> Tensor:
    """Softmax of the last query's scores, ``(batch, heads, keys)``."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    grouped = query[:, :, -1].to(dtype).unflatten(1, (key.shape[1], -1))
    scores = (grouped @ key.to(dtype).transpose(2, 3)).flatten(1, 2) * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    allowed = _allowed_keys(mask, query, key.shape[2])
    return torch.softmax(scores if allowed is None else scores.masked_fill(~allowed, -torch.inf), dim=-1)


def _allowed_keys(mask: Any, query: Tensor, keys: int) -> Tensor | None:
    """Which keys the last row may read, ``(batch or 1, 1, keys)``, bool; None for all."""
    if mask is None:
        return None
    if isinstance(mask, BlockMask):
        sequences = torch.arange(query.shape[0], device=query.device)[:, None]
        slots = torch.arange(keys, device=query.device)[None]
        allowed: Tensor = mask.mask_mod(sequences, slots.new_tensor(0), slots.new_tensor(query.shape[2] - 1), slots)
        return allowed.expand(len(sequences), keys).unsqueeze(1)
    if mask.dim() == 2:
        padding: Tensor = mask[:, None, -keys:].bool()
        return padding
    newest: Tensor = mask[:, :, -1, :keys]
    return newest if newest.dtype == torch.bool else newest > torch.finfo(newest.dtype).min / 2
