"""A description said again without what is not there: whole sentences and clauses of it leave, nothing is added.

What is left is the model's own words, so that no second writer can make anything up.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import pairwise

from farsight.metrics.vocabulary import Vocabulary

_END = re.compile(r"(?<!\b\d)(?<!\b\d\d)[.!?]+[\"'”’)\]]*(?=\s|$)[ \t]*|\n+")
"""Where a sentence is over; the number of an entry of a list ends none."""
_CLOSING = re.compile(r"([.!?]+[\"'”’)\]]*)?\s*$")
"""With what a sentence ends, if it is only a break of the line."""
_GAP = re.compile(r"\n{3,}")
_CUT = re.compile(r",(?=\s)")
"""Where a clause or an entry of a list begins."""
_BEFORE_THE_CLAUSE = re.compile(
    r"\s*(above|across|additionally|along|alongside|among|apart|around|as|aside|at|atop|because|behind|below|beneath"
    r"|besides?|between|by|despite|due|for|from|given|if|in|inside|into|near|next|on|opposite|out|outside|over|since"
    r"|through|to|towards?|under|underneath|unlike|up|upon|when|where|while|with|within|without)\b",
    re.IGNORECASE,
)
"""Words with which a sentence begins that has something in front of its main clause, as in "In the background, ..."."""


def without(text: str, failed: Collection[str], vocabulary: Vocabulary) -> str:
    """Say a text again without some objects.

    A sentence is cut at its commas. Its head is the part up to the first object that it names, with the main clause
    where it begins with something in front of that ("In the background, a dog sleeps"). If the head names what failed,
    the whole sentence leaves; else those of its later parts do that name it.

    Parameters
    ----------
    text
        A description.
    failed
        Objects, as the vocabulary calls them.
    vocabulary
        Which words name them.

    Returns
    -------
    The text as it was where it names none of them; else what is left, which may be nothing.
    """
    while wrong := [one.start for one in vocabulary.mentions(text) if one.object in failed]:
        named = [one.start for one in vocabulary.mentions(text)]
        sentences = (_sentence(text, start, end, wrong, named) for start, end in _sentences(text))
        text = _GAP.sub("\n\n", "".join(sentences)).strip()
    return text


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for found in _END.finditer(text):
        yield start, found.end()
        start = found.end()
    yield start, len(text)


def _sentence(text: str, start: int, end: int, wrong: Collection[int], named: Collection[int]) -> str:
    """What is left of one sentence; ``wrong`` and ``named`` are places in the text at which objects are named."""
    if not any(start <= place < end for place in wrong):
        return text[start:end]
    cuts = [start, *(start + found.start() for found in _CUT.finditer(text[start:end])), end]
    parts = list(pairwise(cuts))
    first = next(number for number, (a, b) in enumerate(parts) if any(a <= place < b for place in named))
    head = max(first, int(_BEFORE_THE_CLAUSE.match(text, start) is not None)) + 1
    if any(start <= place < parts[min(head, len(parts)) - 1][1] for place in wrong):
        return ""
    kept = [text[a:b] for a, b in parts[head:] if not any(a <= place < b for place in wrong)]
    said = text[start : parts[head - 1][1]] + "".join(kept)
    closing = _CLOSING.search(text, start, end)
    assert closing is not None
    return said if said.endswith(closing[0]) else said.rstrip(" ,") + closing[0]
