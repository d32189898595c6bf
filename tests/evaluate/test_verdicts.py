"""A run says of each method whether it is better, worse, undecided or changes nothing, before it shows a table."""

from __future__ import annotations

import numpy as np
import pytest

from farsight.evaluate.page import differences_table, summary_table
from farsight.evaluate.scores import PartScores
from farsight.evaluate.verdicts import benefit, told, verdicts
from farsight.metrics.paired import Difference, ratio_difference


def difference(value: float, low: float, high: float, baseline: float = 0.2, items: int = 100) -> Difference:
    return Difference(name="", baseline=baseline, other=baseline + value, low=low, high=high, p=0.5, items=items)


NOTHING = difference(0, 0, 0)
NAMES = ("chair_s", "chair_i", "first_3", "recall", "objects", "words")


def part(**differences: dict[str, Difference]) -> PartScores:
    return PartScores(
        part="free",
        kind="caption",
        captions={},
        answers={},
        figures={"greedy": {"chair_i": 0.2}, **{label: {} for label in differences}},
        differences={label: dict.fromkeys(NAMES, NOTHING) | found for label, found in differences.items()},
        failed={},
    )


def test_less_that_is_made_up_is_better_and_more_is_worse() -> None:
    found = part(a={"chair_i": difference(-0.03, -0.05, -0.01)}, b={"chair_i": difference(0.03, 0.01, 0.05)})
    assert [(one.method, one.word) for one in verdicts(found)] == [("a", "better"), ("b", "worse")]
    assert told(found) == [
        "free: CHAIR_I 20.0 with greedy (lower is better).",
        "Better: a -3.0 [-5.0, -1.0].",
        "Worse: b +3.0 [+1.0, +5.0].",
    ]


def test_what_a_better_method_pays_is_said_with_it() -> None:
    found = part(a={"chair_i": difference(-0.03, -0.05, -0.01), "recall": difference(-0.02, -0.03, -0.01)})
    assert told(found)[1] == "Better: a -3.0 [-5.0, -1.0], but finds less: recall -2.0 [-3.0, -1.0]."


def test_a_method_that_changes_nothing_is_said_to() -> None:
    found = part(a={})
    assert told(found)[1] == "Nothing changes: a."
    table = differences_table(found, "greedy")
    assert table.rows == [["a", "nothing changes", "", "", "", "", ""]]
    assert table.columns[:5] == ["minus greedy", "CHAIR_S ↓", "CHAIR_I ↓", "first-3 ↓", "recall ↑"]


def test_an_undecided_one_is_told_how_many_pictures_would_settle_it() -> None:
    found = part(a={"chair_i": difference(-0.01, -0.03, 0.01)}, b={"chair_i": difference(-0.0001, -0.03, 0.03)})
    assert told(found)[1] == (
        "Undecided: a -1.0 [-3.0, +1.0] (about 400 pictures would settle it); b +0.0 [-3.0, +3.0] "
        "(more pictures would hardly settle it)."
    )


def test_that_many_pictures_do_settle_it() -> None:
    draw = np.random.default_rng(0)
    effect = draw.normal(size=60)
    effect = 0.5 * (effect - effect.mean()) / effect.std() - 0.08

    def of(effects: np.ndarray) -> Difference:
        ones = np.ones(len(effects))
        return ratio_difference("chair_i", (ones, 2 * ones), (ones + effects, 2 * ones))

    few = of(effect)
    assert few.low < 0 < few.high
    sentence = verdicts(part(a={"chair_i": few}))[0].why
    needed = int(sentence.split("about ")[1].split(" pictures")[0].replace(",", ""))
    copies = -(-needed // len(effect))
    many, fewer = of(np.tile(effect, copies + 1)), of(np.tile(effect, max(1, copies // 2)))
    assert not many.low < 0 < many.high
    assert fewer.low < 0 < fewer.high


@pytest.mark.parametrize(("name", "side"), [("chair_s", 1), ("recall", -1), ("words", 0), ("yes_ratio", 0)])
def test_a_fall_is_a_benefit_only_of_what_should_fall(name: str, side: int) -> None:
    assert benefit(name, difference(-0.02, -0.03, -0.01)) == side
    assert benefit(name, difference(-0.02, -0.05, 0.01)) == 0


def test_a_summary_has_a_row_for_each_method_and_says_what_its_figures_mean() -> None:
    found = part(a={"chair_i": difference(-0.03, -0.05, -0.01)}, b={"chair_i": difference(0.01, -0.02, 0.04)}, c={})
    table = summary_table([found], {"greedy": 1.0, "a": 1.02, "b": 2.0, "c": 1.0})
    assert table.columns[1:] == ["free ↓", "time"]
    assert table.rows == [
        ["greedy", "20.0", "x1.00"],
        ["a", "17.0 ✓", "x1.02"],
        ["b", "21.0 ?", "x2.00"],
        ["c", "same", "x1.00"],
    ]
    assert table.marks == [["", "", ""], ["", "better", ""], ["", "", ""], ["", "", ""]]
