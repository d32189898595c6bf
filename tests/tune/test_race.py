"""The race: who goes on, who wins, and how often it is wrong. It runs on numbers here, as in the product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from racing import FALSE, FOUND, KNOWN, MENTIONS, PLAIN, TRUE, Asked, answers, tuned

from farsight.tune.counts import Counts
from farsight.tune.guards import GUARDS
from farsight.tune.race import LEAST, Outcome, Rung, halves, run_race, rung_sizes, settle


def test_the_best_method_wins_and_is_compared_once_more_on_pictures_that_chose_nothing() -> None:
    asked = Asked({PLAIN: 0.3, "same": 0.3, "worse": 0.5, "better": 0.1, "bit": 0.25})
    outcome = tuned(asked, 120)
    assert outcome.race.winner == "better"
    assert outcome.turn_on
    assert outcome.final["chair_i"].items == 60
    *race, (labels, units) = asked.calls
    assert labels == [PLAIN, "better"]
    assert not set(units) & {unit for _, seen in race for unit in seen}
    assert sorted(unit for _, seen in asked.calls for unit in seen) == list(range(120))


def test_after_each_rung_at_most_half_of_the_contenders_go_on() -> None:
    asked = Asked({PLAIN: 0.3} | {f"m{number}": 0.2 + 0.01 * number for number in range(12)})
    outcome = tuned(asked, 100)
    running = [len(labels) - 1 for labels, _ in asked.calls[:-1]]
    assert running[0] == 12
    assert all(after <= (before + 1) // 2 for before, after in pairwise(running))
    assert [rung.pictures for rung in outcome.race.rungs] == [12, 25, 50]
    left = [one for rung in outcome.race.rungs for one in rung.standings if one.left]
    assert len(left) == 11  # all but the winner left once


def test_the_clearly_worse_leave_though_they_are_in_the_better_half() -> None:
    outcome = tuned(Asked({PLAIN: 0.1, "bad": 0.5, "worst": 0.8}), 80)
    assert outcome.race.winner is None
    assert [one.left for one in outcome.race.rungs[0].standings] == ["clearly worse than plain decoding"] * 2
    assert not outcome.turn_on


def test_a_method_that_does_nothing_leaves_and_says_so() -> None:
    def asked(labels: Sequence[str], units: Sequence[int]) -> dict[str, Counts]:
        return {label: answers(1, np.array(units), 0.3) for label in labels}

    race = run_race(PLAIN, ["nothing"], list(range(20)), asked, GUARDS, resamples=100)
    assert race.winner is None
    assert race.nearest is not None
    assert race.nearest.left == "names and says as much as plain decoding in every picture"


@pytest.mark.parametrize("mute_from", [0, 20], ids=["always", "on the other pictures"])
def test_a_method_that_names_nothing_is_not_turned_on(mute_from: int) -> None:
    """Nothing of nothing is false, which is no CHAIR_I of 0."""
    plain = Asked({PLAIN: 0.3, "mute": 0.1})

    def asked(labels: Sequence[str], units: Sequence[int]) -> dict[str, Counts]:
        counts = plain(labels, units)
        for row, unit in zip(counts.get("mute", ()), units, strict=False):
            if unit >= mute_from:
                row[[FALSE, KNOWN, FOUND, MENTIONS, TRUE]] = 0
        return counts

    guards = [guard for guard in GUARDS if guard.name != "recall"]
    race = run_race(PLAIN, ["mute"], list(range(20)), asked, guards, resamples=200)
    outcome = settle(PLAIN, race, list(range(20, 40)), asked, guards, resamples=200)
    assert race.winner == (None if mute_from == 0 else "mute")
    assert race.nearest is not None
    assert race.nearest.left == ("nothing is known of what it or plain decoding names" if mute_from == 0 else "")
    assert not outcome.turn_on


@pytest.mark.parametrize(("found", "wins"), [(4, True), (3, False)])
def test_a_method_that_finds_less_does_not_win(found: int, wins: bool) -> None:
    plain = Asked({PLAIN: 0.3, "better": 0.1})

    def asked(labels: Sequence[str], units: Sequence[int]) -> dict[str, Counts]:
        counts = plain(labels, units)
        if "better" in counts:
            counts["better"][:, FOUND] = found
        return counts

    race = run_race(PLAIN, ["better"], list(range(40)), asked, GUARDS, resamples=200)
    assert (race.winner == "better") is wins


def test_a_guard_that_breaks_on_the_second_half_alone_keeps_the_winner_off() -> None:
    plain = Asked({PLAIN: 0.3, "better": 0.05})

    def asked(labels: Sequence[str], units: Sequence[int]) -> dict[str, Counts]:
        counts = plain(labels, units)
        if len(plain.calls) > 1:
            counts["better"][:, FOUND] = 3
        return counts

    outcome = tuned_with(asked)
    assert outcome.improves
    assert not outcome.turn_on
    assert [guard.name for guard in outcome.broken] == ["recall"]


def tuned_with(asked: Callable[[Sequence[str], Sequence[int]], dict[str, Counts]]) -> Outcome:
    race = run_race(PLAIN, ["better"], list(range(40)), asked, GUARDS, resamples=200)
    return settle(PLAIN, race, list(range(40, 80)), asked, GUARDS, resamples=400)


def test_the_race_is_the_same_every_time() -> None:
    told: list[Rung] = []
    chances = {PLAIN: 0.3, "a": 0.3, "b": 0.28, "c": 0.25}
    races = [
        run_race(PLAIN, ["a", "b", "c"], list(range(40)), Asked(chances), GUARDS, resamples=100, told=told.append)
        for _ in range(2)
    ]
    assert races[0] == races[1]
    assert tuple(told) == races[0].rungs * 2


@pytest.mark.parametrize("contenders", [1, 2, 3, 8, 30])
@pytest.mark.parametrize("pictures", [4, 15, 16, 50, 500])
def test_every_rung_sees_more_and_the_last_all(pictures: int, contenders: int) -> None:
    sizes = rung_sizes(pictures, contenders)
    assert sizes[-1] == pictures
    assert sizes == sorted(set(sizes))
    assert all(size >= LEAST for size in sizes[:-1])


def test_the_split_is_drawn_and_takes_every_picture_once() -> None:
    first, second = halves(range(21), 3)
    assert sorted(first + second) == list(range(21))
    assert (len(first), len(second)) == (10, 11)
    assert halves(range(21), 3)[0] == first != halves(range(21), 4)[0]


def test_methods_that_do_nothing_are_turned_on_no_more_often_than_they_may() -> None:
    """Six methods that are plain decoding under another name, 100 races: five false ones in a hundred are the limit."""
    alike = {PLAIN: 0.2} | {f"m{number}": 0.2 for number in range(6)}
    false = sum(tuned(Asked(alike, seed=seed), 60, seed=seed, resamples=200).turn_on for seed in range(100))
    assert false <= 5


def test_what_helps_much_is_found() -> None:
    chances = {PLAIN: 0.2, "better": 0.1} | {f"m{number}": 0.2 for number in range(3)}
    outcomes = [tuned(Asked(chances, seed=seed), 100, seed=seed, resamples=200) for seed in range(10)]
    assert sum(outcome.turn_on and outcome.race.winner == "better" for outcome in outcomes) >= 9
