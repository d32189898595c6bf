"""A baseline that stops earlier, where it names as much as a method does, is what the method has to beat."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from farsight.metrics import chair
from farsight.metrics.cuts import Cut
from farsight.metrics.equal_recall import at_equal_recall, stopped
from farsight.metrics.vocabulary import coco

OBJECTS = {"1": ["dog", "cat"], "2": ["car", "truck"], "3": ["cup", "bowl"]}
BASELINE = {
    "1": "A dog and a cat near a chair.",
    "2": "A car and a truck near a chair.",
    "3": "A cup and a bowl near a fork.",
}


def test_every_number_of_words_is_scored_as_the_cut_captions_are() -> None:
    whole = chair.score(BASELINE, OBJECTS)
    found = stopped(whole, coco())
    for count in range(1, 9):
        cut = chair.score(BASELINE, OBJECTS, cut=Cut(words=count))
        assert found.found[:, count].sum() / found.present.sum() == pytest.approx(cut.recall)
        assert found.wrong[:, count].mean() == pytest.approx(cut.chair_s)


def test_a_method_that_only_stops_earlier_gains_nothing() -> None:
    whole = chair.score(BASELINE, OBJECTS)
    shorter = chair.score(BASELINE, OBJECTS, cut=Cut(words=5))
    found, words = at_equal_recall(stopped(whole, coco()), shorter, resamples=500)
    assert whole.chair_s - shorter.chair_s == pytest.approx(1)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert words == 5


def test_between_two_numbers_of_words_recall_and_chair_s_are_on_the_line() -> None:
    baseline = stopped(chair.score({"1": "A chair, dog, cat.", "2": "A car, truck, chair."}, OBJECTS), coco())
    assert baseline.found.sum(axis=0).tolist() == [0, 0, 1, 3, 4]
    assert baseline.wrong.sum(axis=0).tolist() == [0, 0, 1, 1, 2]
    method = chair.score({"1": "A dog.", "2": "A car."}, OBJECTS)
    found, words = at_equal_recall(baseline, method, resamples=2)
    assert words == pytest.approx(2.5)
    assert found.baseline == pytest.approx(0.5)


def test_a_method_with_more_recall_is_compared_with_whole_captions() -> None:
    baseline = chair.score({"1": "A dog on a chair.", "2": "A car.", "3": "A cup."}, OBJECTS)
    method = chair.score({"1": "A dog and a cat.", "2": "A car.", "3": "A cup and a bowl."}, OBJECTS)
    found, words = at_equal_recall(stopped(baseline, coco()), method, resamples=200)
    assert found.baseline == baseline.chair_s
    assert words == 5


def test_captions_of_other_pictures_are_compared_by_rates() -> None:
    baseline = chair.score(BASELINE, OBJECTS)
    objects = {f"{number}": ["dog", "cat", "car", "truck"] for number in range(10, 20)}
    method = chair.score(dict.fromkeys(objects, "A dog and a car."), objects)
    found, words = at_equal_recall(stopped(baseline, coco()), method, resamples=300)
    assert method.recall == 0.5
    assert words == 2
    assert (found.baseline, found.other, found.items) == (0, 0, 10)


def captions(path: Path, count: int) -> dict[str | int, str]:
    rows = sorted(map(json.loads, path.read_text().splitlines()), key=lambda row: str(row["image_id"]))
    return {row["image_id"]: row["caption"] for row in rows[:count]}


def test_the_cut_is_chosen_anew_in_every_sample(shared_data: Path) -> None:
    """The interval is wider than that of the cut which is chosen once."""
    folder = shared_data / "chair/released/adaiat/llava-1.5-7b"
    objects = shared_data / "chair/released/objects.jsonl"
    greedy, method = (captions(folder / f"{name}.jsonl", count=80) for name in ("greedy", "adaiat"))
    baseline, other = chair.score(greedy, objects), chair.score(method, objects)
    found, words = at_equal_recall(stopped(baseline, coco()), other, resamples=500)
    once = chair.score(greedy, objects, cut=Cut(words=round(words)))
    one, two = (np.array([bool(it.hallucinated) for it in score.captions]) for score in (once, other))
    width_once = 2 * 1.96 * float(np.std(two.astype(float) - one.astype(float))) / np.sqrt(len(one))
    assert found.high - found.low > width_once
