"""The method as a file that every face takes, ``@method.yaml``, and in the forms that other engines take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import yaml

from farsight.errors import SettingError
from farsight.farsight import FarSight
from farsight.files import write
from farsight.method import Method, parts
from farsight.methods.foreign import source_of
from farsight.methods.grammar import label_of, parse_method
from farsight.methods.in_requests import tokens_of
from farsight.methods.in_vllm import additional_config
from farsight.methods.registry import settings_of

NAME = "method.yaml"
FOR_VLLM = "method_vllm.yaml"
"""Beside it where vLLM takes another: with ``horizon: infinite``."""


def write_method(path: Path, method: Method, *, comments: Sequence[str] = ()) -> None:
    """Write one method as `farsight.methods.grammar.read_methods` reads it, without settings that are the defaults.

    Raises
    ------
    SettingError
        If it would be read back as another: a composed method whose parts have tables of numbers.
    """
    heading = "".join(f"# {' '.join(line.split())}\n" for line in comments)
    write(path, [heading, yaml.safe_dump(_entry(method), sort_keys=False, allow_unicode=True)])
    if parse_method(f"@{path}") != method:
        raise SettingError(f"{path}: '{label_of(method)}' cannot be written in one line; write its parts by hand")


def _entry(method: Method) -> dict[str, Any]:
    if len(parts(method)) > 1:
        return {"method": label_of(method)}
    changed = {field.name for field in fields(method) if getattr(method, field.name) != field.default}
    settings = {name: value for name, value in settings_of(method).items() if name in changed}
    return {"method": _name(type(method))} | settings


def _name(kind: type[Method]) -> str:
    """A method's name, or the file and the class where it is no method by name."""
    if source_of(kind) is None:
        return kind.name
    file = sys.modules[kind.__module__].__file__
    assert file is not None
    return f"{Path(file).resolve()}:{kind.__name__}"


def in_vllm(method: Method) -> Method | None:
    """Give the method as vLLM takes it, which has no end of an answer: registers with the infinite horizon.

    None if vLLM does not take it. Another method than was measured where the horizon was another.
    """
    with suppress(SettingError):
        each = (replace(one, horizon="infinite") if type(one) is FarSight else one for one in parts(method))
        endless = reduce(add, each)
        return endless if additional_config(endless) else None
    return None


def forms(method: Method) -> dict[str, Any]:
    """Give the forms in which other engines take a method, where it has them.

    Returns
    -------
    ``vllm``: the ``additional_config`` of vLLM's plugin for what `in_vllm` gives. ``register_tokens``: how many tokens
    in front of the prompt it is, for a model that ``farsight export`` has written.
    """
    found: dict[str, Any] = {}
    if (endless := in_vllm(method)) is not None:
        found["vllm"] = additional_config(endless)
    with suppress(SettingError):
        found["register_tokens"] = tokens_of(label_of(method), method)
    return {name: form for name, form in found.items() if form}
