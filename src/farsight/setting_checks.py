"""Settings of frozen dataclasses: each says beside its default what it may be, in one wording for all.

::

    sigma: float = setting(0.8, check_positive)
    horizon: int | str = setting("generation", one_of("generation", "infinite") | whole(1))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeGuard

from farsight.errors import SettingError

MOST = 1e30
"""The largest number that a setting may be: what is made of it still is a number in fp32"""
MOST_WHOLE = 10**12
MOST_BEAMS = 1024


@dataclass(frozen=True)
class Check:
    """What a setting may be: ``check(name, value)`` raises SettingError, and names the setting, where it does not fit.

    ``this | that`` is what fits either.
    """

    said: str
    fits: Callable[[object], bool]

    def __call__(self, name: str, value: object) -> None:
        if not self.fits(value):
            raise SettingError(f"{name} must be {self.said}, got {shown(value)}")

    def __or__(self, other: Check) -> Check:
        return Check(f"{self.said} or {other.said}", lambda value: self.fits(value) or other.fits(value))


def setting(default: Any, *checks: Check) -> Any:
    """A field of a dataclass, for `check_settings`."""
    return field(default=default, metadata={"checks": checks})


def check_settings(settings: Any) -> None:
    """Check every `setting` of a dataclass; what was given as a list or an array is a tuple afterwards.

    Raises
    ------
    SettingError
        If a value does not fit; the message names the setting.
    """
    for one in fields(settings):
        object.__setattr__(settings, one.name, as_tuples(getattr(settings, one.name)))
        for check in one.metadata.get("checks", ()):
            check(one.name, getattr(settings, one.name))


def is_number(value: object) -> TypeGuard[float]:
    """Whether this is a finite number that fp32 can go on with, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -MOST <= value <= MOST


def is_whole(value: object, least: int = 0) -> TypeGuard[int]:
    """Whether this is a whole number of at least ``least`` that a tensor can hold, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST_WHOLE


def are_indices(value: object) -> bool:
    """Whether this is a tuple of one or more whole numbers >= 0."""
    return isinstance(value, tuple) and len(value) > 0 and all(map(is_whole, value))


def is_by_head(value: object) -> bool:
    """Whether this is a number >= 0, one per layer, or one per layer and head."""
    rows = value if isinstance(value, tuple) else (value,)
    numbers = [number for row in rows for number in (row if isinstance(row, tuple) else (row,))]
    alike = len({len(row) if isinstance(row, tuple) else 0 for row in rows}) == 1
    return bool(numbers) and alike and all(is_number(number) and number >= 0 for number in numbers)


check_number = Check("a finite number", is_number)
check_positive = Check("a finite number > 0", lambda value: is_number(value) and value > 0)
check_strength = Check("a finite number >= 0", lambda value: is_number(value) and value >= 0)
check_share = Check("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
check_switch = Check("True or False", lambda value: isinstance(value, bool))
check_indices = Check("whole numbers >= 0", are_indices)
check_chosen = Check("None", lambda value: value is None) | check_indices
"""All layers, or all heads, or those with these indices"""
check_token_ids = Check("token ids", lambda value: isinstance(value, tuple) and all(map(is_whole, value)))
check_by_head = Check("finite and >= 0, one number, one per layer or one per layer and head", is_by_head)


def at_least(least: float) -> Check:
    """A number of ``least`` or more."""
    return Check(f"at least {least}", lambda value: is_number(value) and value >= least)


def whole(least: int, most: int | None = None) -> Check:
    """A whole number in this range."""
    limits = f", {least} or more" if most is None else f" from {least} to {most}"
    return Check(f"a whole number{limits}", lambda value: is_whole(value, least) and (most is None or value <= most))


def one_of(*values: str | None) -> Check:
    """Check that a value is one of these."""
    said = f"one of {', '.join(map(str, values))}"
    return Check(said, lambda value: isinstance(value, str | None) and value in values)


def check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raise SettingError unless ``value`` is a whole number in this range."""
    whole(least, most)(name, value)


def shown(value: object) -> str:
    """A value as a message shows it: not more of it than a line holds."""
    try:
        text = repr(value)
    except ValueError:  # whole numbers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text)} characters)"


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
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(as_tuples(item) for item in value)
    return value
