"""Docstrings of attributes are sentences. Napoleon would take what stands before their first colon for a type."""

from sphinx.application import Sphinx

_ATTRIBUTES = {"attribute", "data", "property"}
_kept: dict[str, list[str]] = {}


def put_aside(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Hide an attribute's docstring from Napoleon."""
    if what in _ATTRIBUTES:
        _kept[name] = lines[:]
        lines.clear()


def put_back(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Give it back as it was written."""
    if what in _ATTRIBUTES:
        lines[:] = _kept.pop(name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", put_aside, priority=400)  # Napoleon has 500
    app.connect("autodoc-process-docstring", put_back, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
