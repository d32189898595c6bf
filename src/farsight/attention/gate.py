"""The gate: registers on an unmodified attention kernel are one multiplication per row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class LayerGate(Protocol):
    """What one attention layer carries: how much of each row's attention is kept."""

    @property
    def index(self) -> int:
        """Which layer."""

    @property
    def score_scale(self) -> float:
        """Factor on the scores before the softmax."""

    def gate(
        self, lse: Tensor, query: Tensor, key: Tensor, attention_mask: Any, is_causal: bool, sink: Tensor | None
    ) -> Tensor:
        """Give the factor on each row, ``(batch, heads, queries)``, at least fp32; ``sink`` is the model's own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConstantLayerGate:
    """The same factor on every row: what registers are not, so a control for what they do.

    ``value`` is a number or ``(heads, 1)``.
    """

    index: int
    value: Tensor | float
    score_scale: float = 1.0

    def gate(
        self, lse: Tensor, query: Tensor, key: Tensor, attention_mask: Any, is_causal: bool, sink: Tensor | None
    ) -> Tensor:
        """See `LayerGate`."""
        value = self.value.to(lse) if isinstance(self.value, Tensor) else self.value
        own = torch.ones_like(lse) if sink is None else torch.sigmoid(lse - sink_of_rows(sink, lse))
        return own * value


def sink_of_rows(sink: Tensor, like: Tensor) -> Tensor:
    """A model's own sinks, ``(heads,)`` or ``(batch, heads, queries, 1)``, to be broadcast against rows."""
    return sink.to(like).reshape(1, -1, 1) if sink.dim() == 1 else sink.to(like).squeeze(-1)


def register_gate(lse: Tensor, log_mass: Tensor) -> Tensor:
    """Share of a row's attention that the registers leave to real tokens, ``Z / (Z + R)``.

    Parameters
    ----------
    lse
        Log-sum-exp of each row's allowed scores, ``(batch, heads, queries)``, at least fp32.
    log_mass
        ``log R`` of each row's registers, broadcast against ``lse``; very negative where a row has none.

    Returns
    -------
    Tensor
        In (0, 1], the shape of ``lse``; exactly 1 where there are no registers.
    """
    return torch.sigmoid(lse - log_mass)


def apply_gate(output: Tensor, gate: Tensor) -> Tensor:
    """Multiply attention output ``(batch, heads, queries, head_dim)`` by ``gate`` ``(batch, heads, queries)``.

    The product is rounded once, to the dtype of ``output``; outside of training it is taken in place.
    """
    gate = gate.unsqueeze(-1)
    if output.requires_grad:
        return (output * gate).to(output.dtype)
    return output.mul_(gate)
