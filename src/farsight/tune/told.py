"""What methods are called where people read of them; files have their labels."""

from __future__ import annotations

import re

from farsight.errors import SettingError
from farsight.register_tokens import nearest, sigma_of

_ENDLESS = re.compile(r"farsight\(sigma=([0-9.e+-]+), horizon=infinite\)")


def told(label: str) -> str:
    """Say what a method is: ``10 register tokens`` for the label that so many tokens have, and any other label itself.

    Only the label that `label_of_tokens` gives is such a one, so that two labels are never told as the same.
    """
    found = _ENDLESS.fullmatch(label)
    try:
        tokens = nearest(float(found[1])).tokens if found else 0
    except (SettingError, ValueError):
        tokens = 0
    if not tokens or label != label_of_tokens(tokens):
        return label
    return "1 register token" if tokens == 1 else f"{tokens} register tokens"


def label_of_tokens(tokens: int) -> str:
    """Give the label of FarSight as so many tokens in front of the prompt."""
    return f"farsight(sigma={sigma_of(tokens):.6g}, horizon=infinite)"
