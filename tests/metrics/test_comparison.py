"""Two sets of captions are compared on the pictures that both have."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from farsight.errors import InputError
from farsight.metrics import chair
from farsight.metrics.comparison import FIGURES, compare

OBJECTS = {n: ["dog", "person"] for n in range(30)}
BASELINE = chair.score(dict.fromkeys(range(20), "A dog, a cat and a bus-stop sign"), OBJECTS)
OTHER = chair.score({n: "A dog, a man" + (" and a cat" if n % 4 == 0 else "") for n in range(5, 30)}, OBJECTS)


def test_figures_are_those_of_the_shared_pictures() -> None:
    found = compare(BASELINE, OTHER)
    assert {one.items for one in found.values()} == {15}
    shared = [one for one in OTHER.captions if int(one.caption.image_id) < 20]
    assert found["chair_s"].baseline == 1
    assert found["chair_s"].other == sum(bool(one.hallucinated) for one in shared) / 15
    assert found["chair_i"].baseline == BASELINE.chair_i
    assert found["recall"].other == 1
    assert list(found) == list(FIGURES)


def test_perplexities_are_compared_by_their_logarithm() -> None:
    first, second = ({str(n): value for n in range(30)} for value in (2.0, 8.0))
    found = compare(BASELINE, OTHER, perplexities=(first, second))["log_perplexity"]
    assert found.value == pytest.approx(math.log(4))


def test_f1_is_compared_by_a_bootstrap_of_its_four_sums() -> None:
    found = compare(BASELINE, OTHER)["f1"]
    draws = np.random.default_rng(5).integers(0, 15, (4000, 15))
    sides = [[one for one in score.captions if 5 <= int(one.caption.image_id) < 20] for score in (BASELINE, OTHER)]
    terms = np.array(
        [[(len(one.hallucinated), len(one.mentions), len(one.found), 2) for one in side] for side in sides]
    )
    sums = terms[:, draws].sum(axis=2)
    precision, recall = 1 - sums[..., 0] / sums[..., 1], sums[..., 2] / sums[..., 3]
    f1 = 2 * precision * recall / (precision + recall)
    assert (found.low, found.high) == pytest.approx(np.percentile(f1[1] - f1[0], [2.5, 97.5]), abs=0.01)


def test_captions_of_other_pictures_cannot_be_compared() -> None:
    other = chair.score({29: "A dog"}, OBJECTS)
    with pytest.raises(InputError, match="0 pictures in common"):
        compare(BASELINE, other)


def test_the_order_of_the_files_does_not_matter() -> None:
    backwards = chair.score(dict.fromkeys(reversed(range(20)), "A dog, a cat and a bus-stop sign"), OBJECTS)
    assert compare(backwards, OTHER)["chair_i"].value == pytest.approx(compare(BASELINE, OTHER)["chair_i"].value)


def test_real_captions_differ_as_their_figures_do(shared_data: Path) -> None:
    folder = shared_data / "chair"
    greedy, opera = (
        chair.score(folder / "captions" / "llava-1.5" / f"{name}.jsonl", folder / "coco_objects.jsonl")
        for name in ("greedy", "opera")
    )
    found = compare(greedy, opera)
    for name in ("chair_s", "chair_i", "chair_i_distinct", "recall", "f1", "psh"):
        assert found[name].value == pytest.approx(getattr(opera, name) - getattr(greedy, name))
        assert found[name].low < found[name].value < found[name].high


def test_captions_of_one_prompt_are_one_item_of_the_bootstrap() -> None:
    objects = {str(number): ["dog"] for number in range(40)}
    baseline = chair.score({image: "A cat." if int(image) < 20 else "A dog." for image in objects}, objects)
    other = chair.score(dict.fromkeys(objects, "A dog."), objects)
    prompts = {image: str(int(image) // 10) for image in objects}
    alone, together = compare(baseline, other), compare(baseline, other, alike=prompts)
    assert together["chair_s"].value == alone["chair_s"].value == -0.5
    assert (alone["chair_s"].items, together["chair_s"].items) == (40, 4)
    assert together["chair_s"].high - together["chair_s"].low > 2 * (alone["chair_s"].high - alone["chair_s"].low)
    assert together["chair_s"].p >= 0.5
