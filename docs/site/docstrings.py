"""Docstrings as this project writes them: attributes have sentences, and what nobody wrote is not shown."""

from docutils import nodes
from sphinx.application import Sphinx

_ATTRIBUTES = {"attribute", "data", "property"}
_NOBODYS = "Alias for field number"
"""What Python itself writes for the fields of named tuples."""
_kept: dict[str, list[str]] = {}


def put_aside(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Hide an attribute's docstring from Napoleon, which takes what stands before its first colon for a type."""
    if what in _ATTRIBUTES:
        _kept[name] = [line for line in lines if not line.startswith(_NOBODYS)]
        lines.clear()


def put_back(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Give it back as it was written."""
    if what in _ATTRIBUTES:
        lines[:] = _kept.pop(name)


def draw_dashes(app: Sphinx, doctree: nodes.document) -> None:
    """Write the dash between a parameter and its text, which Sphinx leaves to the smart quotes that are off here."""
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", put_aside, priority=400)  # Napoleon has 500
    app.connect("autodoc-process-docstring", put_back, priority=600)
    app.connect("doctree-read", draw_dashes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
