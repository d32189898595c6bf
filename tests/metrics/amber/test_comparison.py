"""Two methods on AMBER: differences on the pictures that both describe and the questions that both answer."""

import random

import pytest

from farsight.errors import InputError
from farsight.metrics.amber.comparison import compare
from farsight.metrics.amber.data import Amber, Question, Scene
from farsight.metrics.amber.scoring import AmberScore, score
from farsight.metrics.paired import mcnemar, ratio_difference

KINDS = ("existence", "state", "number", "action", "relation")
RELATION = {
    "road": ("path",),
    "tree": ("forest",),
    "knife": (),
    "ship": ("boat",),
    "dog": (),
    "cat": (),
    "bus": ("car",),
}


def many(seed: int, pictures: int = 12) -> tuple[Amber, dict[int, str], dict[int, str]]:
    """Pictures with four questions each, and which question is about which picture."""
    rng = random.Random(seed)
    names = list(RELATION)
    data = Amber(
        scenes={
            one: Scene(id=one, truth=tuple(rng.sample(names, 4)), hallu=tuple(rng.sample(names, 3)))
            for one in range(1, pictures + 1)
        },
        questions={
            number: Question(id=number, dimension=rng.choice(KINDS), truth=rng.choice(["yes", "no"]))
            for number in range(1005, 1005 + 4 * pictures)
        },
        relation=RELATION,
        safe=frozenset({"bus"}),
    )
    about = {number: f"AMBER_{1 + (number - 1005) // 4}.jpg" for number in data.questions}
    responses = {one: " ".join(rng.choices(names, k=5)) for one in data.scenes}
    return data, responses | {one: rng.choice(["Yes", "No", "?"]) for one in data.questions}, about


def two(seed: int = 0) -> tuple[AmberScore, AmberScore, dict[int, str]]:
    data, first, about = many(seed)
    second = many(seed + 1)[1]
    return score(first, data), score(second, data), about


def test_a_comparison_is_a_paired_bootstrap_of_the_sums_of_each_picture() -> None:
    first, second, about = two()
    found = compare(first, second, pictures=about).differences
    chair = ratio_difference(
        "chair",
        *(
            ([100 * len(one.hallucinated) for one in side.descriptions], [len(one.nouns) for one in side.descriptions])
            for side in (first, second)
        ),
    )
    assert found["chair"] == chair

    def by_picture(side: AmberScore) -> tuple[list[int], list[int]]:
        right = dict.fromkeys(about.values(), 0)
        for one in side.answers:
            right[about[one.id]] += 100 * one.right
        return list(right.values()), [4] * len(right)

    assert found["accuracy"] == ratio_difference("accuracy", by_picture(first), by_picture(second))
    assert found["accuracy"].items == 12


def test_the_sides_of_a_comparison_are_the_figures_of_the_scores() -> None:
    first, second, about = two(3)
    found = compare(first, second, pictures=about)
    for name in ("chair", "cover", "hal", "cog"):
        assert found.differences[name].baseline == pytest.approx(first.record()["generative"][name])
        assert found.differences[name].other == pytest.approx(second.record()["generative"][name])
    for name in ("accuracy", "precision", "recall", "f1"):
        assert found.differences[name].other == pytest.approx(second.record()["discriminative"][name])
    groups = second.record()["discriminative"]["groups"]
    assert {f"f1 {name}" for name in groups} <= found.differences.keys()
    for name, group in groups.items():
        assert found.differences[f"accuracy {name}"].other == pytest.approx(group["accuracy"])
    assert found.differences["amber"].baseline == pytest.approx(first.amber)
    assert found.differences["amber"].other == pytest.approx(second.amber)
    assert (found.descriptions, found.answers) == (12, 48)
    assert found.mcnemar == mcnemar([one.right for one in first.answers], [one.right for one in second.answers])


def test_the_amber_score_is_of_all_answers_also_about_pictures_that_are_not_described() -> None:
    data, first, about = many(6)
    second = many(7)[1]
    few = set(data.questions) | {1, 2, 3}
    sides = [score({one: text for one, text in side.items() if one in few}, data) for side in (first, second)]
    found = compare(*sides, pictures=about).differences["amber"]
    assert (found.baseline, found.other) == (pytest.approx(sides[0].amber), pytest.approx(sides[1].amber))
    assert found.items == 12


def test_the_interval_of_the_amber_score_is_wider_than_nothing_and_has_the_difference() -> None:
    first, second, about = two(5)
    found = compare(first, second, pictures=about).differences["amber"]
    assert found.low < found.value < found.high
    assert compare(first, second, pictures=about).differences["amber"] == found
    assert compare(first, second, pictures=about, seed=1).differences["amber"].low != found.low


def test_the_amber_score_without_hallucination_varies_as_half_of_f1() -> None:
    """Where neither method hallucinates, all that varies is F1."""
    data, _, about = many(2)
    rng = random.Random(0)
    silent = dict.fromkeys(data.scenes, "nothing")
    sides = [score(silent | {one: rng.choice(["Yes", "No"]) for one in data.questions}, data) for _ in range(2)]
    found = compare(*sides, pictures=about, resamples=20_000).differences
    assert found["amber"].value == pytest.approx(found["f1"].value / 2)
    assert found["amber"].low == pytest.approx(found["f1"].low / 2, abs=0.6)
    assert found["amber"].high == pytest.approx(found["f1"].high / 2, abs=0.6)


def test_only_items_of_both_are_compared() -> None:
    data, responses, about = many(4)
    half = {one: text for one, text in responses.items() if one <= 6 or one >= 1029}
    whole, part = score(responses, data), score(half, data)
    found = compare(whole, part, pictures=about)
    assert (found.descriptions, found.answers) == (6, 24)
    assert all(one.value == 0 and one.p == 1 for one in found.differences.values())


def test_a_part_that_one_of_them_lacks_is_not_compared() -> None:
    data, responses, about = many(4)
    described = score({one: text for one, text in responses.items() if one <= 12}, data)
    found = compare(score(responses, data), described, pictures=about)
    assert set(found.differences) == {"chair", "cover", "hal", "cog"}
    assert (found.mcnemar, found.answers) == (None, 0)


def test_methods_with_nothing_in_common_are_not_compared() -> None:
    data, responses, about = many(4)
    first, second = ({one: text for one, text in responses.items() if one % 2 == odd} for odd in (0, 1))
    with pytest.raises(InputError, match="fewer than 2 pictures in common"):
        compare(score(first, data), score(second, data), pictures=about)
