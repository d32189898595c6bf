"""The formula that contrastive methods share: move away from a second distribution, among plausible tokens only."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from farsight.errors import SettingError


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


def check_strength(name: str, value: object) -> None:
    """Raise SettingError unless ``value`` is a finite number, 0 or more."""
    if not _is_number(value) or not math.isfinite(value) or value < 0:  # type: ignore[arg-type, operator]
        raise SettingError(f"{name} must be a finite number, 0 or more, got {value!r}")


def check_share(name: str, value: object) -> None:
    """Raise SettingError unless ``value`` is a number from 0 to 1."""
    if not _is_number(value) or not 0 <= value <= 1:  # type: ignore[operator]
        raise SettingError(f"{name} must be a number from 0 to 1, got {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
