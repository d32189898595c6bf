"""Pieces of HTML. Whatever comes from a model, a file or a visitor is escaped."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import jinja2

_INERT = str.maketrans({letter: f"&#{ord(letter)};" for letter in "{}$`\\"})
"""What page templates of the browser's side could take for their own."""


def fragment(name: str, /, **values: Any) -> str:
    """Fill in the template of this name."""
    return _environment().get_template(f"{name}.html").render(**values).translate(_INERT)


def text_of(name: str) -> str:
    """Give a file of this package, such as its style sheet."""
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    def source(name: str) -> str:
        return text_of(f"templates/{name}")

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
