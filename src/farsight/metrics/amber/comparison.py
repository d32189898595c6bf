"""Two sets of responses to the same queries of AMBER: is the other method better than the baseline?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from farsight.metrics.amber import discriminative, generative
from farsight.metrics.amber.discriminative import GROUPS, Answer
from farsight.metrics.amber.generative import Description
from farsight.metrics.amber.scoring import AmberScore
from farsight.metrics.paired import (
    RESAMPLES,
    Difference,
    McNemar,
    TooFewItemsError,
    figure_difference,
    mcnemar,
    ratio_difference,
)

Item = TypeVar("Item", bound=Description | Answer)

Columns = dict[str, NDArray[np.float64]]
"""Numerator and denominator of the baseline, then of the other method, ``(4,)``, of each picture."""

BY_GROUP = ("accuracy", "f1")
"""What is compared for each group of questions."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The other method less the baseline, in percentage points."""

    differences: Mapping[str, Difference]
    """Each of CHAIR, Cover, Hal, Cog, of the figures of all answers and, as ``f1 state``, of those of a group, and the
    AMBER score, as far as both files have responses for it. An item is a picture."""
    mcnemar: McNemar | None
    """Which questions only one of the two answers rightly; None if they have no questions in common."""
    descriptions: int
    """Pictures that both describe."""
    answers: int
    """Questions that both answer."""

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return {
            "descriptions": self.descriptions,
            "answers": self.answers,
            "differences": {name: one.record() for name, one in self.differences.items()},
            "mcnemar": self.mcnemar and self.mcnemar.record(),
        }


def compare(
    baseline: AmberScore,
    other: AmberScore,
    *,
    pictures: Mapping[int, str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two methods on the items that both have.

    Figures are compared by a paired bootstrap over pictures: all questions about a picture are drawn together, since
    they are not independent. McNemar's test takes questions one by one.

    Parameters
    ----------
    baseline, other
        Responses scored by `amber.score` with the same data.
    pictures
        Which picture an id is about (`data.read_pictures`). An id that is not there has a picture of its own,
        which is how it is for descriptions.
    resamples, seed
        Of the paired bootstrap.

    Raises
    ------
    TooFewItemsError
        If they have responses about fewer than two pictures in common.
    """
    described = _pairs(baseline.descriptions, other.descriptions)
    answered = _pairs(baseline.answers, other.answers)
    columns = _columns(described, answered, pictures)
    differences = {}
    if described and answered and len(columns["chair"] | columns["f1"]) > 1:
        differences["amber"] = _amber(columns["chair"], columns["f1"], resamples=resamples, seed=seed)
    for name, sums in columns.items():
        if len(sums) > 1:
            one, one_of, two, two_of = np.array(list(sums.values())).T
            differences[name] = ratio_difference(
                name, (100 * one, one_of), (100 * two, two_of), resamples=resamples, seed=seed
            )
    if not differences:
        raise TooFewItemsError(
            "the responses have fewer than 2 pictures in common; a paired comparison needs the same items"
        )
    return Comparison(
        differences=differences,
        mcnemar=mcnemar([a.right for a, _ in answered], [b.right for _, b in answered]) if answered else None,
        descriptions=len(described),
        answers=len(answered),
    )


def _columns(
    described: Sequence[tuple[Description, Description]],
    answered: Sequence[tuple[Answer, Answer]],
    pictures: Mapping[int, str],
) -> dict[str, Columns]:
    """Give what each figure is compared by."""
    columns = {name: _by_picture(described, terms, pictures) for name, terms in generative.FIGURES.items()}
    for name, terms in discriminative.FIGURES.items():
        columns[name] = _by_picture(answered, terms, pictures)
    for group, dimensions in GROUPS.items():
        part = [pair for pair in answered if pair[0].question.dimension in dimensions]
        for name in BY_GROUP:
            columns[f"{name} {group}"] = _by_picture(part, discriminative.FIGURES[name], pictures)
    return columns


def _pairs(baseline: Sequence[Item], other: Sequence[Item]) -> list[tuple[Item, Item]]:
    theirs = {one.id: one for one in other}
    return [(one, theirs[one.id]) for one in baseline if one.id in theirs]


def _by_picture(
    pairs: Sequence[tuple[Item, Item]], terms: Callable[[Item], tuple[int, int]], pictures: Mapping[int, str]
) -> Columns:
    sums: defaultdict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(4))
    for a, b in pairs:
        sums[pictures.get(a.id, f"AMBER_{a.id}.jpg")] += np.array([*terms(a), *terms(b)])
    return dict(sums)


def _amber(chair: Columns, f1: Columns, *, resamples: int, seed: int) -> Difference:
    """Compare the AMBER score, which is made of two ratios, of which a picture may have both or either."""
    nothing = np.zeros(4)
    columns = np.array([[*chair.get(one, nothing), *f1.get(one, nothing)] for one in chair | f1])

    def scores(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        shares = sums[..., 0::2] / np.maximum(sums[..., 1::2], 1)
        return np.asarray(50 * (1 - shares[..., 0] + shares[..., 1]))

    return figure_difference(
        "amber", columns[:, [0, 1, 4, 5]], columns[:, [2, 3, 6, 7]], scores, resamples=resamples, seed=seed
    )
