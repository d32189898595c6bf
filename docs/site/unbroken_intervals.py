"""In a table a value and its interval take two lines and no more: `[-5.9, +1.1]` is not broken."""

import re

from sphinx.application import Sphinx

_INTERVAL = re.compile(r"\[([+-]?[\d.]+), ([+-]?[\d.]+)\]")
_ROW = re.compile(r"^\|.*$", re.MULTILINE)


def unbroken(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put a space that does not break into each interval of a page's tables."""
    source[0] = _ROW.sub(lambda row: _INTERVAL.sub("[\\1,\N{NO-BREAK SPACE}\\2]", row[0]), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", unbroken)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
