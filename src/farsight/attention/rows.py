"""Which rows a forward computes, and the register mass of each: once per forward, not once per layer."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from farsight.attention.flex import allowed_keys
from farsight.attention.gate import register_gate, sink_of_rows
from farsight.errors import UnsupportedModelError
from farsight.language_model import rows_for_batch
from farsight.registers import log_profile_mass, log_strength_for_share

# Stands for log 0: finite, so that a row without keys and without registers has a gate and not NaN.
_NOTHING = -1e30
_MASK_ROWS = 512


class Rows(threading.local):
    """The rows of the forward in progress on one model; each thread that runs the model has its own."""

    def __init__(self) -> None:
        self.future: Tensor | None = None
        self.offset: int | Tensor = 0
        self.masses: dict[Hashable, Tensor] = {}
        self.used_slots: dict[int, tuple[Any, Tensor | None]] = {}
        self.reached: set[int] | None = set()
        self.call: Any = None
        self.outer: dict[str, Any] | None = None
        self.request: dict[str, Any] | None = None
        self.measured: Tensor | None = None
        self.log_factors: dict[int, Tensor] = {}

    def begin(
        self,
        future: Tensor,
        offset: int | Tensor,
        measured: Tensor | None = None,
        log_factors: dict[int, Tensor] | None = None,
    ) -> None:
        """Start a forward.

        Parameters
        ----------
        future
            Register slots ahead of each row, ``(batch or 1, queries)``; 0 where a row has none.
        offset
            Slots already in the cache.
        measured
            For registers that absorb a wanted share: the slots ahead of the rows on which their factor is measured in
            this forward, 0 elsewhere; None in a forward that goes on with what was measured.
        log_factors
            What was measured, or is to be, by layer.
        """
        self.future, self.offset = future, offset
        self.measured, self.log_factors = measured, {} if log_factors is None else log_factors
        self.masses, self.used_slots = {}, {}


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerRegisters:
    """The registers of one attention layer.

    ``sigma`` is a number or ``(heads, 1)``; ``log_strength`` is 0 or ``(1 or heads, 1)``, ``-inf`` for heads
    without registers. Layers of one ``group`` have equal values and share their mass. With ``absorb`` each head of each
    sequence has a further factor, measured once: that with which the prompt's rows give the registers this share.
    """

    rows: Rows
    index: int
    group: Hashable
    profile: str | float
    sigma: Tensor | float
    log_strength: Tensor | float
    score_scale: float
    absorb: float | None = None

    def gate(
        self, lse: Tensor, query: Tensor, key: Tensor, attention_mask: Any, is_causal: bool, sink: Tensor | None
    ) -> Tensor:
        """See `farsight.attention.gate.LayerGate`; the model's own sink is one more term beside the registers."""
        log_mass = self.log_mass(query, key, attention_mask, is_causal)
        if sink is not None:
            sink = sink_of_rows(sink, log_mass)
        if self.absorb is not None:
            total = lse if sink is None else torch.logaddexp(lse, sink)
            log_mass = log_mass + self._log_factor(total, query, key, attention_mask, is_causal)
        if sink is not None:
            log_mass = torch.logaddexp(log_mass, sink)
        return register_gate(lse, log_mass)

    def _log_factor(self, lse: Tensor, query: Tensor, key: Tensor, attention_mask: Any, is_causal: bool) -> Tensor:
        """Log of the measured factor, ``(batch, heads, 1)``; ``lse`` counts all that is not a register."""
        rows = self.rows
        if rows.measured is not None and self.absorb is not None:
            used = None if query.shape[2] == 1 else _used_slots(rows, query, key, attention_mask, is_causal)
            mass = self._compute(rows.measured, used, query)
            rows.log_factors[self.index] = log_strength_for_share(mass - lse, self.absorb).unsqueeze(-1)
        factor = rows.log_factors[self.index]
        return factor if len(factor) == len(lse) else rows_for_batch(factor, len(lse))

    def log_mass(self, query: Tensor, key: Tensor, attention_mask: Any, is_causal: bool) -> Tensor:
        """``log R`` of this layer's rows, ``(batch or 1, heads or 1, queries)``, at least fp32."""
        rows = self.rows
        if rows.future is None or rows.future.shape[-1] != query.shape[2]:
            raise UnsupportedModelError(
                f"layer {self.index} was called with {query.shape[2]} rows outside of a forward of its language "
                "model, so the place of these rows in the sequence is not known"
            )
        if rows.reached is not None and not torch.compiler.is_compiling():
            rows.reached.add(self.index)
        used = None if query.shape[2] == 1 else _used_slots(rows, query, key, attention_mask, is_causal)
        cache_key = (self.group, query.device, used if used is None else id(used))
        if (mass := rows.masses.get(cache_key)) is None:
            mass = rows.masses[cache_key] = self._compute(rows.future, used, query)
        return mass

    def _compute(self, future: Tensor, used: Tensor | None, query: Tensor) -> Tensor:
        dtype = torch.promote_types(query.dtype, torch.float32)
        future = future.to(query.device, dtype).unsqueeze(1)
        strength = self.log_strength.to(future) if isinstance(self.log_strength, Tensor) else self.log_strength
        sigma = self.sigma.to(future) if isinstance(self.sigma, Tensor) else self.sigma
        ahead = None if used is None else torch.minimum(used.to(future), future)
        mass = log_profile_mass(future, self.profile, sigma, ahead) + strength
        return mass.clamp(min=_NOTHING)


def _used_slots(rows: Rows, query: Tensor, key: Tensor, attention_mask: Any, is_causal: bool) -> Tensor | None:
    """How many slots ahead of each row its own mask already allows, ``(batch, 1 or heads, queries)``; None for none.

    The answer is kept per mask of a forward. (A single row is the newest of its sequence and has nothing ahead.)
    """
    queries, keys = query.shape[2], key.shape[2]
    if attention_mask is None and is_causal:
        return None
    kept = rows.used_slots.get(id(attention_mask))
    if kept is not None and kept[0] is attention_mask:
        return kept[1]
    first = min(keys - queries, int(rows.offset))
    used: Tensor | None = None
    if attention_mask is None:
        used = torch.arange(keys - first - 1, keys - first - 1 - queries, -1, device=query.device).view(1, 1, -1)
    elif isinstance(attention_mask, BlockMask):
        used = _count_ahead(allowed_keys(attention_mask), first)
    elif attention_mask.dim() == 4:
        used = _count_ahead(attention_mask, first)
    rows.used_slots[id(attention_mask)] = (attention_mask, used)
    return used


def _count_ahead(mask: Tensor, first: int) -> Tensor | None:
    """Count the allowed keys right of the diagonal that starts at column ``first``.

    ``mask`` is ``(batch, 1 or heads, queries, keys)``, bool or additive. Works on a few hundred rows at a time, so
    that a long prompt needs no second mask.
    """
    counts, blocks = [], False
    for start in range(0, mask.shape[2], _MASK_ROWS):
        part = mask[:, :, start : start + _MASK_ROWS]
        allowed = _allowed(part)
        ahead = allowed.triu(first + start + 1)
        own = first + start + torch.arange(part.shape[2], device=mask.device)
        if ahead.any():
            ahead = ahead & _attended(mask)[..., own].unsqueeze(-1)  # a padding row is no row
        if not ahead.any():
            counts.append(torch.zeros(part.shape[:3], dtype=torch.int64, device=mask.device))
            continue
        blocks = True
        counts.append(ahead.sum(-1))
        columns = torch.arange(mask.shape[3], device=mask.device)
        furthest = torch.where(ahead, columns, -1).amax(-1)
        if not torch.equal(torch.where(counts[-1] > 0, furthest - own, 0), counts[-1]):
            raise UnsupportedModelError(
                "the attention mask allows future tokens with gaps between them; registers are defined for causal "
                "masks and for bidirectional blocks"
            )
    return torch.cat(counts, dim=2) if blocks else None


def _allowed(mask: Tensor) -> Tensor:
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def _attended(mask: Tensor) -> Tensor:
    """Which columns some row reads, ``(batch, 1 or heads, keys)``, bool: all but padding."""
    parts = (_allowed(mask[:, :, start : start + _MASK_ROWS]).any(2) for start in range(0, mask.shape[2], _MASK_ROWS))
    return torch.stack(list(parts)).any(0)
