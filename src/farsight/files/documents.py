"""Documents that are read as a whole: JSON, TOML, YAML, and values as Python writes them.

A small file can stand for a huge value: nested a thousand deep, a number of a million digits, an alias of an alias of
an alias. Nobody writes such a thing by hand, and each is refused here, so that no reader has to think of it.
"""

from __future__ import annotations

import ast
import json
import tomllib
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from farsight.files.opening import MOST_DOCUMENT, MOST_WRITTEN, read_text, reading

MOST_DEPTH = 100
"""Levels of lists and tables in each other."""
MOST_DIGITS = 100
"""Of a whole number: one with fewer is also a floating-point number."""
MOST_POINTS = 1000
"""In a line of TOML. Python's parser takes memory with the square of the points in a key."""
_SPACES = " \t\r\n"
MOST_PARTS = 100_000
"""Of a YAML document, each counted as often as aliases repeat it."""


def parse_json(text: str, where: str | Path, remedy: str = "") -> Any:
    """Understand a JSON document.

    Parameters
    ----------
    text
        The document.
    where
        What to call it: its file, its file and line, or its option.
    remedy
        What to do if it is damaged; to correct it, by default.

    Raises
    ------
    InputError
        If it is not JSON, or nested more than `MOST_DEPTH` deep, or has a number of more than `MOST_DIGITS` digits.
    """
    with reading(where, "JSON", remedy):
        return decode_json(text)


def read_json(path: str | Path, remedy: str = "get it again") -> Any:
    """Read a file that is one JSON document; raises as `parse_json` and as `farsight.files.opening.read_text`."""
    return parse_json(read_text(path, MOST_DOCUMENT, remedy), path, remedy)


def read_toml(path: str | Path, remedy: str = "") -> dict[str, Any]:
    """Read a TOML file; raises as `read_json`."""
    text = read_text(path, MOST_WRITTEN, remedy)
    with reading(path, "valid TOML", remedy):
        if max(line.count(".") for line in text.split("\n")) > MOST_POINTS:
            raise ValueError(f"a line has more than {MOST_POINTS} points")
        return dict(bounded(tomllib.loads(text)))


def read_yaml(path: str | Path, remedy: str = "") -> Any:
    """Read a YAML file of plain values; raises as `read_json`, and if aliases repeat too much."""
    text = read_text(path, MOST_WRITTEN, remedy)
    with reading(path, "valid YAML", remedy):
        loader = yaml.SafeLoader(text)
        try:
            if (root := loader.get_single_node()) is None:
                return None
            if _parts(root, {}) > MOST_PARTS:
                raise ValueError(f"its aliases stand for more than {MOST_PARTS} values")
            return bounded(loader.construct_document(root))
        finally:
            loader.dispose()


def parse_literal(text: str) -> Any:
    """Give the value that a text means in Python, such as ``0.1``, ``[0, 1]`` or ``None``.

    What means none, is nested too deeply or has too many digits is a text: whoever wanted something else refuses it.
    """
    if len(text) > MOST_WRITTEN:
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, on "1if 1else 2"
            return bounded(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, RecursionError, OverflowError, MemoryError):
        return text


def decode_json(text: str) -> Any:
    """Give what a JSON text means.

    Raises
    ------
    json.JSONDecodeError
        If it means nothing, or more than one value.
    RecursionError, OverflowError
        As `bounded`.
    """
    value, end = decode_json_at(text, len(text) - len(text.lstrip(_SPACES)))
    if text[end:].strip(_SPACES):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def decode_json_at(text: str, start: int) -> tuple[Any, int]:
    """Give the JSON value that begins at ``start``, and where it ends; raises as `decode_json`."""
    value, end = _DECODER.raw_decode(text, start)
    if text.count("[", start, end) + text.count("{", start, end) > MOST_DEPTH:
        bounded(value)
    return value, end


def _whole_number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise OverflowError(f"more than {MOST_DIGITS} digits")
    return int(digits)


_DECODER = json.JSONDecoder(parse_int=_whole_number)


def bounded(value: Any) -> Any:
    """Give back a value that is not nested too deeply and has no number of too many digits.

    Raises
    ------
    RecursionError
        If it has too many levels.
    OverflowError
        If it has a number of too many digits.
    """
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise RecursionError(f"more than {MOST_DEPTH} levels")
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one
                below += one.values()
            elif isinstance(one, list | tuple | set | frozenset):
                below += one
            elif isinstance(one, int) and abs(one) >= 10**MOST_DIGITS:
                raise OverflowError(f"more than {MOST_DIGITS} digits")
        level = below
    return value


def _parts(node: Any, known: dict[int, float]) -> float:
    """How many values a node stands for; infinitely many if it is in itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
            names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            if twice := [name for name, count in names.items() if count > 1]:
                raise ValueError(f"'{twice[0]}' is there twice")
        else:
            inner = node.value if isinstance(node, yaml.SequenceNode) else []
        known[id(node)] = 1 + sum(_parts(part, known) for part in inner)
    return known[id(node)]
