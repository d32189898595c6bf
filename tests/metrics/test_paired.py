"""Differences come with intervals that an independent calculation confirms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import SettingError
from farsight.metrics.paired import (
    Difference,
    figure_difference,
    interval,
    mcnemar,
    ratio_difference,
    resampled_sums,
    two_sided,
)

BASELINE = ([2, 0, 1, 3], [4, 3, 5, 6])
OTHER = ([1, 0, 1, 1], [5, 2, 4, 6])


def every_resample() -> list[float]:
    """The bootstrap distribution in full: all ways to draw 4 of 4 items with repetition."""
    differences = []
    for draw in itertools.product(range(4), repeat=4):
        sums = [sum(column[item] for item in draw) for column in (*BASELINE, *OTHER)]
        differences.append(sums[2] / sums[3] - sums[0] / sums[1])
    return sorted(differences)


def test_the_interval_is_that_of_all_resamples_of_the_pairs() -> None:
    found = ratio_difference("x", BASELINE, OTHER, resamples=40_000)
    everything = np.array(every_resample())
    assert found.value == pytest.approx(3 / 17 - 6 / 18)
    assert (found.low, found.high) == pytest.approx(np.percentile(everything, [2.5, 97.5]), abs=0.005)
    assert found.p == pytest.approx(2 * min((everything <= 0).mean(), (everything >= 0).mean()), abs=0.01)


def test_a_method_against_itself_differs_by_nothing() -> None:
    found = ratio_difference("x", BASELINE, BASELINE)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_pairing_uses_that_hard_items_are_hard_for_both() -> None:
    hard = np.arange(200) % 10
    ones = np.ones(200)
    paired = ratio_difference("x", (hard, ones), (hard + 0.1, ones))
    shuffled = ratio_difference("x", (hard, ones), (np.roll(hard, 3) + 0.1, ones))
    assert paired.high - paired.low < 1e-9 < 0.3 < shuffled.high - shuffled.low
    assert paired.p < 0.001


@pytest.mark.parametrize("differing", [1, 2, 3, 8])
@pytest.mark.parametrize("items", [8, 200])
def test_few_items_that_differ_are_no_more_evidence_than_to_an_exact_test(items: int, differing: int) -> None:
    ones, wrong = np.ones(items), np.zeros(items)
    right = wrong + (np.arange(items) < differing)
    p = ratio_difference("x", (wrong, ones), (right, ones)).p
    exact = mcnemar([bool(one) for one in wrong], [bool(one) for one in right]).p
    assert exact == min(1, 2.0 ** (1 - differing))
    assert p == exact


def test_a_figure_of_several_sums_is_compared_like_a_ratio_that_it_is() -> None:
    numerators, denominators = np.arange(40) % 7, 3.0 + np.arange(40) % 5
    other = numerators * 0.8
    one = ratio_difference("x", (numerators, denominators), (other, denominators), resamples=20_000)
    same = figure_difference(
        "x", np.stack([numerators, denominators], 1), np.stack([other, denominators], 1),
        lambda sums: sums[..., 0] / sums[..., 1], resamples=20_000,
    )  # fmt: skip
    assert (same.baseline, same.other, same.items) == (one.baseline, one.other, one.items)
    assert (same.low, same.high) == pytest.approx((one.low, one.high), abs=0.003)


def test_the_same_seed_gives_the_same_interval() -> None:
    assert ratio_difference("x", BASELINE, OTHER, seed=3) == ratio_difference("x", BASELINE, OTHER, seed=3)
    assert ratio_difference("x", BASELINE, OTHER, seed=3) != ratio_difference("x", BASELINE, OTHER, seed=4)


def test_nothing_to_divide_by_is_zero() -> None:
    assert ratio_difference("x", ([0, 0], [0, 0]), ([1, 0], [1, 1])).value == 0.5


@pytest.mark.parametrize(
    ("baseline", "problem"), [(([1, 2, 3], [1, 1, 1]), "the same items"), (([1], [1]), "the same items")]
)
def test_items_must_be_the_same(baseline: tuple[list[int], list[int]], problem: str) -> None:
    with pytest.raises(SettingError, match=problem):
        ratio_difference("x", baseline, OTHER)


def test_one_item_has_no_interval() -> None:
    with pytest.raises(SettingError, match="at least 2 items"):
        ratio_difference("x", ([1], [1]), ([1], [1]))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_mcnemar_is_the_exact_binomial_test_of_the_disagreements(answers: list[tuple[bool, bool]]) -> None:
    found = mcnemar([one for one, _ in answers], [two for _, two in answers])
    lost, won = answers.count((True, False)), answers.count((False, True))
    assert (found.only_baseline_right, found.only_other_right) == (lost, won)
    tail = sum(math.comb(lost + won, k) for k in range(min(lost, won) + 1)) / 2 ** (lost + won)
    assert found.p == pytest.approx(min(1.0, 2 * tail))


@pytest.mark.parametrize("other", [[True], []])
def test_mcnemar_needs_the_same_questions(other: list[bool]) -> None:
    with pytest.raises(SettingError, match="same questions"):
        mcnemar([True, False] if other else [], other)


def test_resampled_sums_spread_as_theory_says() -> None:
    values = np.arange(50, dtype=float).reshape(50, 1)
    sums = resampled_sums(values, resamples=20_000, at_once=7_000)
    assert sums.shape == (20_000, 1)
    assert sums.mean() == pytest.approx(values.sum(), rel=0.005)
    assert sums.std() == pytest.approx(math.sqrt(50) * values.std(), rel=0.02)


def test_an_interval_of_nothing_is_nothing() -> None:
    assert all(math.isnan(end) for end in interval(np.array([math.nan, math.nan])))
    assert interval(np.array([1.0, math.nan, 1.0])) == (1, 1)


def test_p_is_never_zero() -> None:
    assert two_sided(np.ones(99)) == 2 / 100


def test_a_difference_that_rounds_to_zero_has_no_minus() -> None:
    found = Difference(name="repetition", baseline=0.1, other=0.0999, low=-0.0001, high=0.05, p=0.5, items=3)
    assert found.shown() == "+0.0 [+0.0, +5.0]"
