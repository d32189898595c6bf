"""Checks of settings, in one wording for all methods: each raises SettingError and names the setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from farsight.errors import SettingError

MOST = 1e30
"""The largest number that a setting may be: what is made of it still is a number in fp32"""
MOST_WHOLE = 10**12
MOST_BEAMS = 1024


def is_number(value: object) -> TypeGuard[float]:
    """Whether this is a finite number that fp32 can go on with, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -MOST <= value <= MOST


def is_whole(value: object, least: int = 0) -> TypeGuard[int]:
    """Whether this is a whole number of at least ``least`` that a tensor can hold, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST_WHOLE


def shown(value: object) -> str:
    """A value as a message shows it: not more of it than a line holds."""
    try:
        text = repr(value)
    except ValueError:  # whole numbers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text)} characters)"


def check_positive(name: str, value: object) -> None:
    """Raise SettingError unless ``value`` is a finite number above 0."""
    if not is_number(value) or value <= 0:
        raise SettingError(f"{name} must be a finite number > 0, got {shown(value)}")


def check_strength(name: str, value: object) -> None:
    """Raise SettingError unless ``value`` is a finite number, 0 or more."""
    if not is_number(value) or value < 0:
        raise SettingError(f"{name} must be a finite number >= 0, got {shown(value)}")


def check_share(name: str, value: object) -> None:
    """Raise SettingError unless ``value`` is a number from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise SettingError(f"{name} must be a number from 0 to 1, got {shown(value)}")


def check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raise SettingError unless ``value`` is a whole number in this range."""
    if not is_whole(value, least) or (most is not None and value > most):
        limits = f", {least} or more" if most is None else f" from {least} to {most}"
        raise SettingError(f"{name} must be a whole number{limits}, got {shown(value)}")


def check_switch(name: str, value: object) -> None:
    """Raise SettingError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise SettingError(f"{name} must be True or False, got {shown(value)}")


def are_indices(value: object) -> bool:
    """Whether this is a tuple of one or more whole numbers >= 0."""
    return isinstance(value, tuple) and len(value) > 0 and all(map(is_whole, value))


def check_chosen(name: str, value: object) -> None:
    """Raise SettingError unless ``value`` is None (all layers, or all heads) or a tuple of indices."""
    if value is not None and not are_indices(value):
        raise SettingError(f"{name} must be None or whole numbers >= 0, got {shown(value)}")


def check_by_head(name: str, value: object) -> None:
    """Raise SettingError unless ``value`` is a number >= 0, one per layer, or one per layer and head."""
    rows = value if isinstance(value, tuple) else (value,)
    numbers = [number for row in rows for number in (row if isinstance(row, tuple) else (row,))]
    alike = len({len(row) if isinstance(row, tuple) else 0 for row in rows}) == 1
    if not (numbers and alike and all(is_number(number) and number >= 0 for number in numbers)):
        raise SettingError(
            f"{name} must be finite and >= 0, one number, one per layer or one per layer and head, got {shown(value)}"
        )


def of_heads(name: str, value: object, place: int, layers: int, heads: int) -> tuple[float, ...]:
    """What a setting that `check_by_head` has passed says of the heads of layer number ``place`` of ``layers``.

    Raises
    ------
    SettingError
        If it is for another number of layers or heads.
    """
    if isinstance(value, tuple):
        if len(value) != layers:
            raise SettingError(f"{name} has {len(value)} layers, this model has {layers}")
        value = value[place]
    row: tuple[float, ...] = value if isinstance(value, tuple) else (value,)
    if len(row) not in (1, heads):
        raise SettingError(f"{name} has {len(row)} heads, this model has {heads}")
    return row * (heads // len(row))


def as_tuples(value: object) -> object:
    """Lists, ranges, arrays and tensors as the nested tuples that a frozen setting holds; anything else as it is."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(as_tuples(item) for item in value)
    return value
