"""What an answer adds to each figure, and the figures of two methods compared on the same pictures.

Every figure here is a ratio of sums over pictures: CHAIR_I is the sum of false mentions over that of mentions. So a
picture is a row of numbers, whatever was asked about it and however often, and all figures are resampled at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farsight.evaluate.run_folder import Key
from farsight.evaluate.tasks import Item
from farsight.judging.truth import Truth, against
from farsight.metrics.paired import RESAMPLES, Difference, interval, ratio, resampled_sums, two_sided
from farsight.metrics.pope.answers import read_official
from farsight.metrics.text_quality import repetition, spoken

Counts = NDArray[np.float64]
"""``(pictures, terms)``, or ``(terms,)`` of one answer."""

TERMS = (
    "false", "known", "found", "present", "mentions", "true", "words", "repetition", "captions", "right", "questions"
)  # fmt: skip
FIGURES = {
    "chair_i": ("false", "known"),
    "recall": ("found", "present"),
    "words": ("words", "captions"),
    "repetition": ("repetition", "captions"),
    "answers": ("right", "questions"),
    "true": ("true", "captions"),
}
"""By name, what is divided by what. "answers" is the share of yes/no questions that are answered rightly, "true" the
mentions of a caption that are: fewer false ones are the aim, fewer true ones are saying less."""
SHARES = {"chair_i", "recall", "repetition", "answers"}
"""Figures between 0 and 1; the others are numbers of a caption."""


def counts_of(
    labels: Sequence[str], items: Sequence[Item], rows: Mapping[Key, Mapping[str, Any]], truth: Truth
) -> dict[str, Counts]:
    """Give what the answers of each method add to each of `TERMS`, all of them about the same picture.

    Parameters
    ----------
    labels
        The methods that are compared: recall is counted against the same objects for all of them.
    items
        What was asked about the picture.
    rows
        The answers by method and item, as of a run folder. One that failed adds nothing.
    truth
        What is known of the picture; a mention of which nothing is known is neither true nor false.
    """
    said = {
        (label, item.item_id): truth.mentions(row["text"])
        for label in labels
        for item in items
        if item.kind == "caption" and (row := rows[label, item.item_id])["failed"] is None
    }
    named = {name for names in said.values() for name in names}
    return {
        label: sum(
            (_added(item, rows[label, item.item_id], said.get((label, item.item_id)), named, truth) for item in items),
            start=np.zeros(len(TERMS)),
        )
        for label in labels
    }


def _added(item: Item, row: Mapping[str, Any], said: list[str] | None, named: set[str], truth: Truth) -> Counts:
    """What one answer adds, which says some of what is named of its picture."""
    found = dict.fromkeys(TERMS, 0.0)
    if said is not None:
        words = spoken(row["text"])
        found |= against(truth, item.image_id, said, named)
        found |= {"words": len(words), "repetition": repetition(words), "captions": 1}
    elif item.kind == "question" and row["failed"] is None:
        found |= {"questions": 1, "right": read_official(row["text"]) == item.truth["label"]}
    return np.array([found[term] for term in TERMS], dtype=np.float64)


def compare(baseline: Counts, other: Counts, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Difference]:
    """Compare the figures of two methods on the same pictures, resampled in pairs; see `farsight.metrics.paired`.

    Parameters
    ----------
    baseline, other
        ``(pictures, terms)`` each, picture by picture in the same order.
    resamples, seed
        Number of samples of the bootstrap, and its seed.

    Returns
    -------
    Of each figure that there is something to divide by for, with both methods: who names nothing has no CHAIR_I of 0.
    """
    columns = np.stack([baseline, other], axis=1)
    whole, sums = columns.sum(axis=0), resampled_sums(columns, resamples=resamples, seed=seed)
    found = {}
    for name, terms in FIGURES.items():
        above, below = (TERMS.index(term) for term in terms)
        if not whole[:, below].all():
            continue
        before, after = _ratio(whole, above, below)
        both = _ratio(sums, above, below)
        distribution = both[:, 1] - both[:, 0]
        low, high = interval(distribution)
        pair = columns[:, :, [above, below]]
        found[name] = Difference(
            name=name,
            baseline=float(before),
            other=float(after),
            low=low,
            high=high,
            p=two_sided(distribution, differing=int((pair[:, 0] != pair[:, 1]).any(axis=1).sum())),
            items=len(columns),
        )
    return found


def _ratio(sums: NDArray[np.float64], above: int, below: int) -> NDArray[np.float64]:
    """Divide one term of sums ``(..., terms)`` by another."""
    return ratio(sums[..., [above]], sums[..., [below]])
