"""What ``--model_args`` says, taken apart: how to decode, and what the base model is made with."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any

from farsight.errors import SettingError
from farsight.files import parse_literal
from farsight.method import Method
from farsight.methods import METHODS, called, make_method
from farsight.methods.grammar import FILE, parse_method

_SETTINGS = {field.name for kind in METHODS.values() for field in fields(kind)}
"""Every setting of every method."""


def choose_base(name: object, known: Collection[str]) -> str:
    """Check the name of the base model.

    Parameters
    ----------
    name
        The value of ``base=``.
    known
        The names of lmms-eval's models.

    Raises
    ------
    SettingError
        If it is not given, or lmms-eval has no such model.
    """
    example = "such as base=llava_hf,pretrained=llava-hf/llava-1.5-7b-hf,method=farsight"
    if name is None:
        raise SettingError(f"--model_args names no base: give the model of lmms-eval that is to decode, {example}")
    base = str(name)
    if base not in known:
        near = difflib.get_close_matches(base, known, n=1)
        meant = f", did you mean '{near[0]}'?" if near else ""
        raise SettingError(f"lmms-eval has no model '{base}' to be the base{meant}; 'lmms-eval models' lists them")
    return base


def choose_method(
    text: object, arguments: Mapping[str, Any], base: str, make_base: Callable[..., Any]
) -> tuple[Method, dict[str, Any]]:
    """Make the method, and give the arguments that are left for the base model.

    A method's settings stand beside it (``method=farsight,sigma=0.8``) or in its brackets
    (``method='farsight(sigma=0.8, rows=generated)+beam'``); the quotes keep lmms-eval from cutting at the comma.

    Parameters
    ----------
    text
        The value of ``method=``.
    arguments
        All other arguments.
    base
        Name of the base model.
    make_base
        The base model's class.

    Raises
    ------
    SettingError
        If no method is given or it is unknown, or if an argument is neither the method's nor the base model's, or both.
    """
    if text is None:
        raise SettingError(
            f"--model_args names no method: add method=farsight, or one of {', '.join(map(called, METHODS))}"
        )
    written = str(text).strip().strip("'\"")
    takes, anything = _parameters(make_base)
    if "(" in written or "+" in written or written.startswith(FILE):
        _check(arguments, set(), base, takes, anything, written)
        return parse_method(written), dict(arguments)
    name = written
    own = {field.name for field in fields(METHODS[name])} if name in METHODS else set()
    settings = {key: _value(value) for key, value in arguments.items() if key in own}
    if both := sorted(settings.keys() & takes):
        raise SettingError(
            f"both method '{name}' and base '{base}' have '{both[0]}': write the method's as "
            f"method='{name}({both[0]}={arguments[both[0]]})'"
        )
    made = make_method(name, settings)
    left = {key: value for key, value in arguments.items() if key not in settings}
    _check(left, own, base, takes, anything, name)
    return made, left


def with_device_map(arguments: Mapping[str, Any], make_base: Callable[..., Any], accelerator: str) -> dict[str, Any]:
    """Fill in the device of a base model whose own default Transformers refuses: ``device_map=""``.

    In a run of several processes the empty one is kept: such models then place themselves.

    Parameters
    ----------
    arguments
        Of the base model.
    make_base
        The base model's class.
    accelerator
        The device of this machine, ``cuda`` or ``cpu``.
    """
    filled = dict(arguments)
    parameters = inspect.signature(make_base).parameters
    map_parameter = parameters.get("device_map")
    if map_parameter is None or map_parameter.default != "" or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return filled
    if "device" in parameters:
        filled.setdefault("device", filled.get("device_map", accelerator))
        if filled["device"] == "auto":
            filled["device"] = accelerator
    filled.setdefault("device_map", str(filled.get("device", accelerator)))
    return filled


def _check(
    arguments: Mapping[str, Any], own: Collection[str], base: str, takes: Collection[str], anything: bool, method: str
) -> None:
    """Refuse what neither the method nor the base model has."""
    for name in arguments:
        if name in takes:
            continue
        if name in _SETTINGS and ("(" in method or "+" in method):
            raise SettingError(f"method '{method}' takes its settings in brackets: write {name} there")
        if name in _SETTINGS:
            has = f"it has {', '.join(own)}" if own else "it has none"
            raise SettingError(f"method '{method}' has no setting '{name}'; {has}")
        near = difflib.get_close_matches(name, [*own, *takes], n=1)
        if not anything or (near and near[0] in own):
            meant = f", did you mean '{near[0]}'?" if near else ""
            raise SettingError(f"neither method '{method}' nor base '{base}' has '{name}'{meant}; leave it out")


def _parameters(make_base: Callable[..., Any]) -> tuple[set[str], bool]:
    """Names of a class's parameters, and whether it takes any others."""
    parameters = inspect.signature(make_base).parameters.values()
    named = {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    return named, any(one.kind is one.VAR_KEYWORD for one in parameters)


def _value(value: Any) -> Any:
    """lmms-eval reads numbers and truth values; lists such as ``[0,1]`` it leaves as text."""
    if not isinstance(value, str):
        return value
    return parse_literal(value.strip().strip("'\""))
