"""Two descriptions side by side, the words that differ marked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from farsight.metrics.vocabulary import Mention

SIDE_BY_SIDE_COLUMNS = 100


@dataclass(frozen=True, kw_only=True)
class Marks:
    """How words of one side only look: in colour, or between brackets where there is none."""

    style: str
    before: str
    after: str


LEFT = Marks(style="bold red", before="[-", after="-]")
RIGHT = Marks(style="bold green", before="{+", after="+}")
FALSE = Marks(style="bold red", before="[not there: ", after="]")


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of two columns: a title, a text, a line below it."""

    title: str
    text: str
    below: str
    marked: Text | None = None
    """The text with its objects marked, where it is known which are there."""


def has_colour(console: Console) -> bool:
    return console.is_terminal and not console.no_color and console.color_system is not None


def side_by_side(console: Console, left: Side, right: Side) -> RenderableType:
    """Two panels, stacked where the terminal is narrow, and one line that says how far they agree."""
    colour = has_colour(console)
    truth = left.marked is not None and right.marked is not None
    marked = (left.marked, right.marked) if truth else mark_differences(left.text, right.text, colour=colour)
    panels = [
        Panel(text or "", title=Text(side.title), subtitle=Text(side.below), expand=True)
        for side, text in zip((left, right), marked, strict=True)
    ]
    note = truth_note(colour=colour) if truth else _note(left, right, colour=colour)
    if console.width < SIDE_BY_SIDE_COLUMNS:
        return Group(*panels, note)
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(*panels)
    return Group(grid, note)


def mark_objects(text: str, mentions: Sequence[Mention], present: Collection[str], *, colour: bool) -> Text:
    """A text with the objects that are in the picture in green, those that are not in red (or between marks)."""
    made, at = Text(), 0
    for mention in mentions:
        made.append(text[at : mention.start])
        word, there = text[mention.start : mention.end], mention.object in present
        if colour:
            made.append(word, style=(RIGHT if there else LEFT).style)
        else:
            made.append(word if there else FALSE.before + word + FALSE.after)
        at = mention.end
    return made.append(text[at:])


def truth_note(*, colour: bool) -> Text:
    """What the marks of `mark_objects` mean."""
    if colour:
        return Text.assemble("In the picture: ", ("green", RIGHT.style), ". Not there: ", ("red", LEFT.style), ".")
    return Text(f"{FALSE.before}...{FALSE.after} marks an object that is not in the picture.")


def mark_differences(left: str, right: str, *, colour: bool) -> tuple[Text, Text]:
    """Both texts with the words that only one of them has, in its place, marked."""
    a, b = left.split(), right.split()
    texts = Text(), Text()
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        _append(texts[0], a[a0:a1], None if kind == "equal" else LEFT, colour=colour)
        _append(texts[1], b[b0:b1], None if kind == "equal" else RIGHT, colour=colour)
    return texts


def _append(text: Text, words: list[str], marks: Marks | None, *, colour: bool) -> None:
    if not words:
        return
    if text:
        text.append(" ")
    if marks is None:
        text.append(" ".join(words))
    elif colour:
        text.append(" ".join(words), style=marks.style)
    else:
        text.append(marks.before + " ".join(words) + marks.after)


def _note(left: Side, right: Side, *, colour: bool) -> Text:
    if left.text.split() == right.text.split():
        return Text("The two descriptions are identical.")
    if colour:
        return Text.assemble("Only left: ", ("red", LEFT.style), ". Only right: ", ("green", RIGHT.style), ".")
    return Text(f"Only in {left.title}: {LEFT.before}words{LEFT.after}. Only in {right.title}: "
                f"{RIGHT.before}words{RIGHT.after}.")  # fmt: skip
