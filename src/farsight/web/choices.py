"""Which methods can be chosen on the page, and what its sliders set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from farsight.errors import SettingError
from farsight.method import Composed, Method
from farsight.methods import METHODS, called, make_method
from farsight.registers import PAPER_SIGMA

_NEEDS_MORE = ("farsight-released", "constant", "plausible", "shift", "adaiat", "verified")
"""The first works without the cache only, `adaiat` needs a file, and of `verified` there is no decoding to look at; the
others are controls."""
METHOD_NAMES = (*(called(name) for name in METHODS if name not in _NEEDS_MORE), "farsight+beam")
"""By name alone: no setting is read from a request, so none can name a file."""
MOST_SIGMA = 1.6
WHOLE_CALL = 0
"""Of the horizon's slider: the length of prompt and answer, as in the paper."""
MOST_HORIZON = 512


def number(name: str, value: Any, low: float, high: float) -> float:
    """Give a number from ``low`` to ``high``.

    Raises
    ------
    SettingError
        If it is none, whatever came instead.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingError(f"{name} must be a number from {low:g} to {high:g}")
    return float(value)


def chosen_method(name: Any, sigma: Any, horizon: Any, more: Mapping[str, Method] | None = None) -> Method:
    """Make a method by its name, with the sliders' settings where it has them.

    Parameters
    ----------
    name
        One of `METHOD_NAMES`, or a label of ``more``.
    sigma, horizon
        Values of the sliders.
    more
        Methods that are taken as they are, whatever the sliders say.

    Raises
    ------
    SettingError
        If there is no such method, or a value has no meaning.
    """
    if isinstance(name, str) and more and name in more:
        return more[name]
    if name not in METHOD_NAMES:
        raise SettingError(f"unknown method '{name}'; choose one of {', '.join((*METHOD_NAMES, *(more or ())))}")
    sigma, horizon = number("sigma", sigma, 0, MOST_SIGMA), number("horizon", horizon, WHOLE_CALL, MOST_HORIZON)
    made = [_set(make_method(part, {}), sigma, horizon) for part in name.split("+")]
    return made[0] if len(made) == 1 else Composed(methods=tuple(made))


def has_sliders(name: Any) -> bool:
    """Whether the sliders' settings are those of this method, or of one that it is made of."""
    parts = [METHODS[part] for part in str(name).split("+") if part in METHODS]
    return any(field.name == "sigma" for part in parts for field in fields(part))


def _set(method: Method, sigma: float, horizon: float) -> Method:
    has = {field.name for field in fields(method)}
    values: dict[str, Any] = {}
    if "sigma" in has and not math.isclose(sigma, PAPER_SIGMA, abs_tol=1e-6):
        values["sigma"] = sigma
    if "horizon" in has and horizon != WHOLE_CALL:
        values["horizon"] = int(horizon)
    return replace(method, **values) if values else method
