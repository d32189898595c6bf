"""Formulas for logits that several places share: tensors in, tensors out."""

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


def boosted(own: Tensor, first: Tensor, step: Tensor, gamma: float, rate: float, beta: float) -> Tensor:
    """First Logit Boosting: ``own + gamma * (1 - exp(-rate * step)) * first``, among plausible tokens.

    Ha et al., CVPR 2026. ``own`` and ``first`` are ``(..., vocabulary)``; ``step`` is ``(..., 1)``, the number of the
    token that is predicted, from 0.
    """
    weight = -gamma * torch.expm1(-rate * step.to(own.dtype))
    return plausible(own + weight * first, own, beta)
