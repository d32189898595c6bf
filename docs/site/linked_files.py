"""Links of the Markdown to files of the repository lead to the page of the site that shows them, else to the file."""

import re
from pathlib import Path, PurePosixPath

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

_PAGES = {
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "README.md": "index",
    "src/farsight_scenes/checkpoint/README.md": "embedded_model",
    "src/farsight_scenes/video/checkpoint/README.md": "embedded_video_model",
    "src/farsight_scenes/seeing/README.md": "seeing_model",
}
_SOURCE = "src/"
_TO_MARKDOWN = re.compile(r"\]\(([^)#:\s]+\.md)(#[^)\s]*)?\)")

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def in_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let a page's links to Markdown outside of `docs/` lead to the pages that show it."""
    source[0] = _to_pages(source[0], Path(app.srcdir), Path(app.srcdir, docname).parent)


def in_included(app: Sphinx, relative_path: Path, parent: str, content: list[str]) -> None:
    """Do the same in a file that a page includes, and leave out what the file tells model hubs."""
    text = _FRONT_MATTER.sub("", content[0])
    content[0] = _to_pages(text, Path(app.srcdir), Path(app.srcdir, relative_path).resolve().parent)


def _to_pages(text: str, docs: Path, folder: Path) -> str:
    def to_page(found: re.Match[str]) -> str:
        file = (folder / found[1]).resolve()
        name = file.relative_to(docs.parent).as_posix() if file.is_relative_to(docs.parent) else ""
        if name in _PAGES:
            return f"](/{_PAGES[name]}.md{found[2] or ''})"
        return f"](/{file.relative_to(docs).as_posix()}{found[2] or ''})" if file.is_relative_to(docs) else found[0]

    return _TO_MARKDOWN.sub(to_page, text)


def to_sources(app: Sphinx, doctree: nodes.document) -> None:
    """Let links to modules lead to the pages that show their code."""
    root = Path(app.srcdir).parent
    for node in list(doctree.findall(addnodes.download_reference)):
        file = Path(app.srcdir, app.env.docname).parent.joinpath(node["reftarget"]).resolve()
        name = file.relative_to(root).as_posix() if file.is_relative_to(root) else ""
        if name.startswith(_SOURCE) and name.endswith(".py"):
            page = f"_modules/{PurePosixPath(name.removeprefix(_SOURCE)).with_suffix('')}"
            target = relative_uri(app.builder.get_target_uri(app.env.docname), app.builder.get_target_uri(page))
            node.replace_self(nodes.reference("", "", *node.children, refuri=target, internal=True))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", in_page)
    app.connect("include-read", in_included)
    app.connect("doctree-read", to_sources, priority=400)  # before Sphinx collects what is to be downloaded
    return {"parallel_read_safe": True, "parallel_write_safe": True}
