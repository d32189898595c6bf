"""See the calls of attention layers, whatever kernel computes them, without changing what they compute.

Inside the block the name in the language model's config is ``watched_sdpa`` for a model that uses ``sdpa``. Kernels
that give no weights have those of any rows computed beside them, from the queries and keys that they were given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface

from farsight.language_model import AttentionLayer, LanguageModel, attention_function, implementations_named

_ATTRIBUTE = "farsight_watcher"
_PREFIX = "watched_"


class ScoredRows(NamedTuple):
    """Some rows of one attention layer, at least fp32."""

    weights: Tensor
    """``(batch, heads, rows, keys)``, each row of sum 1"""
    lse: Tensor
    """Log-sum-exp of the scores, ``(batch, heads, rows)``"""


@dataclass(frozen=True, kw_only=True, eq=False)
class WatchedCall:
    """One call of one attention layer, and what it gave."""

    index: int
    implementation: str
    """Name of what computed it, such as ``sdpa`` or ``farsight_sdpa``"""
    module: nn.Module
    query: Tensor
    """``(batch, heads, queries, head_dim)``"""
    key: Tensor
    """``(batch, kv_heads, keys, head_dim)``, cached keys included"""
    value: Tensor
    mask: Any
    scaling: float
    softcap: float | None
    position_bias: Tensor | None
    sink: Tensor | None
    """The model's own sink, a score for each head"""
    sliding_window: int | None
    weights: Tensor | None
    """``(batch, heads, queries, keys)`` where the kernel gives them, as it applied them: gates and edits included"""

    def scored(self, start: int, stop: int, score_scale: float = 1.0) -> ScoredRows:
        """Softmax of the scores of rows ``start`` to ``stop``, computed from their queries and keys."""
        dtype = torch.promote_types(self.query.dtype, torch.float32)
        query = self.query[:, :, start:stop].to(dtype).unflatten(1, (self.key.shape[1], -1))
        key = self.key.to(dtype).unsqueeze(2).transpose(3, 4)
        scores = (query @ key).flatten(1, 2) * self.scaling
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if self.position_bias is not None:
            scores = scores + self.position_bias[..., start:stop, :].to(dtype)
        allowed = self.allowed(start, stop)
        scores = (scores * score_scale).masked_fill(~allowed, -torch.inf)
        return ScoredRows(weights=torch.softmax(scores, dim=-1), lse=torch.logsumexp(scores, dim=-1))

    def allowed(self, start: int, stop: int) -> Tensor:
        """Which keys rows ``start`` to ``stop`` may read, ``(batch or 1, 1 or heads, rows, keys)``, bool."""
        queries, keys = self.query.shape[2], self.key.shape[2]
        rows = torch.arange(start, stop, device=self.query.device)[:, None]
        slots = torch.arange(keys, device=self.query.device)[None]
        if isinstance(self.mask, BlockMask):
            sequences = torch.arange(self.query.shape[0], device=rows.device)[:, None, None, None]
            found: Tensor = self.mask.mask_mod(sequences, rows.new_zeros(1, 1, 1, 1), rows[None, None], slots)
            return found.expand(len(sequences), 1, stop - start, keys)
        if isinstance(self.mask, Tensor) and self.mask.dim() == 4:
            part: Tensor = self.mask[:, :, start:stop, :keys]
            return part if part.dtype == torch.bool else part > torch.finfo(part.dtype).min / 2
        # SDPA without a mask over more keys than queries is filling a cache that is longer than its text
        filling = self.mask is None and queries > 1 and "flash" not in self.implementation
        own = rows + (0 if filling else keys - queries)
        if not getattr(self.module, "is_causal", True):
            own = own.clamp(min=keys)
        causal = slots <= own
        if self.sliding_window is not None:
            causal = causal & (slots > own - self.sliding_window)
        if self.mask is None:
            return causal[None, None]
        padding: Tensor = self.mask[:, None, None, -keys:].bool()
        return causal[None, None] & padding


See = Callable[[WatchedCall], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Watcher:
    index: int
    see: See


@contextmanager
def watched(language_model: LanguageModel, layers: Sequence[AttentionLayer], see: See) -> Iterator[None]:
    """Call ``see`` after every call of ``layers`` in a ``with`` block; what the model computes stays the same."""
    names = [_watched_name(config._attn_implementation or "eager") for config in language_model.configs]
    try:
        for layer in layers:
            setattr(layer.module, _ATTRIBUTE, _Watcher(index=layer.index, see=see))
        with implementations_named(language_model, names):
            yield
    finally:
        for layer in layers:
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
    own = attention_function(implementation, module)
    found: tuple[Tensor, Tensor | None] = own(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    watcher: _Watcher | None = getattr(module, _ATTRIBUTE, None)
    if watcher is not None:
        watcher.see(
            WatchedCall(
                index=watcher.index,
                implementation=implementation,
                module=module,
                query=query,
                key=key,
                value=value,
                mask=attention_mask,
                scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
                softcap=kwargs.get("softcap"),
                position_bias=kwargs.get("position_bias"),
                sink=kwargs.get("s_aux"),
                sliding_window=kwargs.get("sliding_window"),
                weights=found[1],
            )
        )
    return found
