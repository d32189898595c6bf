"""An answer is right if it has the right words; differences come with intervals over videos."""

import numpy as np
import pytest

from farsight.errors import SettingError
from farsight.evaluate.exact import compare, score, words


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        ("The cup enters.", "The cup enters.", True),
        (" the CUP  enters", "The cup enters.", True),
        ("A cup enters.", "The cup enters.", True),
        ("The cup leaves.", "The cup enters.", False),
        ("The cup enters. It leaves.", "The cup enters.", False),
        ("Two", "Two.", True),
        ("", "Two.", False),
        ("the", "The.", True),
    ],
)
def test_the_words_count_and_not_how_they_are_written(said: str, answer: str, right: bool) -> None:
    assert score(["a"], [said], [answer]).right == (right,)


def test_only_a_leading_article_is_dropped() -> None:
    assert words("The boat and the car") == ("boat", "and", "the", "car")


def test_accuracy_is_the_share_of_right_answers() -> None:
    found = score(["a", "a", "b"], ["Yes.", "No.", "Two"], ["yes", "yes", "two"])
    assert found.record() == {"questions": 3, "right": 2, "accuracy": pytest.approx(2 / 3)}


def test_the_difference_is_of_means_and_its_interval_over_videos() -> None:
    about = [name for name in "abcdefgh" for _ in range(2)]
    dice = np.random.default_rng(0)
    answers = ["yes"] * 16
    first, second = (
        score(about, ["yes" if right else "no" for right in dice.random(16) < share], answers) for share in (0.4, 0.9)
    )
    found = compare(first, second, resamples=2000)["accuracy"]
    assert found.value == pytest.approx(np.mean(second.right) - np.mean(first.right))
    assert found.items == 8
    steps = np.array(second.right, float).reshape(8, 2).mean(1) - np.array(first.right, float).reshape(8, 2).mean(1)
    resampled = dice.choice(steps, (20000, 8)).mean(1)
    assert found.low == pytest.approx(np.quantile(resampled, 0.025), abs=0.05)
    assert found.high == pytest.approx(np.quantile(resampled, 0.975), abs=0.05)


def test_one_video_gives_no_interval() -> None:
    one = score(["a", "a"], ["yes", "no"], ["yes", "yes"])
    with pytest.raises(SettingError, match="at least 2 items"):
        compare(one, one)
