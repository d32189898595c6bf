"""What answers add to each figure, and figures compared on the same pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farsight.evaluate.tasks import Item
from farsight.judging.annotated import Annotated
from farsight.judging.detector import Example, detected
from farsight.judging.truth import Truth
from farsight.metrics import chair
from farsight.metrics.comparison import compare as compare_captions
from farsight.metrics.vocabulary import coco
from farsight.tune.counts import TERMS, compare, counts_of

OBJECTS = {"1": ["dog", "car"], "2": ["cat"], "3": ["boat", "person"], "4": ["dog"]}
PLAIN = {"1": "A dog and a cat by a car.", "2": "A cat.", "3": "A boat, a boat, a dog.", "4": "A person and a dog."}
OTHER = {"1": "A dog by a car.", "2": "A cat on a chair.", "3": "A boat with a person.", "4": "A dog."}
TRUTH = Annotated(objects={name: frozenset(found) for name, found in OBJECTS.items()}, vocabulary=coco())


def item(image_id: str, kind: Any = "caption", **truth: str) -> Item:
    return Item(
        item_id=image_id, part="p", kind=kind, image_id=image_id, path=None, prompt="?", max_new_tokens=8, truth=truth
    )


def row(text: str, failed: str | None = None) -> dict[str, Any]:
    return {"text": text, "failed": failed}


def counted(captions: dict[str, str]) -> np.ndarray:
    return np.array([alone(item(name), row(text)) for name, text in captions.items()])


def alone(one: Item, answer: dict[str, Any], truth: Truth = TRUTH) -> np.ndarray:
    """What one answer of one method counts."""
    return counts_of(["it"], [one], {("it", one.item_id): answer}, truth)["it"]


def test_figures_are_those_of_chair() -> None:
    scores = [chair.score(captions, OBJECTS) for captions in (PLAIN, OTHER)]
    theirs = compare_captions(*scores)
    ours = compare(counted(PLAIN), counted(OTHER))
    for mine, name in (
        ("chair_i", "chair_i"),
        ("recall", "recall"),
        ("words", "words"),
        ("repetition", "repetition_4"),
    ):
        assert ours[mine].baseline == pytest.approx(theirs[name].baseline)
        assert ours[mine].other == pytest.approx(theirs[name].other)
        assert ours[mine].low == pytest.approx(theirs[name].low, abs=0.05 * max(1, theirs[name].baseline))


def test_what_nobody_knows_is_neither_true_nor_false() -> None:
    class Unsure(Annotated):
        def verdict(self, image_id: str, object_: str) -> bool | None:
            return None if object_ == "cat" else super().verdict(image_id, object_)

    unsure = Unsure(objects=TRUTH.objects, vocabulary=TRUTH.vocabulary)
    found = dict(zip(TERMS, alone(item("1"), row("A cat, a dog and a boat."), unsure), strict=True))
    assert (found["false"], found["known"], found["mentions"]) == (1, 2, 3)


@pytest.mark.parametrize(("answer", "right"), [("Yes, there is.", 1), ("No.", 0)])
def test_a_question_counts_as_right_or_wrong(answer: str, right: int) -> None:
    found = dict(zip(TERMS, alone(item("1", "question", label="yes"), row(answer)), strict=True))
    assert (found["right"], found["questions"], found["captions"]) == (right, 1, 0)


def test_an_answer_that_failed_counts_nothing() -> None:
    assert not alone(item("1"), row("", "the picture is damaged")).any()


def test_a_figure_without_anything_to_divide_by_is_left_out() -> None:
    assert "answers" not in compare(counted(PLAIN), counted(OTHER))


def test_a_picture_that_is_not_annotated_has_no_verdicts() -> None:
    assert TRUTH.verdict("9", "dog") is None
    assert TRUTH.present("9") == frozenset()


@pytest.mark.parametrize("labels", [["plain", "other"], ["other", "plain"]], ids=["plain first", "plain last"])
def test_recall_by_a_detector_is_against_all_that_any_method_names(tmp_path: Path, labels: list[str]) -> None:
    """Whoever is counted first, and whether the detector has seen the pictures before."""
    objects = {str(number): frozenset({"dog", "cat", "car"}) for number in range(8)}
    examples = [Example(name, word, word == "dog") for name in objects for word in ("dog", "bus")]
    says = {"plain": "A cat.", "other": "A cat and a car."}
    rows = {(label, name): row(text) for label, text in says.items() for name in objects}
    for _ in range(2):
        truth = detected(
            "it",
            {name: Path(name) for name in objects},
            Annotated(objects={}, vocabulary=coco()),
            examples[:12],
            file=tmp_path / "scores.jsonl",
            score=lambda path, word: float(word in objects[path.name]),
        )
        found = [counts_of(labels, [item(name)], rows, truth) for name in objects]
        recall = compare(*(np.array([one[label] for one in found]) for label in ("plain", "other")))["recall"]
        assert (recall.baseline, recall.other) == (1 / 2, 1)
