"""The formula that contrastive methods share: move away from a second distribution, among plausible tokens only."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def contrast(own: Tensor, other: Tensor, alpha: float) -> Tensor:
    """Contrast logits: ``(1 + alpha) * own - alpha * other``."""
    return (1 + alpha) * own - alpha * other


def plausible(logits: Tensor, own: Tensor, beta: float) -> Tensor:
    """Set to -inf the tokens that the model itself finds implausible: ``own < log(beta) + max(own)``.

    The adaptive plausibility constraint of contrastive decoding (Li et al., ACL 2023): a token stays if the model gives
    it at least ``beta`` times the probability of its best token. ``beta = 0`` keeps all.
    """
    if beta == 0.0:
        return logits
    return logits.masked_fill(own < math.log(beta) + own.max(dim=-1, keepdim=True).values, -torch.inf)
