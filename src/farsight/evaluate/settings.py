"""Methods and their parameters, as people write them: ``farsight(sigma=0.1)+beam``, or in YAML."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import yaml

from farsight.errors import InputError, SettingError
from farsight.method import Composed, Method, parts
from farsight.methods import changed_settings, make_method

GREEDY = "greedy"
"""Another name for plain decoding, as tables have it."""
_ONE = re.compile(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*", re.DOTALL)


def parse_methods(text: str) -> dict[str, Method]:
    """Make methods of a list such as ``greedy, farsight(sigma=0.1, rows=generated), farsight+beam``, by their labels.

    Raises
    ------
    SettingError
        If a name or a parameter is unknown (with a suggestion), a value has no meaning, methods cannot be composed, or
        a method is there twice.
    """
    return _labelled([_parse_one(part) for part in _split(text)])


def parse_method(text: str) -> Method:
    """Make one method, such as ``farsight(sigma=0.1)+beam``; raises as `parse_methods` does."""
    return _parse_one(text)[1]


def read_methods(path: Path) -> dict[str, Method]:
    """Read methods from YAML: a list whose entries are a name, or a mapping with ``method`` and its parameters.

    An entry may have a ``label``, by which the method is called in tables.

    Raises
    ------
    InputError
        If the file cannot be read or is no such list.
    SettingError
        As `parse_methods`.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    if isinstance(entries, dict):
        entries = entries.get("methods")
    if not isinstance(entries, list) or not entries:
        raise InputError(
            f"{path}: expected a list of methods, such as '- greedy' and '- {{method: farsight, sigma: 0.1}}'"
        )
    made: list[tuple[str, Method]] = []
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, str):
            made.append(_parse_one(entry))
        elif isinstance(entry, dict) and isinstance(entry.get("method"), str):
            settings = {key: value for key, value in entry.items() if key not in ("method", "label")}
            label, method = _entry(entry["method"], settings)
            made.append((str(entry.get("label") or label), method))
        else:
            raise InputError(f"{path}: entry {number} is neither a name nor a mapping with 'method'")
    return _labelled(made)


def label_of(name: str, method: Method) -> str:
    """Call a method by its name and the parameters that are not its defaults; a composed one by those of its parts."""
    if isinstance(method, Composed):
        return "+".join(label_of(part.name, part) for part in parts(method))
    changed = changed_settings(method)
    return f"{name}({changed})" if changed else name


def _made(name: str, settings: dict[str, Any]) -> Method:
    return make_method("plain" if name == GREEDY else name, settings)


def _entry(name: str, settings: dict[str, Any]) -> tuple[str, Method]:
    """A mapping's method with its parameters; one that is written with brackets or "+" has them there."""
    if _ONE.fullmatch(name) and "(" not in name:
        method = _made(name, settings)
        return label_of(name, method), method
    if settings:
        raise SettingError(f"'{name}' takes its parameters in brackets, such as farsight(sigma=0.1)+beam")
    return _parse_one(name)


def _parse_one(text: str) -> tuple[str, Method]:
    if text.strip().startswith("+") or text.strip().endswith("+"):
        raise SettingError(f"'{text.strip()}' starts or ends with nothing; write it like farsight+beam")
    alone = [_parse_part(part) for part in _split(text, "+")]
    if len(alone) == 1:
        return alone[0]
    method = Composed(methods=tuple(method for _, method in alone))
    return label_of(method.name, method), method


def _parse_part(text: str) -> tuple[str, Method]:
    found = _ONE.fullmatch(text)
    if found is None:
        raise SettingError(
            f"'{text.strip()}' is not a method; write it like farsight, farsight(sigma=0.1) or farsight+beam"
        )
    settings: dict[str, Any] = {}
    for part in _split(found[2] or ""):
        key, equals, value = part.partition("=")
        if not equals:
            raise SettingError(f"'{part.strip()}' in '{text.strip()}' is not a parameter; write it like sigma=0.1")
        settings[key.strip()] = _value(value.strip())
    method = _made(found[1], settings)
    return label_of(found[1], method), method


def _split(text: str, at: str = ",") -> list[str]:
    """Cut at commas outside of brackets, or at another letter."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == at and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return [piece for piece in pieces if piece.strip()]


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _labelled(made: list[tuple[str, Method]]) -> dict[str, Method]:
    methods: dict[str, Method] = {}
    for label, method in made:
        if label in methods:
            raise SettingError(f"method '{label}' is given twice; leave one out or give it a label")
        methods[label] = method
    if not methods:
        raise SettingError("no methods are given; write them like greedy,farsight")
    return methods
