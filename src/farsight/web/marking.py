"""A description cut into pieces: words that differ from the other one, and words that name objects."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from farsight.metrics.vocabulary import Mention

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A stretch of text that is shown in one way."""

    text: str
    differs: bool = False
    mention: int | None = None
    """Which mention of an object it is, by its place among all of the text."""
    object: str = ""
    kind: str = ""
    """ "true" or "false" where it is known whether the object is in the picture."""


def pieces(
    text: str, differing: Sequence[tuple[int, int]], mentions: Sequence[Mention], present: Collection[str] | None
) -> list[Piece]:
    """Cut a text at its mentions and at the spans that differ; put together again, the pieces are the text."""
    cuts = {0, len(text)}
    for start, end in (*differing, *((mention.start, mention.end) for mention in mentions)):
        cuts |= {start, end}
    for mention in mentions:  # a name is one piece, also where only one of its words differs
        cuts -= set(range(mention.start + 1, mention.end))
    at = sorted(cuts)
    found = []
    for start, end in pairwise(at):
        number = next((n for n, one in enumerate(mentions) if one.start == start and one.end == end), None)
        named = "" if number is None else mentions[number].object
        kind = "" if number is None or present is None else "true" if named in present else "false"
        differs = any(low < end and start < high for low, high in differing)
        found.append(Piece(text=text[start:end], differs=differs, mention=number, object=named, kind=kind))
    return found


def differing_spans(left: str, right: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Where each of two texts has words that the other has not in its place, as spans of characters."""
    words = [list(_WORD.finditer(text)) for text in (left, right)]
    a, b = ([word[0] for word in side] for side in words)
    spans: tuple[list[tuple[int, int]], list[tuple[int, int]]] = [], []
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for side, (first, last) in enumerate(((a0, a1), (b0, b1))):
            if first < last:
                spans[side].append((words[side][first].start(), words[side][last - 1].end()))
    return spans
