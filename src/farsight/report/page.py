"""A page in one file: no script, no font, no picture from anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

import jinja2
from matplotlib.figure import Figure

from farsight.metrics.chair import CaptionScore
from farsight.report.charts import data_uri, image


class Span(NamedTuple):
    """A piece of a text and what it is: "", "true", "false" or "code"."""

    text: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures with their headings. The first column is text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    marks: Sequence[Sequence[str]] | None = None
    """Of each cell: "better", "worse" or nothing."""
    prose: Sequence[int] = ()
    """Columns besides the first that are text, which a page shows in as many lines as it takes."""

    @property
    def cells(self) -> list[list[tuple[str, str]]]:
        """Each row's cells, each with its mark."""
        marks = self.marks or [[""] * len(row) for row in self.rows]
        return [list(zip(row, beside, strict=True)) for row, beside in zip(self.rows, marks, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture and what it shows, for those who cannot see it."""

    source: str
    alt: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """A caption whose objects are marked, with a heading."""

    title: str
    spans: Sequence[Span]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, what to know, and what to look at, in this order."""

    title: str
    words: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    texts: Sequence[Text] = ()
    small: bool = False
    """Whether its pictures are photographs beside their texts, not plots over the page's width."""


def picture(drawn: Figure, alt: str) -> Picture:
    """Make a sharp picture of a figure."""
    return Picture(source=data_uri(image(drawn, "svg"), "image/svg+xml"), alt=alt)


def marked(caption: CaptionScore) -> list[Span]:
    """Cut a caption into pieces: objects that are there, objects that are not, and the rest."""
    text, spans, at = caption.caption.text, [], 0
    for mention in caption.mentions:
        spans.append(Span(text[at : mention.start]))
        spans.append(Span(text[mention.start : mention.end], "true" if mention.object in caption.present else "false"))
        at = mention.end
    return [*spans, Span(text[at:])]


def page(title: str, summary: Sequence[str], sections: Sequence[Section], *, footer: str = "") -> str:
    """Write a page.

    Parameters
    ----------
    title
        The page's heading.
    summary
        What a reader should take away: one paragraph each, at the top.
    sections
        The rest, in order.
    footer
        How it was made, so that it can be made again.
    """
    folder = resources.files("farsight.report") / "templates"
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    return template.render(title=title, summary=summary, sections=sections, footer=footer)
