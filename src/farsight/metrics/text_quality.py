"""Is the text still good? Figures that need no judge, shown next to every hallucination figure.

A method can lower hallucination by saying less, by repeating itself or by breaking its language. So: length, repetition
(the share of 4-grams that a caption has said before, as Welleck et al., ICLR 2020, count them), distinct-n (Li et al.,
NAACL 2016) and, where a model is at hand, the perplexity of the text under plain decoding of that model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from farsight.metrics.words import words


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Figures of a set of texts."""

    words: float
    """Words of a text, on average; punctuation is not counted."""
    repetition_4: float
    """Share of a text's 4-grams that it has said before, averaged over texts."""
    distinct_1: float
    """Distinct words over words, of all texts together. Falls with the amount of text: compare equal amounts."""
    distinct_2: float
    """The same of pairs of words."""
    perplexity: float | None = None
    """Geometric mean of the texts' perplexities per token, each text weighing the same; None if there are none."""

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return asdict(self)


def quality(texts: Iterable[str], *, perplexities: Sequence[float] | None = None) -> Quality:
    """Give the figures of a set of texts.

    Parameters
    ----------
    texts
        One text an item.
    perplexities
        The perplexity of each, in the same order, from whatever model scored them; None leaves the figure out.
    """
    each = [spoken(text) for text in texts]
    count = max(len(each), 1)
    return Quality(
        words=sum(map(len, each)) / count,
        repetition_4=sum(map(repetition, each)) / count,
        distinct_1=_distinct(each, 1),
        distinct_2=_distinct(each, 2),
        perplexity=math.exp(sum(map(math.log, perplexities)) / len(perplexities)) if perplexities else None,
    )


def spoken(text: str) -> tuple[str, ...]:
    """Give the words of a text in lower case, without punctuation."""
    return tuple(word.text for word in words(text) if word.text[0].isalnum())


def repetition(tokens: Sequence[str], n: int = 4) -> float:
    """Give the share of a text's n-grams that it has said before; 0 if it is shorter than that."""
    grams = _ngrams(tokens, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]


def _distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    grams = [gram for tokens in texts for gram in _ngrams(tokens, n)]
    return len(set(grams)) / max(len(grams), 1)
