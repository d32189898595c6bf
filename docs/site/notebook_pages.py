"""The notebooks of `examples/` as pages of the site: their text, code and outputs as they were committed."""

import base64
import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

_MADE = "notebooks"
"""Folder of `docs/` that the pages are written to; git ignores it."""


def write_pages(app: Sphinx) -> None:
    """Make a page of every notebook."""
    folder = Path(app.srcdir) / _MADE
    folder.mkdir(exist_ok=True)
    notebooks = sorted((Path(app.srcdir).parent / "examples").glob("*.ipynb"))
    for left in set(folder.iterdir()) - {folder / f"{notebook.stem}.md" for notebook in notebooks}:
        left.unlink()
    for notebook in notebooks:
        text = page(json.loads(notebook.read_text(encoding="utf-8")), folder, notebook.stem)
        target = folder / f"{notebook.stem}.md"
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


def page(notebook: dict[str, Any], folder: Path, name: str) -> str:
    """Turn a notebook into Markdown; pictures are written next to it."""
    parts = []
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code" and source:
            parts.append(_fenced("python", source))
            parts += [_output(output, folder, f"{name}_{number}_{k}") for k, output in enumerate(cell["outputs"])]
    parts.insert(1, f"*This page is the notebook `examples/{name}.ipynb`, with its outputs.*")
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: dict[str, Any], folder: Path, name: str) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        (folder / f"{name}.png").write_bytes(base64.b64decode("".join(data["image/png"])))
        return f"![{_alternative(output)}]({name}.png)"
    text = "".join(output.get("text") or data.get("text/plain", ""))
    return _fenced("text", text.rstrip("\n")) if text.strip() else ""


def _alternative(output: dict[str, Any]) -> str:
    return str(output.get("metadata", {}).get("alt") or "What the code above draws")


def _fenced(language: str, text: str) -> str:
    fence = "```" if "```" not in text else "````"
    return f"{fence}{language}\n{text}\n{fence}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
