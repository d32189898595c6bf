"""Answers that must be the right words: how many are, and how two methods differ."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farsight.metrics.paired import RESAMPLES, Difference, ratio_difference


@dataclass(frozen=True, kw_only=True)
class ExactScore:
    """Which questions are answered rightly, item by item."""

    about: tuple[str, ...]
    """The picture or video of each question: those about one are not independent."""
    right: tuple[bool, ...]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return sum(self.right) / len(self.right)

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return {"questions": len(self.right), "right": sum(self.right), "accuracy": self.accuracy}


def score(about: Sequence[str], said: Sequence[str], answers: Sequence[str]) -> ExactScore:
    """Compare what was said with the right answers: the same words, whatever the case, punctuation and spaces."""
    right = tuple(words(one) == words(other) for one, other in zip(said, answers, strict=True))
    return ExactScore(about=tuple(about), right=right)


def words(text: str) -> tuple[str, ...]:
    """Give the words of a text in lower case, without an article before them."""
    found = re.findall(r"\w+", text.lower())
    return tuple(found[1:] if found and found[0] in ("a", "an", "the") else found)


def compare(
    baseline: ExactScore, other: ExactScore, *, resamples: int = RESAMPLES, seed: int = 0
) -> Mapping[str, Difference]:
    """Give the difference in accuracy with its interval; the bootstrap draws pictures or videos.

    Raises
    ------
    SettingError
        If the two do not have the same questions, or they are about fewer than two pictures or videos.
    """
    first, second = (_sums(one) for one in (baseline, other))
    return {"accuracy": ratio_difference("accuracy", first, second, resamples=resamples, seed=seed)}


def _sums(scored: ExactScore) -> tuple[list[float], list[float]]:
    """Right answers and questions of each picture or video."""
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for about, right in zip(scored.about, scored.right, strict=True):
        found[about].append(right)
    return [float(sum(rights)) for rights in found.values()], [float(len(rights)) for rights in found.values()]
