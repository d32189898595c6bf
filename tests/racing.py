"""Methods of which the chance of a false mention is known, for races without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from farsight.tune.counts import TERMS, Counts
from farsight.tune.guards import GUARDS
from farsight.tune.race import Outcome, halves, run_race, settle

FALSE, KNOWN, FOUND, PRESENT, MENTIONS, TRUE = (TERMS.index(name) for name in TERMS[:6])
PLAIN = "plain"
Answering = Callable[[str, np.ndarray], Counts]
"""What a method counts on pictures, by their numbers."""


def answers(seed: int, pictures: np.ndarray, chance: float) -> Counts:
    """Ten mentions a picture, false with a chance that is a picture's own around ``chance``; two of three are found."""
    found = np.zeros((len(pictures), len(TERMS)))
    for place, number in enumerate(pictures):
        hard = np.random.default_rng([7, number]).beta(2, 2 * (1 - chance) / chance)
        false = np.random.default_rng([seed, number]).binomial(10, hard)
        found[place, [FALSE, KNOWN, MENTIONS, TRUE]] = false, 10, 10, 10 - false
        found[place, [FOUND, PRESENT]] = 4, 6
    found[:, TERMS.index("words")], found[:, TERMS.index("captions")] = 50, 1
    return found


class Asked:
    """Answers of methods of which the chance of a false mention is known, and a record of what was asked."""

    def __init__(self, chances: Mapping[str, float], seed: int = 0) -> None:
        self.chances, self.seed = chances, seed
        self.calls: list[tuple[list[str], list[int]]] = []

    def __call__(self, labels: Sequence[str], units: Sequence[int]) -> dict[str, Counts]:
        self.calls.append((list(labels), list(units)))
        seeds = {label: 1000 * self.seed + place for place, label in enumerate(self.chances)}
        return {label: answers(seeds[label], np.array(units), self.chances[label]) for label in labels}


def tuned(asked: Asked, pictures: int, seed: int = 0, resamples: int = 400) -> Outcome:
    first, second = halves(range(pictures), seed)
    others = [label for label in asked.chances if label != PLAIN]
    race = run_race(PLAIN, others, first, asked, GUARDS, resamples=resamples, seed=seed)
    return settle(PLAIN, race, second, asked, GUARDS, resamples=4 * resamples, seed=seed)
