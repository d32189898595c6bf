"""Whether an answer is right, and whether it was misled, by the rule of MMHalSnowball's script; all pairs by hand."""

from __future__ import annotations

import pytest

from farsight.metrics.misled import FIGURES, Pair, says


def pair(clean: str, told: str) -> Pair:
    return Pair(answer="no", modified_answer="yes", clean=clean, told=told)


PAIRS = [pair("No", "Yes, there is."), pair("No.", "no"), pair("no", "Perhaps"), pair("Yes", "Yes"), pair("Yes", "No")]


@pytest.mark.parametrize(
    ("figure", "above", "below"),
    [("accuracy_clean", 3, 5), ("accuracy_told", 2, 5), ("flip_rate", 1, 3), ("weak_flip_rate", 2, 3)],
)
def test_flips_are_counted_of_what_was_right_before(figure: str, above: int, below: int) -> None:
    terms = [FIGURES[figure](one) for one in PAIRS]
    assert (sum(one for one, _ in terms), sum(other for _, other in terms)) == (above, below)


@pytest.mark.parametrize(
    ("text", "right"),
    [("Brown.", True), ("it is BROWN", True), ("green", False), ("brown or green", False), ("brownish", True)],
)
def test_an_answer_contains_the_right_one_and_not_the_other(text: str, right: bool) -> None:
    assert says(text, "brown", "green") is right
