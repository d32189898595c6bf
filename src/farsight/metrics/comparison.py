"""Two sets of captions of the same pictures: is the other method better than the baseline?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from farsight.metrics import chair
from farsight.metrics.chair import CaptionScore, ChairScore
from farsight.metrics.paired import RESAMPLES, Difference, TooFewItemsError, figure_difference, ratio_difference
from farsight.metrics.text_quality import repetition, spoken

Columns = Callable[[CaptionScore], tuple[float, ...]]

FIGURES: dict[str, Columns] = {
    "chair_s": lambda one: (bool(one.hallucinated), 1),
    "chair_i": lambda one: (len(one.hallucinated), len(one.mentions)),
    "chair_i_distinct": lambda one: one.false_among_first(None),
    "first_3": lambda one: one.false_among_first(3),
    "recall": lambda one: (len(one.found), len(one.present)),
    "f1": lambda one: (len(one.hallucinated), len(one.mentions), len(one.found), len(one.present)),
    "objects": lambda one: (len(one.distinct), 1),
    "words": lambda one: (one.length, 1),
    "repetition_4": lambda one: (repetition(spoken(one.caption.text)), 1),
    "snowball": lambda one: (len({mention.object for mention in one.hallucinated}) >= 2, 1),
    "psh": lambda one: one.snowballed,
}
"""What is compared, each by what a caption adds to its sums: the numerator and the denominator of a ratio, or the four
terms of `chair.f1`."""


def compare(
    baseline: ChairScore,
    other: ChairScore,
    *,
    perplexities: tuple[Mapping[str, float], Mapping[str, float]] | None = None,
    alike: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compare captions of two methods on the pictures that both have.

    Parameters
    ----------
    baseline, other
        Captions scored by `chair.score` with the same objects.
    perplexities
        Of the captions of both, by image; adds ``log_perplexity``, the mean logarithm in nats per token.
    alike
        By image, what it was asked; captions of one prompt are one item of the bootstrap. By default all are different.
    resamples, seed
        Of the paired bootstrap.

    Returns
    -------
    A difference for each of `FIGURES`, in their order.

    Raises
    ------
    TooFewItemsError
        If they have fewer than two pictures in common.
    """
    first = {one.caption.image_id: one for one in baseline.captions}
    second = {one.caption.image_id: one for one in other.captions}
    shared = [image_id for image_id in first if image_id in second]
    if len(shared) < 2:
        raise TooFewItemsError(
            f"the captions have {len(shared)} pictures in common; a paired comparison needs at least 2 of the same"
        )
    columns = {
        name: tuple(
            np.array([terms(side[image_id]) for image_id in shared], dtype=np.float64) for side in (first, second)
        )
        for name, terms in FIGURES.items()
    }
    if perplexities is not None:
        columns["log_perplexity"] = tuple(
            np.array([(math.log(side[image_id]), 1.0) for image_id in shared]) for side in perplexities
        )
    if alike is not None:
        groups = np.unique([alike[image_id] for image_id in shared], return_inverse=True)[1]
        columns = {name: tuple(_summed(side, groups) for side in sides) for name, sides in columns.items()}
    return {
        name: figure_difference(name, one, two, _f1, resamples=resamples, seed=seed)
        if name == "f1"
        else ratio_difference(name, (one[:, 0], one[:, 1]), (two[:, 0], two[:, 1]), resamples=resamples, seed=seed)
        for name, (one, two) in columns.items()
    }


def _summed(rows: NDArray[np.float64], groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Add up the rows ``(items, terms)`` of each group."""
    sums = np.zeros((int(groups.max()) + 1, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return sums


def _f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.vectorize(chair.f1)(*np.moveaxis(sums, -1, 0)), dtype=np.float64)
