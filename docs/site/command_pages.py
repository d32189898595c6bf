"""The page `commands.md` gets the help of every command, as Typer writes it."""

import re

from sphinx.application import Sphinx
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from farsight.cli import app as commands

_MARK = "<!-- the commands -->"
_EXAMPLE = re.compile(r"^(Examples?: )?(farsight .+)$", re.MULTILINE)


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the help of all commands where the page says so."""
    if _MARK in source[0]:
        group = get_command(commands)
        text = get_docs_for_click(obj=group, ctx=Context(group, info_name="farsight"), name="farsight")
        each = text[text.index("\n## ") :]  # what the group has for itself is the page's own introduction
        source[0] = source[0].replace(_MARK, _EXAMPLE.sub(r"\1`\2`", each))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
