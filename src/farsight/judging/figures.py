"""What judging says of each method so far: CHAIR_I of what is judged, and its difference to the first one's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farsight.judging.answers import Answers, Picture
from farsight.judging.judged import Judged
from farsight.judging.truth import against
from farsight.metrics.paired import RESAMPLES, Difference, interval, ratio, ratio_difference, resampled_sums

_TERMS = ("false", "known", "found", "present", "mentions")
_FALSE, _KNOWN, _FOUND, _PRESENT, _MENTIONS = range(len(_TERMS))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Figures of one method, counted over all mentions that are judged."""

    method: str
    pictures: int
    """Pictures that the method was asked about."""
    mentions: int
    judged: int
    """Of the mentions, how many are known to be true or false."""
    false: int
    chair_i: float | None
    """Share of judged mentions that are false; None before anything is judged."""
    low: float | None
    """Lower end of its 95 % bootstrap interval over pictures; None of fewer than two."""
    high: float | None
    recall: float | None
    """Of the objects that any method named and a judge saw, the share that this one names."""
    difference: Difference | None
    """Its CHAIR_I minus that of the first method: in pairs on the pictures that both were asked about. Where these are
    less than half of either's, as of two months, on all pictures of both."""

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        names = ("pictures", "mentions", "judged", "false", "chair_i", "low", "high", "recall")
        record = {name: getattr(self, name) for name in names}
        return record | {"difference": None if self.difference is None else self.difference.record()}


def figures(answers: Answers, truth: Judged, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Figures]:
    """Count what is judged.

    Parameters
    ----------
    answers
        What each method said of each picture.
    truth
        What is known to be in the pictures.
    resamples, seed
        Number of samples of the bootstrap, and its seed.
    """
    counts = {
        label: {one.image_id: _counts(one, label, truth) for one in answers.pictures if label in one.answers}
        for label in answers.methods
    }
    baseline = counts[answers.methods[0]]
    return [
        _figures(label, one, None if one is baseline else baseline, resamples, seed) for label, one in counts.items()
    ]


Counts = dict[str, NDArray[np.float64]]
"""By picture: mentions that are false, judged, objects found, objects that are there, and all mentions."""


def _counts(picture: Picture, label: str, truth: Judged) -> NDArray[np.float64]:
    found = np.zeros(len(_TERMS))
    for text in picture.answers[label]:
        counted = against(truth, picture.image_id, truth.mentions(text), frozenset())
        found += [counted[term] for term in _TERMS]
    return found


def _figures(label: str, counts: Counts, baseline: Counts | None, resamples: int, seed: int) -> Figures:
    rows = np.array(list(counts.values())) if counts else np.zeros((0, 5))
    whole = rows.sum(axis=0)
    judged = [row for row in rows if row[_KNOWN]]
    low = high = None
    if len(judged) > 1:
        sums = resampled_sums(np.array(judged), resamples=resamples, seed=seed)
        low, high = interval(ratio(sums[:, [_FALSE]], sums[:, [_KNOWN]]))
    return Figures(
        method=label,
        pictures=len(counts),
        mentions=int(whole[_MENTIONS]),
        judged=int(whole[_KNOWN]),
        false=int(whole[_FALSE]),
        chair_i=_share(whole, _FALSE, _KNOWN),
        low=low,
        high=high,
        recall=_share(whole, _FOUND, _PRESENT),
        difference=None if baseline is None else _difference(counts, baseline, resamples, seed),
    )


def _share(whole: NDArray[np.float64], above: int, below: int) -> float | None:
    return float(whole[above] / whole[below]) if whole[below] else None


def _difference(counts: Counts, baseline: Counts, resamples: int, seed: int) -> Difference | None:
    keys = counts.keys() & baseline.keys()
    if 2 * len(keys) < min(len(counts), len(baseline)):
        keys = counts.keys() | baseline.keys()
    nothing = np.zeros(5)
    pairs = [(baseline.get(key, nothing), counts.get(key, nothing)) for key in sorted(keys)]
    pairs = [pair for pair in pairs if pair[0][_KNOWN] or pair[1][_KNOWN]]
    if len(pairs) < 2:
        return None
    before, after = (np.array(side) for side in zip(*pairs, strict=True))
    if not (before[:, _KNOWN].any() and after[:, _KNOWN].any()):
        return None
    return ratio_difference(
        "chair_i",
        (before[:, _FALSE], before[:, _KNOWN]),
        (after[:, _FALSE], after[:, _KNOWN]),
        resamples=resamples,
        seed=seed,
    )
