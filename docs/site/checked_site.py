"""The built pages are read again: a link that leads nowhere, or anything fetched from another host, fails the build."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.errors import SphinxError

_LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
}
_LOADING_LINKS = {"stylesheet", "preload", "preconnect", "dns-prefetch", "icon", "modulepreload", "prefetch"}
_IN_STYLES = re.compile(r"""url\(\s*['"]?((?:https?:)?//[^'")]+)|@import\s+['"]((?:https?:)?//[^'"]+)""")


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        found = {name: value for name, value in attributes if value}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        if tag == "link" and _LOADING_LINKS & set(found.get("rel", "").split()):
            self.loads.add(found["href"])
        if tag in _LOADED and _LOADED[tag] in found:
            self.loads.add(found[_LOADED[tag]])


def check(app: Sphinx, exception: Exception | None) -> None:
    """Raise an error that names everything wrong with the pages that were just built."""
    if exception is None and app.builder.name == "html" and (wrong := sorted(faults(Path(app.outdir)))):
        raise SphinxError("the built site is wrong:\n" + "\n".join(wrong))


def faults(folder: Path) -> Iterator[str]:
    """Say what is wrong with the pages of a folder: one line for each broken link and each request to another host."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    for path, page in pages.items():
        name = path.relative_to(folder)
        for address in page.loads:
            if _is_elsewhere(address):
                yield f"{name} loads {address} from another host"
        for address in page.links | page.loads:
            if not _is_elsewhere(address) and not _is_there(path, address, pages):
                yield f"{name} links to {address}, which is not there"
    for path in folder.rglob("*.css"):
        for found in _IN_STYLES.finditer(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(folder)} loads {found[1] or found[2]} from another host"


def _is_elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.scheme and parts.scheme != "data") or bool(parts.netloc)


def _is_there(path: Path, address: str, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(address)
    if parts.scheme == "data":
        return True
    target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
    if not parts.fragment or target not in pages:
        return target.is_file()
    return unquote(parts.fragment) in pages[target].places


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
