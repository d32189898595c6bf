"""Methods and their parameters, as people write them: ``farsight(sigma=0.1)+beam``, or in YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from farsight.errors import FarSightError, InputError, SettingError
from farsight.files import parse_literal, read_yaml, reading, told
from farsight.method import Composed, Method, parts
from farsight.methods.registry import called, find_method, make_method
from farsight.setting_checks import shown

FILE = "@"
"""In front of the name of a YAML file that has the methods."""
MOST_INDICES = 10_000
"""Layers or heads that a model could have."""
_NAME = re.compile(r"[\w-]+|[^()=,+]+\.py:\w+")
_INDICES = re.compile(r"\[?\s*\d+(\s*-\s*\d+)?(\s*,\s*\d+(\s*-\s*\d+)?)*\s*\]?", re.ASCII)
_BARE = re.compile(r"[\w./-][\w./' -]*(?<! )")
"""Texts that are read back without quotes."""


def parse_methods(text: str) -> dict[str, Method]:
    """Make methods of a list such as ``greedy, farsight(sigma=0.1, rows=generated), farsight+beam``, by their labels.

    ``@methods.yaml`` is what `read_methods` reads, alone or as one of the list.

    Raises
    ------
    SettingError
        If a name or a parameter is unknown (with a suggestion), a value has no meaning, methods cannot be composed, or
        a method is there twice.
    """
    if (path := _file(text)) and path.is_file():  # whose name may have a comma
        return read_methods(path)
    made: list[tuple[str, Method]] = []
    for part in _split(text):
        if path := _file(part):
            made += read_methods(path).items()
            continue
        with _understood(text):
            made.append(_parse_one(part))
    return _labelled(made)


def parse_method(text: str) -> Method:
    """Make one method, such as ``farsight(sigma=0.1)+beam``, or of a file with one; raises as `parse_methods` does."""
    if path := _file(text):
        return load_method(path)
    with _understood(text):
        return _parse_one(text)[1]


def load_method(path: str | Path) -> Method:
    """Make the one method of a YAML file, such as the ``method.yaml`` that ``farsight tune`` writes.

    Raises
    ------
    InputError
        If the file cannot be read or has no method.
    SettingError
        If it has several, or as `parse_methods`.
    """
    made = list(read_methods(Path(path)).values())
    if len(made) != 1:
        raise SettingError(f"{path}: has {len(made)} methods, and one is asked for; leave one in it")
    return made[0]


def read_methods(path: Path) -> dict[str, Method]:
    """Read methods from YAML: a list whose entries are a name, or a mapping with ``method`` and its parameters.

    One entry need not be in a list. An entry may have a ``label``, by which the method is called in tables.

    Raises
    ------
    InputError
        If the file cannot be read or is no such list.
    SettingError
        As `parse_methods`.
    """
    entries = read_yaml(path)
    if isinstance(entries, dict):
        entries = [entries] if "method" in entries else entries.get("methods")
    if not isinstance(entries, list) or not entries:
        raise InputError(
            f"{path}: expected a list of methods, such as '- greedy' and '- {{method: farsight, sigma: 0.1}}'"
        )
    made: list[tuple[str, Method]] = []
    for number, entry in enumerate(entries, start=1):
        where = f"{path}: entry {number}"
        try:
            with reading(where, "a method"):
                made.append(_read_entry(entry))
        except SettingError as error:
            raise SettingError(f"{where}: {error}") from error
    return _labelled(made)


def label_of(method: Method) -> str:
    """Call a method by its name and the parameters that are not its defaults; a composed one by those of its parts.

    `parse_method` reads it back, but for tables of many numbers, which are shown by their range.
    """
    if isinstance(method, Composed):
        return "+".join(label_of(part) for part in parts(method))
    values = {field.name: (getattr(method, field.name), field.default) for field in fields(method)}
    changed = [f"{name}={_written(value)}" for name, (value, default) in values.items() if value != default]
    return f"{method.name}({', '.join(changed)})" if changed else called(method.name)


def _written(value: Any) -> str:
    """A value as a person writes it: 0.8, and not 0.7999999999999999."""
    if isinstance(value, float):
        return str(float(f"{value:.12g}"))
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) and parse_literal(value) == value else repr(value)
    if not isinstance(value, tuple):
        return str(value)
    if len(value) > 2 and isinstance(value[0], int) and value == tuple(range(value[0], value[0] + len(value))):
        return f"{value[0]}-{value[-1]}"
    if any(isinstance(row, tuple) for row in value):
        numbers = [number for row in value for number in (row if isinstance(row, tuple) else (row,))]
        if len(numbers) > 4:
            return f"{len(numbers)} from {min(numbers):.3g} to {max(numbers):.3g}"
    return f"[{', '.join(_written(item) for item in value)}]"


def _file(text: str) -> Path | None:
    """The file that is named in place of a method."""
    if not text.strip().startswith(FILE):
        return None
    if not (name := text.strip().removeprefix(FILE).strip()):
        raise SettingError(f"'{FILE}' names no file; write it like {FILE}method.yaml")
    return Path(name).expanduser()


def _made(name: str, settings: dict[str, Any]) -> tuple[str, Method]:
    lists = {
        field.name for field in fields(find_method(name)) if "tuple[int, ...]" in str(field.type)
    } & settings.keys()
    method = make_method(name, settings | {setting: _indices(setting, settings[setting]) for setting in lists})
    return label_of(method), method


def _indices(name: str, value: Any) -> Any:
    """``0-3``, ``[0, 5-7]`` and ``2`` as the indices that they mean; anything else as it is.

    Raises
    ------
    SettingError
        If a range has no index, or more than any model.
    """
    if isinstance(value, bool) or not isinstance(value, int | str) or not _INDICES.fullmatch(str(value).strip()):
        return value
    chosen: set[int] = set()
    for part in str(value).strip().strip("[]").split(","):
        first, _, last = part.partition("-")
        ends = [end.strip() for end in (first, last or first)]
        if any(len(end) > len(str(MOST_INDICES)) or int(end) > MOST_INDICES for end in ends):
            raise SettingError(f"{name}={shown(value)} is longer than any model; write it like 0-3 or [0, 1]")
        if int(ends[1]) < int(ends[0]):
            raise SettingError(f"{name}={shown(value)} ends before it starts; write it like 0-3 or [0, 1]")
        chosen.update(range(int(ends[0]), int(ends[1]) + 1))
    return tuple(sorted(chosen))


@contextmanager
def _understood(text: str) -> Iterator[None]:
    """Whatever a method says of a value that it did not expect becomes one line."""
    try:
        yield
    except FarSightError:
        raise
    except Exception as error:
        raise SettingError(f"'{text.strip()}' has no meaning ({told(error)}); correct it") from error


def _read_entry(entry: object) -> tuple[str, Method]:
    if isinstance(entry, str):
        return _parse_one(entry)
    if not isinstance(entry, dict) or not isinstance(entry.get("method"), str):
        raise ValueError("it is neither a name nor a mapping with 'method'")
    if odd := [key for key in entry if not isinstance(key, str)]:
        raise ValueError(f"{odd[0]!r} is not the name of a setting; quote it if it is one")
    label = entry.get("label")
    if label is not None and (isinstance(label, bool) or not isinstance(label, str | int | float) or label == ""):
        raise ValueError(f"its label is {label!r}, not text")
    settings = {key: value for key, value in entry.items() if key not in ("method", "label")}
    made, method = _entry(entry["method"], settings)
    return made if label is None else str(label), method


def _entry(name: str, settings: dict[str, Any]) -> tuple[str, Method]:
    """A mapping's method with its parameters; one that is written with brackets or "+" has them there."""
    if _NAME.fullmatch(name.strip()):
        return _made(name.strip(), settings)
    if settings:
        raise SettingError(f"'{name}' takes its parameters in brackets, such as farsight(sigma=0.1)+beam")
    return _parse_one(name)


def _parse_one(text: str) -> tuple[str, Method]:
    if text.strip().startswith("+") or text.strip().endswith("+"):
        raise SettingError(f"'{text.strip()}' starts or ends with nothing; write it like farsight+beam")
    alone = [_parse_part(part) for part in _split(text, "+")] or [_parse_part(text)]
    if len(alone) == 1:
        return alone[0]
    method = Composed(methods=tuple(method for _, method in alone))
    return label_of(method), method


def _parse_part(text: str) -> tuple[str, Method]:
    name, bracket, rest = text.strip().partition("(")
    name = name.rstrip()
    if not _NAME.fullmatch(name) or (bracket and not rest.endswith(")")):
        raise SettingError(
            f"'{text.strip()}' is not a method; write it like farsight, farsight(sigma=0.1) or farsight+beam"
        )
    settings: dict[str, Any] = {}
    for part in _split(rest.removesuffix(")")):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals:
            raise SettingError(f"'{part.strip()}' in '{text.strip()}' is not a parameter; write it like sigma=0.1")
        if key in settings:
            raise SettingError(f"'{text.strip()}' has {key} twice; leave one out")
        settings[key] = parse_literal(value.strip())
    return _made(name, settings)


def _split(text: str, at: str = ",") -> list[str]:
    """Cut at commas, or at another letter, outside of brackets and quotes."""
    pieces, start, depth, quote, before, escaped = [], 0, 0, "", "", False
    for position, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and not escaped else quote
            escaped = letter == "\\" and not escaped
        elif letter in "'\"" and before in "=([,":  # where a value begins; elsewhere it is an apostrophe
            quote = letter
        elif letter == at and depth == 0:
            pieces.append(text[start:position])
            start = position + 1
        else:
            depth += (letter in "([") - (letter in ")]")
        before = before if letter.isspace() else letter
    return [piece for piece in (*pieces, text[start:]) if piece.strip()]


def _labelled(made: list[tuple[str, Method]]) -> dict[str, Method]:
    methods: dict[str, Method] = {}
    for label, method in made:
        if label in methods:
            raise SettingError(f"method '{label}' is given twice; leave one out or give it a label")
        methods[label] = method
    if not methods:
        raise SettingError("no methods are given; write them like greedy,farsight")
    return methods
