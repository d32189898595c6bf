"""Methods of one instance, replaced for the length of a ``with`` block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(instance: object, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """Shadow a method on one instance; on leaving the instance has what it had, which is usually nothing."""
    attributes = vars(instance)
    before = {name: attributes[name]} if name in attributes else {}
    attributes[name] = replacement
    try:
        yield
    finally:
        attributes.pop(name, None)
        attributes.update(before)
