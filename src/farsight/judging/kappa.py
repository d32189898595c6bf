"""Do two judges agree beyond chance? Cohen's kappa (1960) of what both judged and were sure of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farsight.metrics.paired import interval, resampled_sums


@dataclass(frozen=True, kw_only=True)
class Kappa:
    """Agreement of two judges on whether objects are there."""

    first: str
    second: str
    both: int
    """Objects of pictures that both judged, and neither was unsure of."""
    agreed: int
    kappa: float | None
    """1 if they always agree, 0 as by chance; None if there is nothing to tell: nothing in common, or one verdict."""
    low: float | None
    """Lower end of the 95 % bootstrap interval over pictures; None of fewer than two."""
    high: float | None

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return asdict(self)


def kappas(said: Mapping[tuple[str, str], Mapping[str, bool | None]], *, seed: int = 0) -> list[Kappa]:
    """Compare every two judges who judged some of the same.

    Parameters
    ----------
    said
        What each judge said, by picture and object, as `farsight.judging.judged.Judged.said`.
    seed
        Seed of the bootstrap.
    """
    sure: dict[str, dict[tuple[str, str], bool]] = {}
    for key, words in said.items():
        for judge, word in words.items():
            if word is not None:
                sure.setdefault(judge, {})[key] = word
    found = [_kappa(first, second, sure[first], sure[second], seed) for first, second in combinations(sure, 2)]
    return [one for one in found if one.both]


def _kappa(
    first: str, second: str, one: dict[tuple[str, str], bool], other: dict[tuple[str, str], bool], seed: int
) -> Kappa:
    both = [key for key in one if key in other]
    pictures = {image_id: number for number, image_id in enumerate(dict.fromkeys(image_id for image_id, _ in both))}
    tables = np.zeros((len(pictures), 2, 2))
    for key in both:
        tables[pictures[key[0]], int(one[key]), int(other[key])] += 1
    low, high = (np.nan, np.nan)
    if len(pictures) > 1:
        low, high = interval(_values(resampled_sums(tables, seed=seed)))
    value = float(_values(tables.sum(axis=0)))
    whole = tables.sum(axis=0)
    return Kappa(
        first=first,
        second=second,
        both=len(both),
        agreed=int(np.trace(whole)),
        kappa=None if np.isnan(value) else value,
        low=None if np.isnan(low) else low,
        high=None if np.isnan(high) else high,
    )


def _values(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cohen's kappa of tables ``(..., 2, 2)``; NaN where chance alone would agree always."""
    total = tables.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(tables, axis1=-2, axis2=-1) / total
        expected = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1) / total**2
        return np.asarray(np.where(expected < 1, (observed - expected) / (1 - expected), np.nan), dtype=np.float64)
