"""What the values of a run's files look like: checked where they are read, so that nothing later meets another."""

from __future__ import annotations

import math
from typing import Any

_WORDS = {str: "text", bool: "true or false", int: "a whole number from 0 on", float: "a number", None: "null"}


def check(value: object, shape: Any, where: str = "") -> None:
    """Compare a value of JSON with a shape.

    Parameters
    ----------
    value
        The value, as it was read from a file.
    shape
        ``str``, ``bool``, ``int`` (from 0 on), ``float`` (finite) or None; a tuple of shapes, any of which will do; a
        list with the shape of each element; a mapping with the shape of each entry that has to be there, or of all
        entries under the key ``str``. A text in a tuple stands for itself.
    where
        What messages call the value.

    Raises
    ------
    ValueError
        If it has another one; the message says where.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise ValueError(f"{where or 'it'} is not an object")
        for key in value if str in shape else shape:
            name = f"{where}.{key}" if where else f"'{key}'"
            if key not in value:
                raise ValueError(f"there is no {name}")
            check(value[key], shape.get(key, shape.get(str)), name)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise ValueError(f"{where or 'it'} is not a list")
        for number, element in enumerate(value, start=1):
            check(element, shape[0], f"entry {number} of {where}")
    elif not any(_is(value, one) for one in (shape if isinstance(shape, tuple) else (shape,))):
        raise ValueError(f"{where or 'it'} is not {_told(shape)}")


def _is(value: object, shape: Any) -> bool:
    if shape is None or isinstance(shape, str):
        return bool(value == shape)
    if shape is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if shape is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, shape)


def _told(shape: Any) -> str:
    if isinstance(shape, tuple):
        return " or ".join(map(_told, shape))
    return f"'{shape}'" if isinstance(shape, str) else _WORDS[shape]
