"""The race on one half of the pictures, and the winner against plain decoding on the other.

Successive halving (Karnin et al., ICML 2013; Jamieson and Talwalkar, AISTATS 2016): after each rung the better half
of the contenders goes on to more pictures, so that most answers are asked of those that may win. Whoever wins has been
chosen for its figures, which are too good for that; so it is compared once more, on pictures that chose nothing, and
only this comparison decides. It is one comparison however many contenders there were.

Nothing here asks a model: what a method counts on some pictures is given by a function.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from farsight.metrics.paired import RESAMPLES, Difference
from farsight.tune.counts import Counts, compare
from farsight.tune.guards import Guard

Unit = TypeVar("Unit")
"""All that is asked about one picture; only its place matters here."""
Counted = Callable[[Sequence[str], Sequence[Unit]], Mapping[str, Counts | str]]
"""Asks some methods about some pictures: what each counts, ``(pictures, terms)``, or why it cannot be compared."""

RACE_RESAMPLES = 2000
"""Of a rung: an interval that decides who goes on, not what is reported."""
LEAST = 8
"""Pictures of the first rung."""
MOST_RUNGS = 3
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A contender after a rung."""

    label: str
    differences: Mapping[str, Difference]
    """To plain decoding, on all pictures of the race so far."""
    left: str
    """Why it left; empty if it goes on."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What is known after so many pictures, the best contender first."""

    pictures: int
    standings: tuple[Standing, ...]


@dataclass(frozen=True, kw_only=True)
class Race:
    """What chose the winner."""

    rungs: tuple[Rung, ...]
    winner: str | None
    """None if nobody has a lower CHAIR_I and clearly breaks no guard."""

    @property
    def last(self) -> dict[str, tuple[int, Standing]]:
        """What was known of each method when it left or won, after how many pictures; who came furthest first."""
        found: dict[str, tuple[int, Standing]] = {}
        for rung in reversed(self.rungs):
            found |= {one.label: (rung.pictures, one) for one in rung.standings if one.label not in found}
        return found

    @property
    def nearest(self) -> Standing | None:
        """The winner, or who came nearest to it."""
        standings = self.rungs[-1].standings if self.rungs else ()
        return next((one for one in standings if one.label == self.winner), standings[0] if standings else None)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The race, and what its winner did on the other half."""

    baseline: str
    race: Race
    final: Mapping[str, Difference]
    """To plain decoding, on pictures that chose nothing; empty without a winner, or if nothing known is named there."""
    broken: tuple[Guard, ...]
    """Guards that the winner does not hold there."""
    failed: str = ""
    """Why the winner cannot be compared there, if it failed."""

    @property
    def improves(self) -> bool:
        """Whether the winner names fewer false objects than chance explains, on pictures that did not choose it."""
        found = self.final.get("chair_i")
        return found is not None and found.high < 0 and found.p <= ALPHA

    @property
    def turn_on(self) -> bool:
        """Whether to turn it on."""
        return self.improves and not self.broken


def halves(units: Sequence[Unit], seed: int) -> tuple[list[Unit], list[Unit]]:
    """Split pictures in two by lot: for the race, and for the winner."""
    drawn = list(units)
    random.Random(seed).shuffle(drawn)
    return drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]


def rung_sizes(pictures: int, contenders: int) -> list[int]:
    """Give how many pictures each rung has seen: each twice those of the one before, and the last all of them."""
    rungs = min(MOST_RUNGS, max(1, math.ceil(math.log2(max(contenders, 1)))))
    sizes = [pictures >> back for back in reversed(range(rungs))]
    return [size for size in sizes[:-1] if size >= LEAST] + sizes[-1:]


def run_race(
    baseline: str,
    contenders: Sequence[str],
    units: Sequence[Unit],
    counted: Counted[Unit],
    guards: Sequence[Guard],
    *,
    rungs: Sequence[int] | None = None,
    resamples: int = RACE_RESAMPLES,
    seed: int = 0,
    told: Callable[[Rung], None] = lambda _: None,
) -> Race:
    """Race contenders on pictures, in their order.

    Parameters
    ----------
    baseline
        The label of plain decoding.
    contenders
        The labels of the methods that race.
    units
        The pictures of the first half.
    counted
        Asks methods about pictures, and counts what each says. Who has a reason instead is out of the race for it.
    guards
        Who clearly breaks one leaves.
    rungs
        How many pictures each rung has seen; by default `rung_sizes`.
    resamples, seed
        Number of samples of the bootstrap, and its seed.
    told
        Hears of each rung.
    """
    running, seen, done = list(contenders), 0, list[Rung]()
    counts: dict[str, list[Counts]] = {}
    for size in rungs or rung_sizes(len(units), len(contenders)):
        if not running:
            break
        failed = dict[str, str]()
        for label, found in counted([baseline, *running], units[seen:size]).items():
            if isinstance(found, str):
                failed[label] = found
            else:
                counts.setdefault(label, []).append(found)
        running = [label for label in running if label not in failed]
        seen = size
        whole = {label: np.concatenate(counts[label]) for label in (baseline, *running)}
        differences = {
            label: compare(whole[baseline], whole[label], resamples=resamples, seed=seed) for label in running
        }
        same = {label for label in running if np.array_equal(whole[baseline], whole[label])}
        rung = _rung(size, differences, same, failed, guards, last=size >= len(units))
        done.append(rung)
        told(rung)
        running = [one.label for one in rung.standings if not one.left]
    winner = running[0] if running and done[-1].pictures == len(units) else None
    return Race(rungs=tuple(done), winner=winner)


def _rung(
    size: int,
    compared: Mapping[str, Mapping[str, Difference]],
    same: set[str],
    failed: Mapping[str, str],
    guards: Sequence[Guard],
    *,
    last: bool,
) -> Rung:
    """Order contenders, and say of each whether it goes on; after the last rung only the winner does."""
    left = {label: _obstacle(differences, label in same, guards, last=last) for label, differences in compared.items()}
    left |= failed
    found = {**compared, **{label: dict[str, Difference]() for label in failed}}
    order = sorted(found, key=lambda label: (bool(left[label]), _chair_i(found[label])))
    most = 1 if last else math.ceil(len(found) / 2)
    for place, label in enumerate(order):
        if place >= most and not left[label]:
            left[label] = "another did better" if last else "not in the better half"
    return Rung(
        pictures=size,
        standings=tuple(Standing(label=label, differences=found[label], left=left[label]) for label in order),
    )


def _obstacle(found: Mapping[str, Difference], same: bool, guards: Sequence[Guard], *, last: bool) -> str:
    """Why a contender cannot go on, whatever the others do."""
    if same:
        return "names and says as much as plain decoding in every picture"
    if "chair_i" not in found:
        return "nothing is known of what it or plain decoding names"
    if found["chair_i"].low > 0:
        return "clearly worse than plain decoding"
    if broken := next((guard for guard in guards if guard.clearly_broken(found)), None):
        return f"clearly beyond the guard of {broken.name}"
    return "no better than plain decoding" if last and found["chair_i"].value >= 0 else ""


def _chair_i(found: Mapping[str, Difference]) -> float:
    return found["chair_i"].value if "chair_i" in found else math.inf


def settle(
    baseline: str,
    race: Race,
    units: Sequence[Unit],
    counted: Counted[Unit],
    guards: Sequence[Guard],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Outcome:
    """Ask the winner, and plain decoding, about the other half.

    Parameters
    ----------
    baseline, counted, guards
        As of `run_race`.
    race
        The race that chose the winner.
    units
        Pictures that the race has not seen.
    resamples, seed
        Number of samples of the bootstrap, and its seed.
    """
    if race.winner is None:
        return Outcome(baseline=baseline, race=race, final={}, broken=())
    counts = counted([baseline, race.winner], units)
    plain, won = counts[baseline], counts[race.winner]
    if isinstance(plain, str) or isinstance(won, str):
        return Outcome(baseline=baseline, race=race, final={}, broken=(), failed=str(won))
    final = compare(plain, won, resamples=resamples, seed=seed)
    if "chair_i" not in final:
        final = {}
    broken = tuple(guard for guard in guards if not guard.holds(final))
    return Outcome(baseline=baseline, race=race, final=final, broken=broken)
