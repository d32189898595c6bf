"""Checks that the settings of rivals share."""

from __future__ import annotations

import math

from farsight.errors import SettingError


def check_strength(name: str, value: object) -> None:
    """Raise SettingError unless ``value`` is a finite number, 0 or more."""
    if not _is_number(value) or not math.isfinite(value) or value < 0:  # type: ignore[arg-type, operator]
        raise SettingError(f"{name} must be a finite number, 0 or more, got {value!r}")


def check_share(name: str, value: object) -> None:
    """Raise SettingError unless ``value`` is a number from 0 to 1."""
    if not _is_number(value) or not 0 <= value <= 1:  # type: ignore[operator]
        raise SettingError(f"{name} must be a number from 0 to 1, got {value!r}")


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Raise SettingError unless ``value`` is a whole number in this range."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SettingError(f"{name} must be a whole number from {least} to {most}, got {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
