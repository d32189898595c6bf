"""Words of an answer: the rows that predicted them, where these looked, what registers took of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from farsight.diagnose.absorption import absorbed
from farsight.diagnose.diagnosis import Diagnosis, Floats
from farsight.metrics.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word, or an object's name of several."""

    text: str
    steps: tuple[int, ...]
    """Which tokens of the answer it is made of; the row of each is the one that predicted it."""
    kind: str = ""
    """"true" or "false" for an object that is in the picture or not; "" otherwise."""
    object: str = ""


def words(found: Diagnosis) -> list[Word]:
    """Give every word of the answer."""
    said = "".join(found.pieces)
    return [_word(found, match[0], match.start(), match.end()) for match in re.finditer(r"\w+(?:['-]\w+)*", said)]


def object_words(found: Diagnosis, vocabulary: Vocabulary, present: Iterable[str] | None) -> list[Word]:
    """Give the words of the answer that name objects; true or false if it is known which objects are ``present``."""
    said, there = "".join(found.pieces), None if present is None else set(present)
    return [
        _word(
            found,
            said[mention.start : mention.end],
            mention.start,
            mention.end,
            "" if there is None else "true" if mention.object in there else "false",
            mention.object,
        )
        for mention in vocabulary.mentions(said)
    ]


def _word(found: Diagnosis, text: str, start: int, end: int, kind: str = "", named: str = "") -> Word:
    ends = np.cumsum([len(piece) for piece in found.pieces])
    steps = tuple(
        step
        for step, (piece, stop) in enumerate(zip(found.pieces, ends, strict=True))
        if stop - len(piece) < end and stop > start and piece
    )
    return Word(text=text, steps=steps, kind=kind, object=named)


def image_share(found: Diagnosis, word: Word) -> float:
    """Attention of a word's rows on the picture, or else the prompt, mean over layers, heads and its tokens."""
    return float(found.arrays["image"].mean((0, 1))[found.answering][list(word.steps)].mean())


def register_share(found: Diagnosis, word: Word) -> float:
    """Share of a word's rows that registers took, mean over layers, heads and its tokens."""
    return float(absorbed(found).mean((0, 1))[found.answering][list(word.steps)].mean())


def looks(found: Diagnosis, word: Word) -> Floats:
    """Attention of a word's rows on each visual token, mean over layers and its tokens, ``(visual tokens,)``."""
    return np.asarray(found.arrays["maps"].mean(0)[list(word.steps)].mean(0))
