"""One call of one attention layer: what the layer handed over, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask


class Attended(NamedTuple):
    """Plain attention and the log of its softmax denominator, before the gate: what every kernel gives."""

    output: Tensor
    """``(batch, heads, queries, head_dim)``"""
    lse: Tensor
    """``(batch, heads, queries)``, fp32 or fp64"""
    weights: Tensor | None = None
    """``(batch, heads, queries, keys)``, from the reference only"""


class ScoredRows(NamedTuple):
    """Some rows of one attention layer, at least fp32."""

    weights: Tensor
    """``(batch, heads, rows, keys)``, each row of sum 1"""
    lse: Tensor
    """Log-sum-exp of the scores, ``(batch, heads, rows)``"""


@dataclass(kw_only=True, eq=False)
class LayerCall:
    """One call of one attention layer, whatever kernel computes it."""

    index: int
    """Which layer"""
    implementation: str
    """Name of what computes it, such as ``sdpa``"""
    module: nn.Module
    query: Tensor
    """``(batch, heads, queries, head_dim)``, as the layer hands it to attention: rotated"""
    key: Tensor
    """``(batch, kv_heads, keys, head_dim)``, cached keys included"""
    value: Tensor
    mask: Any
    """As the implementation takes it; `allowed` reads every form"""
    options: Mapping[str, Any]
    """Whatever else the layer handed over, by name"""

    edited: bool = False
    """Whether the scores were edited; `scored` does not know how"""
    lse: Tensor | None = None
    """For a `Tap.see`: log of the softmax denominator, ``(batch, heads, queries)``, the model's own sink included;
    None where the kernel gives none"""
    factor: Tensor | None = None
    """For a `Tap.see`: what rows kept after gates and the model's own sink, ``(batch, heads, queries)``; None: all"""
    weights: Tensor | None = None
    """For a `Tap.see`: ``(batch, heads, queries, keys)`` as they were applied, where the kernel gives them"""

    @property
    def scaling(self) -> float:
        """Factor on the products of queries and keys."""
        scaling: float | None = self.options.get("scaling")
        return self.query.shape[-1] ** -0.5 if scaling is None else scaling

    @property
    def is_causal(self) -> bool:
        """Whether rows read no later keys where no mask says what they read."""
        given = self.options.get("is_causal")
        return bool(getattr(self.module, "is_causal", True) if given is None else given)

    @property
    def softcap(self) -> float | None:
        """Largest score, which scores approach."""
        softcap: float | None = self.options.get("softcap")
        return softcap

    @property
    def position_bias(self) -> Tensor | None:
        """What places add to the scores (T5), ``(1 or batch, heads, queries, keys)``."""
        bias: Tensor | None = self.options.get("position_bias")
        return bias if bias is None else bias[..., : self.key.shape[2]]

    @property
    def sink(self) -> Tensor | None:
        """The model's own sink: a score for each head, ``(heads,)``, or each row, ``(batch, heads, queries, 1)``."""
        sinks: Tensor | None = self.options.get("sinks")
        return self.options.get("s_aux") if sinks is None else sinks

    @property
    def states(self) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value in one dtype: under autocast rotated queries and keys are wider than values."""
        if (dtype := self.value.dtype) == self.query.dtype == self.key.dtype:
            return self.query, self.key, self.value
        return self.query.to(dtype), self.key.to(dtype), self.value

    @property
    def needs_gradient(self) -> bool:
        """Whether a gradient is asked for. Fused kernels give one of their output and none of their log-sum-exp."""
        return torch.is_grad_enabled() and any(x.requires_grad for x in (self.query, self.key, self.value))

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores as this layer computes them, soft-cap included, without mask or position bias.

        Shapes: ``(batch, heads, rows, head_dim)`` and ``(batch, heads or kv_heads, keys, head_dim)``.
        """
        return self.capped(query @ repeat_heads(key, query.shape[1]).transpose(2, 3) * self.scaling)

    def capped(self, scores: Tensor) -> Tensor:
        """Scores with the soft-cap of models that have one."""
        return scores if self.softcap is None else torch.tanh(scores / self.softcap) * self.softcap

    def scored(self, start: int, stop: int) -> ScoredRows:
        """Softmax of the scores of rows ``start`` to ``stop``, computed from their queries and keys."""
        dtype = torch.promote_types(self.query.dtype, torch.float32)
        query = self.query[:, :, start:stop].to(dtype).unflatten(1, (self.key.shape[1], -1))
        key = self.key.to(dtype).unsqueeze(2).transpose(3, 4)
        scores = self.capped((query @ key).flatten(1, 2) * self.scaling)
        if self.position_bias is not None:
            scores = scores + self.position_bias[..., start:stop, :].to(dtype)
        scores = scores.masked_fill(~self.allowed(start, stop), -torch.inf)
        return ScoredRows(weights=torch.softmax(scores, dim=-1), lse=torch.logsumexp(scores, dim=-1))

    def rows(self, start: int, stop: int) -> Tensor:
        """Weights of rows ``start`` to ``stop`` as they were applied, ``(batch, heads, rows, keys)``, at least fp32."""
        if self.weights is not None:
            return self.weights[:, :, start:stop].to(torch.promote_types(self.weights.dtype, torch.float32))
        scored = self.scored(start, stop)
        return scored.weights * self.kept(start, stop, scored.lse).unsqueeze(-1)

    def kept(self, start: int, stop: int, lse: Tensor) -> Tensor:
        """What rows keep after gates and the model's own sink, the shape of their ``lse``."""
        if self.factor is not None:
            return self.factor[:, :, start:stop].to(lse)
        if self.sink is None:
            return torch.ones_like(lse)
        own = sink_of_rows(self.sink, lse)
        return torch.sigmoid(lse - (own if self.sink.dim() == 1 else own[:, :, start:stop]))

    @property
    def may_look_ahead(self) -> bool:
        """Whether the mask may let a row read keys behind it, as those of an image do that read each other."""
        padding_only = self.mask is None or (isinstance(self.mask, Tensor) and self.mask.dim() == 2)
        return self.query.shape[2] > 1 and not (self.is_causal and padding_only)

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
            return allowed_in(self.mask[:, :, start:stop, :keys])
        # SDPA without a mask over more keys than queries is filling a cache that is longer than its text
        filling = self.mask is None and queries > 1 and "flash" not in self.implementation
        own = rows + (0 if filling else keys - queries)
        if not self.is_causal:
            own = own.clamp(min=keys)
        causal = slots <= own
        if (window := self.options.get("sliding_window")) is not None:
            causal = causal & (slots > own - window)
        if self.mask is None:
            return causal[None, None]
        padding: Tensor = self.mask[:, None, None, -keys:].bool()
        return causal[None, None] & padding

    def additive_mask(self) -> Tensor | None:
        """What written-out attention adds to the scores: 0, and the dtype's minimum where a row may not read.

        A row that may read nothing has equal weights and no NaN, also in its gradient.
        """
        if isinstance(self.mask, Tensor) and self.mask.dim() == 4 and self.mask.is_floating_point():
            return self.mask[..., : self.key.shape[2]]
        if self.mask is None and (self.query.shape[2] == 1 or not self.is_causal):
            return None
        allowed = self.allowed(0, self.query.shape[2])
        hidden = torch.finfo(self.query.dtype).min
        return torch.zeros(allowed.shape, dtype=self.query.dtype, device=allowed.device).masked_fill_(~allowed, hidden)


def allowed_in(mask: Tensor) -> Tensor:
    """What a bool or additive mask allows, bool."""
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def sink_of_rows(sink: Tensor, like: Tensor) -> Tensor:
    """A model's own sinks, ``(heads,)`` or ``(batch, heads, queries, 1)``, to be broadcast against rows."""
    return sink.to(like).reshape(1, -1, 1) if sink.dim() == 1 else sink.to(like).squeeze(-1)


def repeat_heads(states: Tensor, heads: int) -> Tensor:
    """Repeat key or value heads for grouped queries: ``(batch, kv_heads, ..)`` to ``(batch, heads, ..)``."""
    if (groups := heads // states.shape[1]) == 1:
        return states
    return states.unsqueeze(2).expand(-1, -1, groups, -1, -1).flatten(1, 2)
