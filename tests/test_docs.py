"""The documentation as it stands: every link of its Markdown leads somewhere, every method has its page."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from farsight.method import Method
from farsight.methods import METHODS
from farsight.methods.grammar import parse_methods

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for page in (ROOT / "docs").rglob("*.md") if "notebooks" not in page.parts),
        *(ROOT / "src").rglob("*.md"),
    ]
)
FENCED = re.compile(r"^( *)(```+).*?^ *\2", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def prose(page: Path) -> str:
    return re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The names that code hosts give to headings."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("kind", METHODS.values(), ids=lambda kind: kind.name)
def test_every_method_has_a_page_of_one_shape(kind: type[Method]) -> None:
    text = (ROOT / "docs" / "methods" / f"{kind.name}.md").read_text(encoding="utf-8")
    headings = HEADING.findall(FENCED.sub("", text))
    assert headings[0].startswith(f"{kind.name}: ")
    shape = ["Use", "Equation", "Parameters", "Cost", "What came out here", "What is refused"]
    in_order = [re.sub("^Equations", "Equation", heading) for heading in headings]
    assert [heading for heading in in_order if heading in shape] == shape
    assert "```math" in text
    assert "](../" in section(text, "What came out here")
    rows = [row.split("|")[1] for row in section(text, "Parameters").splitlines() if row.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(field.name for field in fields(kind))


def section(text: str, heading: str) -> str:
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("kind", METHODS.values(), ids=lambda kind: kind.name)
def test_a_page_shows_how_its_method_is_used_in_a_command_and_in_python(kind: type[Method]) -> None:
    use = section((ROOT / "docs" / "methods" / f"{kind.name}.md").read_text(encoding="utf-8"), "Use")
    use = use.replace("load=rows.json", "true_rows=2.0, false_rows=1.0")  # a file that is measured first
    [command] = re.findall(r"--methods? (\"[^\"]+\"|[\w-]+)", use)
    asked = parse_methods(command.strip('"'))
    names: dict[str, Any] = {}
    exec("\n".join(re.findall(r"^from .+$", use, re.MULTILINE)), names)
    block = r"generate\(loaded, (.+?\)), " if kind.changes == "answer" else r"^with (.+)\(model\):$"
    [written] = re.findall(block, use, re.MULTILINE)
    assert isinstance(eval(written, names), kind)
    assert eval(written, names) in asked.values()


def test_a_page_of_a_method_is_in_the_list() -> None:
    listed = (ROOT / "docs" / "methods" / "README.md").read_text(encoding="utf-8")
    assert not [name for name in METHODS if f"({name}.md)" not in listed]


FIGURE = re.compile(r"([+-]?\d+\.\d+) \[([+-]?\d+\.\d+), ([+-]?\d+\.\d+)\]")
NUMBER = re.compile(r"(?<![\w.,:/])(?<![A-Za-z]-)\d+\.\d+(?![\w.])")
METRIC = re.compile(
    r"CHAIR|recall|first-3|rep-4|repetition|POPE|accuracy|F1|snowball|ratio|kappa|absorb|times|points(?! wide)|%"
)
WRITTEN = [page for page in PAGES if page == ROOT / "README.md" or page.is_relative_to(ROOT / "docs")]
OF_NO_TABLE = {
    ("docs/method.md", "0.2"): "follows from the formula in front of it",
    ("docs/methods/rudder.md", "1.6"): "the quotient of the two lengths beside it",
    ("docs/methods/rudder.md", "12.2"): "a figure of the paper",
    ("docs/methods/rudder.md", "6.5"): "a setting of the paper",
    ("docs/serving.md", "0.4"): "the precision of bf16",
}
"""Figures that are told and stand in no table, and why they need none."""


def figures(text: str) -> set[tuple[float, ...]]:
    """Every value with its interval."""
    return {tuple(map(float, found)) for found in FIGURE.findall(text.replace("**", ""))}


def made(page: Path) -> str:
    """What programs wrote of a page: its tables, and what commands print, indented or quoted."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith(("|", "    ", "> ")))


def told(page: Path) -> list[str]:
    """The sentences of a page that somebody wrote."""
    text = re.sub(r"<!--.*?-->", "", FENCED.sub("", page.read_text(encoding="utf-8")), flags=re.DOTALL)
    lines = ["" if line.startswith(("|", "    ", "> ", "#")) else line for line in text.splitlines()]
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|arXiv \d+\.\d+", " ", "\n".join(lines))
    return [
        part for piece in text.split("\n\n") for part in re.split(r"(?<=[.:;]) (?=[A-Z*(])", " ".join(piece.split()))
    ]


def beside(page: Path) -> set[Path]:
    """A page, and the pages of the docs to which it links."""
    paths = {link.partition("#")[0] for link in LINK.findall(prose(page))}
    linked = {(page.parent / path).resolve() for path in paths if path.endswith(".md") and ":" not in path}
    return {page, *(set(WRITTEN) & linked)}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_figure_with_an_interval_that_a_page_tells_stands_in_a_table(page: Path) -> None:
    tables = figures("\n".join(map(made, WRITTEN)))
    assert sorted(figures("\n".join(told(page))) - tables) == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_figure_of_a_metric_that_a_page_tells_stands_in_its_own_tables_or_in_those_of_a_page_it_links_to(
    page: Path,
) -> None:
    tables = {float(number) for other in beside(page) for number in re.findall(r"\d+\.\d+", made(other))}
    name = page.relative_to(ROOT).as_posix()
    missing = [
        (number, sentence)
        for sentence in told(page)
        if METRIC.search(sentence)
        for number in NUMBER.findall(sentence)
        if float(number) not in tables and (name, number) not in OF_NO_TABLE
    ]
    assert missing == []


BOOK = [
    page
    for page in (ROOT / "docs").glob("*.md")
    if page.name != "index.md"
    and "<!-- site instead" not in page.read_text(encoding="utf-8")
    and page.name != "commands.md"
]


@pytest.mark.parametrize("page", sorted(BOOK), ids=lambda page: page.name)
def test_every_page_opens_with_what_it_is_for(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert lines[2].startswith("What this page is for: to ")
