"""The mathematics of attention registers: tensors in, tensors out.

Row ``i`` of a causal attention matrix has one register in every future slot; the register ``k`` slots ahead scores
``-k * sigma`` (FarSight, eq. 1-3). After the softmax the registers are erased (eq. 4). What is left of a row is::

    output_i = sigmoid(lse_i - log R_i) * attention_i,    R_i = sum_{k=1}^{m_i} exp(-k * sigma)

with ``attention_i`` the unchanged causal attention, ``lse_i`` the log of its softmax denominator and ``m_i`` the
number of future slots. This module computes ``log R_i`` and the gate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAST_SIGMA = 1e-6
"""Below it a register and the next one score the same in fp32: registers without decay say that better"""
PAPER_SIGMA = 0.8
"""Decay rate of the paper: ``log_alpha(seq)`` with ``seq = 256`` and ``alpha = 1024``."""


def log_register_mass(future: Tensor, sigma: Tensor | float) -> Tensor:
    """Log of the summed exponentials of linearly decaying registers (FarSight, eq. 1-3, in closed form).

    Parameters
    ----------
    future
        Number of register slots ``m``, any shape; negative counts as 0 and ``inf`` is the infinite horizon.
    sigma
        Decay per slot, > 0, broadcast against ``future`` (for instance ``(heads, 1)`` against ``(queries,)``).

    Returns
    -------
    Tensor
        ``log((1 - exp(-sigma * m)) / (exp(sigma) - 1))`` in the dtype of ``future``: exactly ``-inf`` for 0 slots
        and ``-sigma`` for one.
    """
    sigma = torch.as_tensor(sigma, dtype=future.dtype, device=future.device)
    absorbed = torch.log(-torch.expm1(-sigma * future.clamp(min=0)))
    return (absorbed - torch.log(-torch.expm1(-sigma))) - sigma  # in this order one slot is exact


def log_constant_mass(future: Tensor, constant: float) -> Tensor:
    """Log mass of registers that all score ``constant``: ``log(m) + constant`` (the paper's ablation, figure 5)."""
    return torch.log(future.clamp(min=0)) + constant


def log_profile_mass(future: Tensor, profile: str | float, sigma: Tensor | float, used: Tensor | None = None) -> Tensor:
    """Log mass of one row's registers under a profile of the paper's ablation (figure 5).

    Parameters
    ----------
    future
        Number of slots ahead of each row, any shape; ``inf`` for the infinite horizon.
    profile
        ``"linear"`` (the method), ``"none"`` (plain causal attention) or a number: registers without decay.
    sigma
        Decay per slot of the linear profile, broadcast against ``future``.
    used
        How many of the slots directly ahead the model's own mask already attends to (a bidirectional image
        block), broadcast against ``future``. They hold no register.
    """
    free = future if used is None else future - used
    if profile == "none":
        return torch.full_like(free, -math.inf)
    if profile == "linear":
        mass = log_register_mass(free, sigma)
        return mass if used is None else mass - used * sigma
    return log_constant_mass(free, float(profile))


def alibi_slopes(heads: int) -> Tensor:
    """ALiBi's slopes (Press et al., 2022), shape ``(heads,)``: head ``h`` of ``H`` has ``2 ** (-8 * (h + 1) / H)``.

    For ``H`` that is no power of two: the slopes of the next lower power, then every second one of the next higher.
    """
    lower = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8 * (h + 1) / lower) for h in range(lower)]
    slopes += [2.0 ** (-4 * (2 * h + 1) / lower) for h in range(heads - lower)]
    return torch.tensor(slopes, dtype=torch.float32)


def token_positions(attention_mask: Tensor) -> Tensor:
    """Index of every slot among the real tokens of its sequence; padding in front has -1.

    Shapes: ``attention_mask`` ``(batch, slots)``, nonzero where a token is real -> ``(batch, slots)``, int64.
    """
    return attention_mask.ne(0).cumsum(-1) - 1


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
