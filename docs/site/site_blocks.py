"""What only the site needs stands in comments of the Markdown, which a code host does not show: ``<!-- site ... -->``.

A page whose block says ``<!-- site instead`` is nothing but that block. In a block the line ``(all other pages)``
stands for the pages of the folder that the block's page does not name.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

_BLOCK = re.compile(r"^<!-- site\n(.*?)\n-->$", re.DOTALL | re.MULTILINE)
_WHOLE = re.compile(r"^<!-- site instead\n(.*?)\n-->$", re.DOTALL | re.MULTILINE)
_OTHERS = "(all other pages)"


def uncover(app: Sphinx, docname: str, source: list[str]) -> None:
    """Take the comment away from around what is for the site."""
    if whole := _WHOLE.search(source[0]):
        source[0] = whole[1]
    folder = Path(app.srcdir, docname).parent
    source[0] = _BLOCK.sub(lambda found: found[1].replace(_OTHERS, _others(folder, docname, source[0])), source[0])


def _others(folder: Path, docname: str, text: str) -> str:
    named = {Path(docname).name, *text.splitlines()}
    return "\n".join(page.stem for page in sorted(folder.glob("*.md")) if page.stem not in named)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", uncover)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
