"""The gate: registers on an unmodified attention kernel are one multiplication per row."""

from __future__ import annotations

import torch
from torch import Tensor


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
