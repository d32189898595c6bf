"""Registers at work: what they absorb, what a sigma could absorb here, what strength a wanted share takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from farsight.diagnose.diagnosis import Diagnosis, Floats
from farsight.registers import PAPER_SIGMA, log_register_mass, log_strength_for_share

SIGMAS = (1.6, PAPER_SIGMA, 0.4, 0.2, 0.1, 0.05, 0.02, 0.01)
WANTED = (0.02, 0.05, 0.1)


def absorbed(found: Diagnosis) -> Floats:
    """Share of each row that registers took, ``(layers, heads, slots)``; 0 without registers."""
    return np.asarray(1 - found.arrays["kept"])


def has_log_z(found: Diagnosis) -> bool:
    """Whether the rows' ``log Z`` are those of the model's own scores."""
    return bool(np.isfinite(found.arrays["lse"]).all())


def excess(found: Diagnosis, sigma: float) -> Tensor:
    """``log R - log Z`` of each row under the horizon "generation", ``(layers, heads, slots)``."""
    lse = torch.as_tensor(found.arrays["lse"], dtype=torch.float64)
    ahead = found.prompt_slots + found.max_new_tokens - 1 - torch.arange(lse.shape[-1], dtype=torch.float64)
    return log_register_mass(ahead, sigma) - lse


def shares_of_sigmas(found: Diagnosis, sigmas: Sequence[float] = SIGMAS) -> Floats:
    """Mean share that registers of each sigma would take of the rows seen, ``(sigmas, layers, heads)``.

    Rows are those of this diagnosis: what the registers of one layer change in the next is left out.
    """
    return np.stack([torch.sigmoid(excess(found, sigma)).mean(-1).numpy() for sigma in sigmas])


def suggested_strength(found: Diagnosis, share: float, sigma: float = PAPER_SIGMA) -> Floats:
    """Strength with which each head's registers would take ``share`` of the rows seen, ``(layers, heads)``."""
    return np.asarray(log_strength_for_share(excess(found, sigma), share).exp().numpy())
