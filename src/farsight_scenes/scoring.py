"""Scores of captions and answers about the world: exact, since its vocabulary is closed and its truth is known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .mentions import mentions
from .world import PLACES, Scene

FIRST = 3
"""How many of the first objects `CaptionScores.false_first` looks at."""


@dataclass(frozen=True, kw_only=True)
class CaptionScores:
    """Scores of captions; shares are in percent. An object counts once a caption, where it is named first.

    Parameters
    ----------
    chair_s
        Captions with a false object.
    chair_i
        False ones among the mentioned objects.
    false_first
        The same among the first `FIRST` objects of each caption.
    recall
        Objects in the pictures that are mentioned.
    mentioned
        Objects mentioned a caption.
    repeated
        Sentences that introduce an object which an earlier sentence has introduced.
    by_order
        False share of the first, second, ... mentioned object, where at least 20 captions have one.
    false_from_place
        False objects that belong to the place.
    tokens
        Mean length.
    unfinished
        Captions without an end.
    """

    chair_s: float
    chair_i: float
    false_first: float
    recall: float
    mentioned: float
    repeated: float
    by_order: tuple[float, ...]
    false_from_place: float
    tokens: float
    unfinished: float


@dataclass(frozen=True, kw_only=True)
class Snowball:
    """How much likelier an object is false after a false one than at the same rank after true ones only.

    Parameters
    ----------
    after_false, after_true
        False share in percent, the latter weighted to the ranks of the former.
    ratio
        The first over the second; above 1, errors draw errors after them.
    low, high
        95 % interval of the ratio from 2000 resamples of captions.
    """

    after_false: float
    after_true: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PresenceScores:
    """Yes/no answers; accuracy and share of yes in percent."""

    accuracy: float
    yes: float
    questions: int


def score_captions(texts: Sequence[str], scenes: Sequence[Scene], ends: Sequence[tuple[int, bool]]) -> CaptionScores:
    """Compare captions with scenes.

    Parameters
    ----------
    texts
        One for each scene.
    scenes
        What is true.
    ends
        Tokens of each caption, and whether it came to an end.
    """
    wrong = [wrong_by_rank(text, scene) for text, scene in zip(texts, scenes, strict=True)]
    named = [set(mentions(text)) for text in texts]
    from_place = sum(
        name in PLACES[scene.place].own
        for names, scene in zip(named, scenes, strict=True)
        for name in names - set(scene.objects)
    )
    found = sum(len(names & set(scene.objects)) for names, scene in zip(named, scenes, strict=True))
    firsts = [row[:FIRST] for row in wrong]
    ranks = [[row[rank] for row in wrong if len(row) > rank] for rank in range(max(map(len, wrong), default=0))]
    sentences, repeats = map(sum, zip(*map(_introductions, texts), strict=True))
    mentioned, false = sum(map(len, wrong)), sum(map(sum, wrong))
    return CaptionScores(
        chair_s=percent(sum(map(any, wrong)), len(wrong)),
        chair_i=percent(false, mentioned),
        false_first=percent(sum(map(sum, firsts)), sum(map(len, firsts))),
        recall=percent(found, sum(len(scene.objects) for scene in scenes)),
        mentioned=round(mentioned / len(wrong), 2),
        repeated=percent(repeats, sentences),
        by_order=tuple(percent(sum(rank), len(rank)) for rank in ranks if len(rank) >= 20),
        false_from_place=percent(from_place, false),
        tokens=round(sum(tokens for tokens, _ in ends) / len(ends), 1),
        unfinished=percent(sum(not ended for _, ended in ends), len(ends)),
    )


def wrong_by_rank(text: str, scene: Scene) -> list[bool]:
    """Whether the first, second, ... object that a caption names is false."""
    return [name not in scene.objects for name in mentions(text)]


def _introductions(text: str) -> tuple[int, int]:
    """Sentences of a caption that name an object, and those of them whose first object another one had first."""
    heads = [names[0] for sentence in re.split(r"[.!?]", text) if (names := mentions(sentence))]
    return len(heads), len(heads) - len(set(heads))


def score_snowball(texts: Sequence[str], scenes: Sequence[Scene]) -> Snowball | None:
    """Compare ranks after a false object with the same ranks after true ones; None without both."""
    rows = [wrong_by_rank(text, scene) for text, scene in zip(texts, scenes, strict=True)]
    counts = np.zeros((len(rows), 2, 2, max(map(len, rows), default=1)))  # caption, after a false one, all or false
    for number, row in enumerate(rows):
        for rank, wrong in enumerate(row):
            after = int(any(row[:rank]))
            counts[number, after, 0, rank] += 1
            counts[number, after, 1, rank] += wrong
    dice = np.random.default_rng(0)
    weights = dice.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=2000)
    after_false, after_true = _matched(counts.sum(0)[None])
    if not after_true[0] > 0:
        return None
    later, otherwise = _matched(np.einsum("rc,cabk->rabk", weights, counts))
    ratios = later / np.where(otherwise > 0, otherwise, np.nan)
    low, high = np.nanquantile(ratios, [0.025, 0.975])
    return Snowball(
        after_false=round(100 * after_false[0], 1),
        after_true=round(100 * after_true[0], 1),
        ratio=round(after_false[0] / after_true[0], 2),
        low=round(float(low), 2),
        high=round(float(high), 2),
    )


def _matched(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates ``(resamples,)`` after a false object and after true ones, at the ranks of the former."""
    (true_all, true_wrong), (false_all, false_wrong) = counts[:, 0].swapaxes(0, 1), counts[:, 1].swapaxes(0, 1)
    both = (true_all > 0) & (false_all > 0)
    weight = np.where(both, false_all, 0)
    rate = np.where(both, true_wrong / np.maximum(true_all, 1), 0)
    total = weight.sum(1)
    with np.errstate(invalid="ignore"):
        return np.where(both, false_wrong, 0).sum(1) / total, (weight * rate).sum(1) / total


def score_presence(said: Sequence[bool], there: Sequence[bool]) -> PresenceScores:
    """Compare yes (True) and no with the truth."""
    right = sum(yes == truth for yes, truth in zip(said, there, strict=True))
    return PresenceScores(accuracy=percent(right, len(there)), yes=percent(sum(said), len(said)), questions=len(said))


def percent(part: int, whole: int) -> float:
    """Share in percent, with one decimal; 0 of nothing."""
    return round(100 * part / whole, 1) if whole else 0.0
