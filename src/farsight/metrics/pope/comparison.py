"""Two methods' answers to the same questions of POPE: is the other one better than the baseline?"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farsight.errors import InputError
from farsight.metrics.paired import RESAMPLES, Difference, McNemar, TooFewItemsError, mcnemar, ratio_difference
from farsight.metrics.pope.scoring import FIGURES, PopeScore, Result


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The other method less the baseline."""

    differences: dict[str, Difference]
    """One for each figure of POPE; an item is a picture with all its questions."""
    mcnemar: McNemar
    """Which questions only one of the two answers rightly."""

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return {
            "differences": {name: found.record() for name, found in self.differences.items()},
            "mcnemar": self.mcnemar.record(),
        }


def compare(baseline: PopeScore, other: PopeScore, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Compare two methods on the questions that both have answered.

    The bootstrap draws pictures, each with all its questions: those about one picture are not independent. McNemar's
    test takes questions one by one.

    Parameters
    ----------
    baseline, other
        Answers scored by `pope.score` with the same questions.
    resamples, seed
        Of the paired bootstrap.

    Raises
    ------
    InputError
        If the questions are not the same.
    TooFewItemsError
        If those that both have answered are about fewer than two pictures.
    """
    pairs = _pairs(baseline, other)
    pictures: defaultdict[str, list[tuple[Result, Result]]] = defaultdict(list)
    for pair in pairs:
        pictures[pair[0].question.image].append(pair)
    if len(pictures) < 2:
        raise TooFewItemsError(
            f"the methods have answered questions about {len(pictures)} pictures in common; a comparison needs at "
            "least 2, and should have hundreds"
        )
    differences = {}
    for name, terms in FIGURES.items():
        first, second = (
            _sums([[terms(pair[side]) for pair in picture] for picture in pictures.values()]) for side in (0, 1)
        )
        differences[name] = ratio_difference(name, first, second, resamples=resamples, seed=seed)
    rights = [[pair[side].right for pair in pairs] for side in (0, 1)]
    return Comparison(differences=differences, mcnemar=mcnemar(*rights))


def _pairs(baseline: PopeScore, other: PopeScore) -> list[tuple[Result, Result]]:
    theirs = {one.question.question_id: one for one in other.results}
    pairs = [(one, theirs[key]) for one in baseline.results if (key := one.question.question_id) in theirs]
    for first, second in pairs:
        if first.question != second.question:
            raise InputError(
                f"question_id {first.question.question_id} is {first.question.text!r} about {first.question.image} for "
                f"one method and {second.question.text!r} about {second.question.image} for the other; compare answers "
                "to the same file of questions"
            )
    return pairs


def _sums(pictures: list[list[tuple[int, int]]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numerators and denominators of a figure, each summed over the questions of a picture."""
    above, below = np.array([np.sum(picture, axis=0) for picture in pictures], dtype=np.float64).T
    return above, below
