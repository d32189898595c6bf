"""Guards: what a lower CHAIR_I must not cost."""

from __future__ import annotations

import pytest

from farsight.errors import SettingError
from farsight.metrics.paired import Difference
from farsight.tune.guards import GUARDS, parse_guards


def difference(name: str, baseline: float, value: float, low: float, high: float) -> dict[str, Difference]:
    one = Difference(name=name, baseline=baseline, other=baseline + value, low=low, high=high, p=1, items=9)
    return {name: one}


@pytest.mark.parametrize(
    ("name", "found", "holds", "clearly_broken"),
    [
        ("recall", difference("recall", 0.7, -0.009, -0.03, 0.01), True, False),
        ("recall", difference("recall", 0.7, -0.02, -0.04, 0.01), False, False),
        ("recall", difference("recall", 0.7, -0.04, -0.06, -0.02), False, True),
        ("recall", difference("recall", 0.7, 0.3, 0.2, 0.4), True, False),
        ("words", difference("words", 50, -4.9, -9, 0), True, False),
        ("words", difference("words", 50, -6, -13, 1), False, False),
        ("words", difference("words", 50, -8, -9, -6), False, True),
        ("words", difference("words", 50, 8, 6, 9), False, True),
        ("repetition", difference("repetition", 0.1, -0.09, -0.1, -0.08), True, False),
        ("repetition", difference("repetition", 0.1, 0.02, 0.015, 0.03), False, True),
        ("answers", difference("recall", 0.7, -0.5, -0.6, -0.4), True, False),  # there are no questions
    ],
)
def test_a_guard_holds_within_its_margin_and_is_clearly_broken_beyond_it(
    name: str, found: dict[str, Difference], holds: bool, clearly_broken: bool
) -> None:
    guard = next(one for one in GUARDS if one.name == name)
    assert guard.holds(found) is holds
    assert guard.clearly_broken(found) is clearly_broken


def test_margins_are_set_by_name_and_guards_left_out() -> None:
    found = {guard.name: guard.margin for guard in parse_guards(" recall = 2.5, words=off")}
    assert found == {"recall": 2.5, "repetition": 1, "answers": 1}
    assert parse_guards(None) == GUARDS


@pytest.mark.parametrize("text", ["recal=2", "recall", "recall=", "recall=-1", "recall=x", "recall=True", "words=1e9"])
def test_what_is_no_margin_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(SettingError, match=r"--guard '.*': (there is no such guard; there are recall|write it like)"):
        parse_guards(text)


def test_a_guard_that_is_given_twice_is_refused() -> None:
    with pytest.raises(SettingError, match="'recall=2': recall is given twice"):
        parse_guards("recall=1, recall=2")
