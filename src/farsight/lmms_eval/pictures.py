"""Pictures of a task go the way of every other picture: a task opens them, and hands some on as they were stored."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from PIL import Image

from farsight.images import as_opened


def as_every_face_has_them(value: Any) -> Any:
    """What a function of a task makes, with the pictures in it as `farsight.images.open_image` gives them."""
    if isinstance(value, Image.Image):
        return as_opened(value)
    if isinstance(value, dict):
        return {key: as_every_face_has_them(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(as_every_face_has_them, value))
    return value


def with_pictures_opened(argument: Any) -> Any:
    """An argument of a request; of a function, which makes pictures of a document, one that opens them alike."""
    if not callable(argument):
        return argument
    function: Callable[..., Any] = argument

    @wraps(function)
    def opened(*args: Any, **kwargs: Any) -> Any:
        return as_every_face_has_them(function(*args, **kwargs))

    return opened
