"""Is one method better than another on the same items? Differences with their intervals, never without.

Items are resampled in pairs (SciPy's `bootstrap`): the same pictures for both methods, since hard pictures are hard
for both. Yes/no answers are compared by McNemar's test in its exact form, which is SciPy's `binomtest` on the items
where the two disagree.

A bootstrap of few items takes little evidence for much: two items that both change for the better change in every
sample. So no p is below ``2 ** (1 - d)``, where ``d`` is the number of items on which the methods differ: the smallest
p that any exact test can give which exchanges the methods item by item, and that of McNemar's where all change one way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from farsight.errors import InputError, SettingError

RESAMPLES = 9999
CONFIDENCE = 0.95


class TooFewItemsError(InputError):
    """Two methods have fewer than two items in common: each has its figures, but a difference has no interval."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A figure of one method minus that of the baseline on the same items."""

    name: str
    baseline: float
    other: float
    low: float
    """Lower end of the 95 % interval of the difference."""
    high: float
    p: float
    """Two-sided, from the same bootstrap: twice the share of resamples on the far side of 0; at least that of an exact
    test (`two_sided`)."""
    items: int

    @property
    def value(self) -> float:
        """The difference: negative where the other method has less."""
        return self.other - self.baseline

    def shown(self, scale: float = 100.0, digits: int = 1, unit: str = "") -> str:
        """Give it with its interval, by default that of a share in percentage points: "-1.2 [-3.4, +1.0]"."""
        value, low, high = (f"{scale * one:+z.{digits}f}" for one in (self.value, self.low, self.high))  # no minus zero
        return f"{value}{unit} [{low}, {high}]"

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return {"difference": self.value} | asdict(self)


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Yes/no answers of two methods to the same questions."""

    only_baseline_right: int
    only_other_right: int
    p: float
    """Exact and two-sided; 1 where the methods never disagree on what is right."""
    items: int

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return asdict(self)


def ratio_difference(
    name: str,
    baseline: tuple[ArrayLike, ArrayLike],
    other: tuple[ArrayLike, ArrayLike],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare a ratio of sums over items, as all our figures are, between two methods.

    CHAIR_I, for one, is the sum of hallucinated mentions over the sum of mentions. A mean is a ratio whose denominators
    are 1.

    Parameters
    ----------
    name
        What to call the figure.
    baseline, other
        Numerators and denominators of each method, ``(items,)`` each, item by item in the same order.
    resamples
        Bootstrap samples of the items.
    seed
        The same seed gives the same interval.

    Raises
    ------
    SettingError
        If the two do not have the same items, or fewer than two.
    """
    columns = [np.asarray(column, dtype=np.float64) for column in (*baseline, *other)]
    items = len(columns[0])
    if any(column.shape != (items,) for column in columns):
        raise SettingError(f"{name}: both methods need the same items; got {[column.shape for column in columns]}")
    if items < 2:
        raise SettingError(f"{name}: an interval needs at least 2 items, got {items}")

    def difference(
        a: NDArray[Any], a_of: NDArray[Any], b: NDArray[Any], b_of: NDArray[Any], axis: int
    ) -> NDArray[np.float64]:
        return ratio(b, b_of, axis) - ratio(a, a_of, axis)

    result = stats.bootstrap(
        columns,
        difference,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, min(resamples, 2_000_000 // items)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return Difference(
        name=name,
        baseline=float(ratio(columns[0], columns[1])),
        other=float(ratio(columns[2], columns[3])),
        low=float(result.confidence_interval.low),
        high=float(result.confidence_interval.high),
        p=two_sided(
            result.bootstrap_distribution,
            differing=int(np.sum((columns[0] != columns[2]) | (columns[1] != columns[3]))),
        ),
        items=items,
    )


def figure_difference(
    name: str,
    baseline: NDArray[np.float64],
    other: NDArray[np.float64],
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare a figure that is made of several sums over items, such as an F1 of two ratios, between two methods.

    Parameters
    ----------
    name
        What to call the figure.
    baseline, other
        The terms of each item, ``(items, terms)`` each, item by item in the same order.
    figure
        Makes figures ``(...)`` of sums ``(..., terms)``.
    resamples, seed
        As in `ratio_difference`.
    """
    columns = np.stack([baseline, other], axis=1)
    before, after = figure(columns.sum(axis=0))
    both = figure(resampled_sums(columns, resamples=resamples, seed=seed))
    distribution = both[..., 1] - both[..., 0]
    low, high = interval(distribution)
    return Difference(
        name=name,
        baseline=float(before),
        other=float(after),
        low=low,
        high=high,
        p=two_sided(distribution, differing=int((baseline != other).any(axis=1).sum())),
        items=len(columns),
    )


def ratio(numerators: NDArray[Any], denominators: NDArray[Any], axis: int = -1) -> NDArray[np.float64]:
    """Sum both over an axis and divide; 0 where there is nothing to divide by, as in `chair`."""
    below = denominators.sum(axis=axis)
    return np.asarray(numerators.sum(axis=axis) / np.where(below == 0, 1, below), dtype=np.float64)


def two_sided(distribution: NDArray[np.float64], null: float = 0.0, *, differing: int | None = None) -> float:
    """Give the p value of a bootstrap distribution against a value; never 0, for it is an estimate from samples.

    Parameters
    ----------
    distribution
        The figure in each sample, ``(resamples,)``.
    null
        The value that the figure has if there is no difference.
    differing
        Items on which two methods differ: p is at least ``2 ** (1 - differing)``. None where no two are compared.
    """
    below, above = int(np.sum(distribution <= null)), int(np.sum(distribution >= null))
    p = 2 * (min(below, above) + 1) / (len(distribution) + 1)
    least = 0.0 if differing is None else 2.0 ** (1 - differing)
    return min(1.0, max(p, least))


def mcnemar(baseline_right: Sequence[bool], other_right: Sequence[bool]) -> McNemar:
    """Compare which questions two methods answer rightly.

    Parameters
    ----------
    baseline_right, other_right
        Whether each answer is right, ``(questions,)``, in the same order.

    Raises
    ------
    SettingError
        If the two do not have the same number of answers, or none.
    """
    if len(baseline_right) != len(other_right) or not baseline_right:
        raise SettingError(
            f"McNemar's test needs the same questions for both, got {len(baseline_right)} and {len(other_right)}"
        )
    lost = sum(a and not b for a, b in zip(baseline_right, other_right, strict=True))
    won = sum(b and not a for a, b in zip(baseline_right, other_right, strict=True))
    p = float(stats.binomtest(lost, lost + won, 0.5).pvalue) if lost + won else 1.0
    return McNemar(only_baseline_right=lost, only_other_right=won, p=p, items=len(baseline_right))


def resampled_sums(
    columns: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0, at_once: int = 500
) -> NDArray[np.float64]:
    """Sum columns over bootstrap samples of their items, for figures that are more than one ratio.

    Parameters
    ----------
    columns
        Values of each item, ``(items, ...)``.
    resamples
        Number of samples of the bootstrap.
    seed
        The same seed gives the same samples.
    at_once
        Samples whose weights are in memory at a time.

    Returns
    -------
    ``(resamples, ...)``
    """
    items = len(columns)
    flat = columns.reshape(items, -1)
    rng = np.random.default_rng(seed)
    sums = [
        rng.multinomial(items, np.full(items, 1 / items), size=min(at_once, resamples - start)).astype(float) @ flat
        for start in range(0, resamples, at_once)
    ]
    return np.concatenate(sums).reshape(resamples, *columns.shape[1:])


def interval(distribution: NDArray[np.float64]) -> tuple[float, float]:
    """Give the 95 % percentile interval of a bootstrap distribution; NaN where a sample had no items."""
    if np.isnan(distribution).all():
        return float("nan"), float("nan")
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(distribution, [tail, 100 - tail])
    return float(low), float(high)
