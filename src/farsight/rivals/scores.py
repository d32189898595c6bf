"""Edit the scores of causal self-attention before the softmax, and see the weights after it.

Chosen layers of the language model run attention written out; the others go on with the implementation that they had.
Transformers looks attention functions up by name: inside the block the name in the language model's config is
``edited_sdpa`` for a model that uses ``sdpa``, and the layers that are edited carry their edits as an attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from farsight.errors import SettingError, UnsupportedModelError
from farsight.language_model import AttentionLayer, LanguageModel, attention_function, implementations_named

_ATTRIBUTE = "farsight_edits"
_PREFIX = "edited_"
_MASKABLE = ("eager", "sdpa")  # implementations that take the mask of written-out attention


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionCall:
    """One call of one attention layer: what an edit may need beside the scores."""

    module: nn.Module
    query: Tensor
    """``(batch, heads, queries, head_dim)``, as the layer hands it to attention: rotated"""
    key: Tensor
    """``(batch, heads, keys, head_dim)``, cached keys included, key heads repeated for grouped queries"""
    mask: Tensor | None
    """``(batch, 1, queries, keys)``, 0 where a row may read and the dtype's minimum where it may not; None: all may"""
    scaling: float
    softcap: float | None

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores as this layer computes them, soft-cap included, without the mask."""
        scores = torch.matmul(query, key.transpose(2, 3)) * self.scaling
        return scores if self.softcap is None else torch.tanh(scores / self.softcap) * self.softcap

    @property
    def allowed(self) -> Tensor | None:
        """Which keys each row may read, ``(batch, 1, queries, keys)``, bool; None: all."""
        return None if self.mask is None else self.mask > torch.finfo(self.mask.dtype).min / 2


Edit = Callable[[int, Tensor, AttentionCall], Tensor]
"""Gets a layer's index, its scores ``(batch, heads, queries, keys)`` before the mask, and the call; gives scores.

Columns that it adds on the right take part in the softmax and are dropped after it, as attention sinks are.
The mask is added afterwards, so nothing that is masked can be made readable.
"""
Seen = Callable[[int, Tensor], None]
"""Gets a layer's index and its weights ``(batch, heads, queries, keys)`` after the softmax, at least fp32."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Edits:
    index: int
    edits: tuple[Edit, ...]
    seen: tuple[Seen, ...]


@contextmanager
def edited(
    language_model: LanguageModel,
    layers: Sequence[int] | None = None,
    *,
    edit: Edit | None = None,
    seen: Seen | None = None,
) -> Iterator[None]:
    """Run layers of ``language_model`` with attention written out, for the length of a ``with`` block.

    Blocks may be nested: inner edits get the scores that outer ones made.

    Parameters
    ----------
    language_model
        As `farsight.language_model.locate` gives it.
    layers
        Indices of the layers; None for all.
    edit
        Changes the scores before the softmax; see `Edit`. None leaves them.
    seen
        Sees the weights after the softmax; see `Seen`.

    Raises
    ------
    SettingError
        If a layer does not exist.
    UnsupportedModelError
        If the attention implementation cannot run beside written-out attention (flash and flex kernels take masks of
        another form), or already carries another method's registers.
    """
    chosen = _chosen(language_model, layers)
    names = [_edited_name(config._attn_implementation or "eager") for config in language_model.configs]
    missing = object()
    carried = [(layer.module, vars(layer.module).get(_ATTRIBUTE, missing)) for layer in chosen]
    try:
        for layer in chosen:
            outer: _Edits | None = getattr(layer.module, _ATTRIBUTE, None)
            edits = _Edits(
                index=layer.index,
                edits=(*(outer.edits if outer else ()), *([edit] if edit else [])),
                seen=(*(outer.seen if outer else ()), *([seen] if seen else [])),
            )
            setattr(layer.module, _ATTRIBUTE, edits)
        with implementations_named(language_model, names, like="eager"):
            yield
    finally:
        for module, value in carried:
            if value is missing:
                vars(module).pop(_ATTRIBUTE, None)
            else:
                vars(module)[_ATTRIBUTE] = value


def _chosen(language_model: LanguageModel, layers: Sequence[int] | None) -> list[AttentionLayer]:
    available = [layer.index for layer in language_model.layers]
    if missing := sorted(set(layers or ()) - set(available)):
        raise SettingError(f"layers {missing} are out of range: this model has {available[0]} to {available[-1]}")
    return [layer for layer in language_model.layers if layers is None or layer.index in layers]


def _edited_name(implementation: str) -> str:
    """Name under which edited attention beside an implementation is registered, registering it if need be."""
    own = implementation.removeprefix(_PREFIX)
    if own.startswith("farsight_"):
        raise UnsupportedModelError(
            f"attention implementation {own!r} carries the registers of another method, and edited scores would leave "
            "them out: use one of the two"
        )
    if own not in _MASKABLE:
        raise UnsupportedModelError(
            f"attention scores cannot be edited beside attention implementation {implementation!r}: "
            "load the model with attn_implementation='sdpa' (or eager)"
        )
    name = _PREFIX + own
    masks = AttentionMaskInterface()
    if name not in masks:
        AttentionMaskInterface.register(name, masks["eager"])
        AttentionInterface.register(name, partial(_attention_forward, own))
    return name


def _attention_forward(
    implementation: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as Transformers calls it: ``(batch, heads, queries, dim)`` in, ``(batch, queries, heads, dim)`` out."""
    edits: _Edits | None = getattr(module, _ATTRIBUTE, None)
    if edits is None:
        own = attention_function(implementation, module)
        found: tuple[Tensor, Tensor | None] = own(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
        return found
    if dropout > 0.0:
        raise UnsupportedModelError("edited scores are a change of decoding: call model.eval() first (dropout is on)")
    if kwargs.get("cache") is not None:
        raise UnsupportedModelError("continuous batching (a paged cache) is not supported: use generate")
    return _written_out(
        edits,
        AttentionCall(
            module=module,
            query=query,
            key=_repeated(key, query),
            mask=None if attention_mask is None else attention_mask[..., : key.shape[-2]],
            scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
            softcap=kwargs.get("softcap"),
        ),
        _repeated(value, query),
        kwargs.get("position_bias"),
        kwargs.get("s_aux") if kwargs.get("sinks") is None else kwargs["sinks"],
    )


def _written_out(
    edits: _Edits, call: AttentionCall, value: Tensor, position_bias: Tensor | None, sink: Tensor | None
) -> tuple[Tensor, Tensor]:
    scores = call.scores(call.query, call.key)
    if position_bias is not None:
        scores = scores + position_bias
    for edit in edits.edits:
        scores = edit(edits.index, scores, call)
    keys = call.key.shape[-2]
    if call.mask is not None:
        extra = scores.shape[-1] - keys
        scores = scores + nn.functional.pad(call.mask, (0, extra)) if extra else scores + call.mask
    if sink is not None:
        own = sink.reshape(1, -1, 1, 1) if sink.dim() == 1 else sink
        own = own.to(scores.dtype).expand(*scores.shape[:3], 1)
        scores = torch.cat((scores, own), dim=-1)
    weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))[..., :keys]
    for seen in edits.seen:
        seen(edits.index, weights)
    weights = weights.to(call.query.dtype)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def _repeated(states: Tensor, query: Tensor) -> Tensor:
    return states.repeat_interleave(query.shape[1] // states.shape[1], dim=1)
