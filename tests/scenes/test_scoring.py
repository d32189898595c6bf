"""Scores of made-up captions come out as counted by hand."""

import random

import pytest

from farsight_scenes import sample_scene
from farsight_scenes.scoring import score_captions, score_presence, score_snowball, wrong_by_rank
from farsight_scenes.world import CATEGORIES, PLACES, Scene

SCENE = sample_scene("test", 4)
THERE = SCENE.objects
OWN = next(name for name in PLACES[SCENE.place].own if name not in THERE)
STRANGE = next(name for name in CATEGORIES if name not in THERE and name not in PLACES[SCENE.place].own)


def say(*names: str) -> str:
    return " ".join(f"There is a red {name} on the left." for name in names)


def test_captions_are_scored_as_counted_by_hand() -> None:
    texts = [say(THERE[0], OWN, THERE[1], STRANGE), say(THERE[0], THERE[1], THERE[0])]
    scores = score_captions(texts, [SCENE, SCENE], [(40, True), (30, False)])
    assert scores.chair_s == 50.0
    assert scores.chair_i == pytest.approx(100 * 2 / 6, abs=0.05)
    assert scores.false_first == 20.0
    assert scores.recall == pytest.approx(100 * 4 / (2 * len(THERE)), abs=0.05)
    assert scores.mentioned == 3.0
    assert scores.repeated == pytest.approx(100 / 7, abs=0.05)
    assert scores.false_from_place == 50.0
    assert (scores.tokens, scores.unfinished) == (35.0, 50.0)
    assert scores.by_order == ()


def test_an_object_beside_another_is_named_but_not_introduced_twice() -> None:
    text = f"There is a red {THERE[0]} on the left, next to the {OWN}. A {OWN} is on the right."
    assert wrong_by_rank(text, SCENE) == [False, True]
    assert score_captions([text], [SCENE], [(1, True)]).repeated == 0.0


def captions(after_error: float, dice: random.Random) -> list[str]:
    texts = []
    for _ in range(400):
        names: list[str] = []
        true, false = list(THERE), [name for name in CATEGORIES if name not in THERE]
        erred = False
        for _ in range(4):
            wrong = dice.random() < (after_error if erred else 0.2)
            names.append((false if wrong else true).pop())
            erred |= wrong
        texts.append(say(*names))
    return texts


@pytest.mark.parametrize(("after_error", "ratio"), [(0.2, 1.0), (0.5, 2.5)])
def test_the_snowball_ratio_finds_what_was_put_in(after_error: float, ratio: float) -> None:
    scenes: list[Scene] = [SCENE] * 400
    found = score_snowball(captions(after_error, random.Random(1)), scenes)
    assert found is not None
    assert found.low < ratio < found.high
    assert found.ratio == pytest.approx(ratio, rel=0.25)


def test_there_is_no_snowball_without_errors() -> None:
    assert score_snowball([say(*THERE)] * 5, [SCENE] * 5) is None


def test_presence_is_balanced_accuracy_and_share_of_yes() -> None:
    scores = score_presence([True, True, False, True], [True, False, False, True])
    assert (scores.accuracy, scores.yes, scores.questions) == (75.0, 75.0, 4)
