"""Registers at work: what they absorb, what a sigma could absorb here, what strength a wanted share takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from farsight.diagnose.diagnosis import Diagnosis, Floats
from farsight.registers import PAPER_SIGMA, log_register_mass

SIGMAS = (1.6, PAPER_SIGMA, 0.4, 0.2, 0.1, 0.05, 0.02, 0.01)
WANTED = (0.02, 0.05, 0.1)

_NO_REGISTERS = -1e20
"""Log masses below it stand for none at all."""
_HALVINGS = 48


def absorbed(found: Diagnosis) -> Floats:
    """Share of each row that registers took, ``(layers, heads, slots)``; 0 without registers.

    What the model's own sinks take is theirs: of a row's ``Z + S + R``, with sinks ``S``, registers take ``R``.
    """
    return np.asarray(1 - found.arrays["kept"] / found.arrays["own"])


def has_log_z(found: Diagnosis) -> bool:
    """Whether the rows' ``log Z`` are those of the model's own scores."""
    return bool(np.isfinite(found.arrays["lse"]).all())


def excess(found: Diagnosis, sigma: float) -> Tensor:
    """``log R - log Z`` of each row under the horizon "generation", ``(layers, heads, slots)``."""
    lse = torch.as_tensor(found.arrays["lse"], dtype=torch.float64)
    ahead = found.prompt_slots + found.max_new_tokens - 1 - torch.arange(lse.shape[-1], dtype=torch.float64)
    return log_register_mass(ahead, sigma) - lse


def shares_of_sigmas(found: Diagnosis, sigmas: Sequence[float] = SIGMAS, rows: slice = slice(None)) -> Floats:
    """Mean share that registers of each sigma would take of the rows seen, ``(sigmas, layers, heads)``.

    Rows are those of this diagnosis, all or some: what the registers of one layer change in the next is left out.
    """
    return np.stack([torch.sigmoid(excess(found, sigma))[..., rows].mean(-1).numpy() for sigma in sigmas])


def suggested_strength(found: Diagnosis, share: float, sigma: float = PAPER_SIGMA) -> Floats:
    """Strength with which each head's registers would take ``share`` of the rows seen, ``(layers, heads)``."""
    return np.asarray(log_strength_for_share(excess(found, sigma), share).exp().numpy())


def log_strength_for_share(excess: Tensor, share: float, measured: Tensor | None = None) -> Tensor:
    """Log of the factor on the registers with which rows give them a wanted share of their attention, on average.

    Solves ``mean_i sigmoid(x + log R_i - log Z_i) = share`` for ``x`` by bisection: the mean rises with ``x``.

    Parameters
    ----------
    excess
        ``log R_i - log Z_i`` of each row, ``(..., rows)``, at least fp32; very negative where a row has no registers.
    share
        The share of attention that the registers are to take, in (0, 1).
    measured
        Which rows count, broadcast against ``excess``; None for all. Rows without registers never do.

    Returns
    -------
    Tensor
        ``x``, ``(...)``; 0 where no row counts.
    """
    counts = excess > _NO_REGISTERS
    if measured is not None:
        counts = counts & measured
    rows = counts.sum(-1).to(excess.dtype)
    low = math.log(share) - math.log1p(-share) - torch.where(counts, excess, -torch.inf).amax(-1)
    high = math.log(share) - math.log1p(-share) - torch.where(counts, excess, torch.inf).amin(-1)
    low, high = (torch.where(rows > 0, bound, 0.0) for bound in (low, high))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        absorbed = torch.where(counts, torch.sigmoid(excess + middle.unsqueeze(-1)), 0.0).sum(-1)
        enough = absorbed >= share * rows
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return (low + high) / 2
