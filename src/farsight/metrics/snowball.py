"""Snowball audit: do captions go wrong more often once they have gone wrong?

FarSight (CVPR 2025) tells *initial* hallucinations, which come from the picture, from *snowball* ones, which follow an
earlier false object. Comparing the rates before and after the first false object is not enough: later mentions are
false more often anyway. So the audit also matches by rank: the n-th distinct object of captions that have named a false
one, against the n-th distinct object of captions that have not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farsight.errors import SettingError
from farsight.metrics.chair import CaptionScore, ChairScore
from farsight.metrics.paired import RESAMPLES, interval, resampled_sums, two_sided
from farsight.metrics.words import words

FIFTHS = 5
TOKENS_A_BIN = 20
MOST_BINS = 15
"""The last bin has everything from its first token on."""
MATCHED_CAPTIONS = 5
"""A rank is matched if at least so many captions reach it without a false object; the false rate of fewer is noise."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How many of some mentions are false, with a 95 % interval over captions."""

    label: str
    mentions: int
    false: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Share of the mentions that is false; 0 where there are none."""
        return self.false / max(self.mentions, 1)

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file; what cannot be known is None."""
        figures = {"rate": self.rate if self.mentions else math.nan, "low": self.low, "high": self.high}
        known = {name: None if math.isnan(value) else value for name, value in figures.items()}
        return {"rate": None} | asdict(self) | known


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """The rank-matched snowball ratio, with a 95 % interval over captions."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided, against 1."""
    observed: int
    """Distinct objects that are false and follow a false one, at ranks that can be matched."""
    expected: float
    """How many there would be at the false rates, rank by rank, of captions without an earlier false object."""
    unmatched: int
    """Distinct objects after a false one at ranks that too few captions without one reach (`MATCHED_CAPTIONS`); left
    out of the other two."""


@dataclass(frozen=True, kw_only=True)
class FalseObject:
    """An object that captions name although it is not there."""

    object: str
    captions: int
    """Captions that name it falsely."""
    of: int
    """Captions that name it at all."""
    beside: tuple[tuple[str, int, float], ...]
    """Objects named before it: which, in how many of these captions, and how many times as often as in all captions."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What `audit` finds in a set of captions. Rates and shares are between 0 and 1."""

    captions: int
    by_fifth: tuple[Rate, ...]
    """Mentions by where they stand in the caption: in its first fifth, in tokens, in its second, ..."""
    by_token: tuple[Rate, ...]
    """Mentions by the index of their token, in bins of `TOKENS_A_BIN`."""
    by_rank: tuple[tuple[Rate, Rate], ...]
    """Distinct objects by rank (first that a caption names, second, ...): without and with a false one before."""
    before: Rate
    """Mentions up to and with the first false one."""
    after: Rate
    """Mentions after the first false one."""
    ratio: Ratio | None
    """None where no caption goes on after a false object."""
    initial: float
    """Share of captions with a false object; it is CHAIR_S."""
    snowball: float
    """Share of captions with a second, other false object after the first."""
    worst: tuple[FalseObject, ...]
    """The objects that are named falsely most often."""

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return {
            "captions": self.captions,
            "initial": self.initial,
            "snowball": self.snowball,
            "before": self.before.record(),
            "after": self.after.record(),
            "rank_matched_ratio": asdict(self.ratio) if self.ratio else None,
            "by_fifth": [rate.record() for rate in self.by_fifth],
            "by_token": [rate.record() for rate in self.by_token],
            "by_rank": [{"before": before.record(), "after": after.record()} for before, after in self.by_rank],
            "worst": [asdict(one) for one in self.worst],
        }


def audit(score: ChairScore, *, resamples: int = RESAMPLES, seed: int = 0, worst: int = 15) -> Audit:
    """Find out where captions go wrong and whether one false object brings the next.

    Parameters
    ----------
    score
        Captions scored by `chair.score`.
    resamples
        Bootstrap samples of the captions, for the intervals.
    seed
        The same seed gives the same intervals.
    worst
        How many of the most hallucinated objects to list.

    Raises
    ------
    SettingError
        If there are fewer than two captions, so that no interval can be given.
    """
    if len(score.captions) < 2:
        raise SettingError(f"an audit needs at least 2 captions to give intervals, got {len(score.captions)}")
    groups = [_padded(counts) for counts in zip(*map(_counts, score.captions), strict=True)]
    sums = resampled_sums(np.concatenate(groups, axis=1), resamples=resamples, seed=seed)
    edges = np.cumsum([group.shape[1] for group in groups])
    (fifths, bins, sides, ranks), samples = groups, np.split(sums, edges[:-1], axis=1)
    rank_names = [f"object {rank + 1}" for rank in range(ranks.shape[1] // 2) for _ in range(2)]
    by_rank = _rates(rank_names, ranks, samples[3])
    before, after = _rates(("up to the first false object", "after it"), sides, samples[2])
    return Audit(
        captions=len(score.captions),
        by_fifth=_rates(("first fifth", "second", "third", "fourth", "last"), fifths, samples[0]),
        by_token=_rates(_bin_names(bins.shape[1]), bins, samples[1]),
        by_rank=tuple(zip(by_rank[::2], by_rank[1::2], strict=True)),
        before=before,
        after=after,
        ratio=_ratio(ranks, samples[3]),
        initial=score.chair_s,
        snowball=sum(_false_objects(one) >= 2 for one in score.captions) / len(score.captions),
        worst=_worst(score.captions, worst),
    )


Counts = list[tuple[int, int]]
"""Of each group of a caption's mentions: how many there are and how many of them are false."""


def _counts(caption: CaptionScore) -> tuple[Counts, Counts, Counts, Counts]:
    """Count a caption's mentions by fifth, by token, by side of the first false one; its distinct objects by rank.

    Ranks alternate: without, then with an earlier false object.
    """
    length = len(words(caption.caption.text))
    fifths, sides = [(0, 0)] * FIFTHS, [(0, 0)] * 2
    bins = [(0, 0)] * min(length // TOKENS_A_BIN + 1, MOST_BINS)
    gone_wrong = False
    for mention in caption.mentions:
        false = mention.object not in caption.present
        for groups, group in (
            (fifths, mention.token * FIFTHS // length),
            (bins, min(mention.token // TOKENS_A_BIN, MOST_BINS - 1)),
            (sides, int(gone_wrong)),
        ):
            groups[group] = (groups[group][0] + 1, groups[group][1] + false)
        gone_wrong |= false
    ranks: Counts = []
    gone_wrong = False
    for name in caption.distinct:
        false = name not in caption.present
        ranks += [(0, 0), (1, int(false))] if gone_wrong else [(1, int(false)), (0, 0)]
        gone_wrong |= false
    return fifths, bins, sides, ranks


def _false_objects(caption: CaptionScore) -> int:
    return len({mention.object for mention in caption.hallucinated})


def _padded(counts: Sequence[Counts]) -> NDArray[np.float64]:
    """Stack counts to ``(captions, groups, 2)``, with zeros where a caption has fewer groups."""
    stacked = np.zeros((len(counts), max(len(one) for one in counts), 2))
    for row, one in zip(stacked, counts, strict=True):
        row[: len(one)] = np.reshape(one, (-1, 2))
    return stacked


def _bin_names(count: int) -> list[str]:
    names = [f"tokens {TOKENS_A_BIN * one} to {TOKENS_A_BIN * (one + 1) - 1}" for one in range(count)]
    return [*names[:-1], f"tokens from {TOKENS_A_BIN * (count - 1)}"] if count == MOST_BINS else names


def _rates(labels: Sequence[str], counts: NDArray[np.float64], sums: NDArray[np.float64]) -> tuple[Rate, ...]:
    """Make rates of counts ``(captions, groups, 2)`` and their resampled sums ``(resamples, groups, 2)``."""
    mentions, false = sums[..., 0], sums[..., 1]
    shares = np.where(mentions > 0, false / np.maximum(mentions, 1), np.nan)
    return tuple(
        Rate(label=label, mentions=int(total[0]), false=int(total[1]), low=low, high=high)
        for label, total, (low, high) in zip(labels, counts.sum(axis=0), map(interval, shares.T), strict=True)
    )


def _ratio(counts: NDArray[np.float64], sums: NDArray[np.float64]) -> Ratio | None:
    """Make the ratio of counts whose groups are ranks twice: without, then with a false object before."""
    total = counts.sum(axis=0).reshape(-1, 2, 2)
    matched = total[:, 0, 0] >= MATCHED_CAPTIONS
    observed, expected = _observed_and_expected(total[matched])
    if not expected:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.divide(*_observed_and_expected(sums.reshape(len(sums), -1, 2, 2)[:, matched]))
    ratios = ratios[np.isfinite(ratios)]
    low, high = interval(ratios)
    return Ratio(
        value=float(observed / expected),
        low=low,
        high=high,
        p=two_sided(ratios, null=1.0),
        observed=int(observed),
        expected=float(expected),
        unmatched=int(total[~matched, 1, 0].sum()),
    )


def _observed_and_expected(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum over ranks, of ``(..., ranks, without or with an earlier false object, how many and how many false)``."""
    rates = sums[..., 0, 1] / np.maximum(sums[..., 0, 0], 1)
    return sums[..., 1, 1].sum(axis=-1), (sums[..., 1, 0] * rates).sum(axis=-1)


def _worst(captions: Sequence[CaptionScore], most: int) -> tuple[FalseObject, ...]:
    """List the objects that most captions name falsely, with what these captions named before."""
    named: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    before: dict[str, Counter[str]] = {}
    for caption in captions:
        order = caption.distinct
        named.update(order)
        for rank, name in enumerate(order):
            if name not in caption.present:
                wrong[name] += 1
                before.setdefault(name, Counter()).update(order[:rank])
    found = []
    for name, count in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:most]:
        beside = [
            (other, together, together / count / (named[other] / len(captions)))
            for other, together in before[name].items()
            if together >= min(3, count)
        ]
        beside.sort(key=lambda item: (-item[1] * np.log2(max(item[2], 1e-9)), item[0]))
        found.append(FalseObject(object=name, captions=count, of=named[name], beside=tuple(beside[:3])))
    return tuple(found)
