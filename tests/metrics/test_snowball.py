"""The audit finds where captions go wrong, and a snowball where there is one and only there."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from farsight.errors import SettingError
from farsight.metrics import chair
from farsight.metrics.chair import ChairScore
from farsight.metrics.snowball import Audit, audit
from farsight.metrics.vocabulary import Vocabulary

NAMES = [f"thing{letter}" for letter in "abcdefghijklmnop"]
THINGS = Vocabulary(name="things", objects={name: [] for name in NAMES})


def captions(count: int, false: Callable[[int, bool], float], *, seed: int = 0) -> ChairScore:
    """Captions of 3 to 8 distinct objects, each false with a probability given by its rank and by what came before."""
    dice = random.Random(seed)
    said, objects = {}, {}
    for image in range(count):
        wrong: list[str] = []
        order = dice.sample(NAMES, dice.randint(3, 8))
        for rank, name in enumerate(order):
            if dice.random() < false(rank, bool(wrong)):
                wrong.append(name)
        said[image] = ". ".join(f"There is a {name} here" for name in order)
        objects[image] = [name for name in order if name not in wrong]
    return chair.score(said, objects, vocabulary=THINGS)


def rising(rank: int, after: bool) -> float:
    """Later objects are false more often; what came before does not matter."""
    return 0.05 + 0.06 * rank


def snowballing(rank: int, after: bool) -> float:
    return rising(rank, after) * (1.8 if after else 1)


def ratio_by_hand(score: ChairScore) -> float:
    """The definition once more: false objects after a false one, over the number expected at the same rank."""
    false_before: defaultdict[int, list[bool]] = defaultdict(list)
    false_after: defaultdict[int, list[bool]] = defaultdict(list)
    for one in score.captions:
        seen: list[str] = []
        for mention in one.mentions:
            if mention.object not in seen:
                wrong = any(name not in one.present for name in seen)
                (false_after if wrong else false_before)[len(seen)].append(mention.object not in one.present)
                seen.append(mention.object)
    ranks = [rank for rank in false_after if len(false_before[rank]) >= 5]
    expected = sum(len(false_after[rank]) * sum(false_before[rank]) / len(false_before[rank]) for rank in ranks)
    return sum(sum(false_after[rank]) for rank in ranks) / expected


def test_a_mere_rise_along_the_caption_is_no_snowball() -> None:
    found = audit(captions(1500, rising))
    assert found.ratio is not None
    assert found.after.rate > 1.4 * found.before.rate
    assert found.ratio.low < 1 < found.ratio.high
    assert found.ratio.p > 0.05


def test_a_snowball_is_found_with_its_size() -> None:
    found = audit(captions(1500, snowballing))
    assert found.ratio is not None
    assert found.ratio.low < 1.8 < found.ratio.high
    assert found.ratio.low > 1.3
    assert found.ratio.p < 0.001


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    """The interval means what it says, in a world whose ratio is known to be 1."""
    ratios = [audit(captions(200, rising, seed=seed), resamples=400).ratio for seed in range(60)]
    covered = sum(one is not None and one.low <= 1 <= one.high for one in ratios)
    assert 51 <= covered <= 60


@pytest.mark.parametrize("false", [rising, snowballing])
def test_the_ratio_is_its_definition(false: Callable[[int, bool], float]) -> None:
    score = captions(300, false, seed=5)
    found = audit(score, resamples=50).ratio
    assert found is not None
    assert found.value == pytest.approx(ratio_by_hand(score))
    assert found.observed / found.expected == pytest.approx(found.value)


def small() -> Audit:
    """A false object first, then a true one, the false one again and another false one; and a true caption."""
    said = {1: "A thinga, a thingb, the thinga and a thingc.", 2: "A thingb and a thingc."}
    return audit(chair.score(said, {1: ["thingb"], 2: ["thingb", "thingc"]}, vocabulary=THINGS), resamples=50)


def test_mentions_are_counted_on_both_sides_of_the_first_false_one() -> None:
    found = small()
    assert (found.before.mentions, found.before.false) == (3, 1)
    assert (found.after.mentions, found.after.false) == (3, 2)
    assert (found.initial, found.snowball) == (0.5, 0.5)


def test_mentions_are_counted_by_where_they_stand() -> None:
    found = small()
    assert [rate.mentions for rate in found.by_fifth] == [2, 1, 1, 1, 1]
    assert [rate.false for rate in found.by_fifth] == [1, 0, 1, 0, 1]
    assert sum(rate.mentions for rate in found.by_token) == 6
    assert found.by_token[0].label == "tokens 0 to 19"


def test_distinct_objects_are_counted_by_rank() -> None:
    (first, first_after), (second, second_after), (_, third_after) = small().by_rank
    assert (first.mentions, first.false, first_after.mentions) == (2, 1, 0)
    assert (second.mentions, second.false) == (1, 0)
    assert (second_after.mentions, second_after.false) == (1, 0)
    assert (third_after.mentions, third_after.false) == (1, 1)


def test_the_worst_objects_come_with_what_stands_before_them() -> None:
    said = {n: "A thingb and a thinga" if n < 6 else "A thingb or thingc" if n < 8 else "A thingd" for n in range(12)}
    objects = {n: ["thingb", "thingc", "thingd"] for n in range(12)}
    worst, *rest = audit(chair.score(said, objects, vocabulary=THINGS), resamples=50).worst
    assert rest == []
    assert (worst.object, worst.captions, worst.of) == ("thinga", 6, 6)
    assert worst.beside == (("thingb", 6, pytest.approx(12 / 8)),)


def test_captions_without_a_false_object_have_no_ratio() -> None:
    found = audit(chair.score({1: "A thinga", 2: "Nothing"}, {1: ["thinga"], 2: []}, vocabulary=THINGS))
    assert found.ratio is None
    assert found.worst == ()
    json.dumps(found.record(), allow_nan=False)


def test_one_caption_is_too_few() -> None:
    with pytest.raises(SettingError, match="at least 2 captions"):
        audit(chair.score({1: "A thinga"}, {1: []}, vocabulary=THINGS))


def test_a_caption_of_100_kb_fits() -> None:
    found = audit(
        chair.score({1: "a thinga " * 12_000, 2: "a thingb"}, {1: [], 2: []}, vocabulary=THINGS), resamples=20
    )
    assert found.by_token[-1].label == "tokens from 280"
    assert sum(rate.mentions for rate in found.by_token) == 12_001


def test_llava_says_false_things_more_often_late_and_after_a_false_one(shared_data: Path) -> None:
    folder = shared_data / "chair"
    score = chair.score(folder / "captions" / "llava-1.5" / "greedy.jsonl", folder / "coco_objects.jsonl")
    found = audit(score)
    assert [round(100 * rate.rate) for rate in found.by_fifth] == [2, 7, 14, 26, 21]
    assert (round(found.before.rate, 3), round(found.after.rate, 3)) == (0.075, 0.343)
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(ratio_by_hand(score))
    assert 1.05 < found.ratio.low < 1.4 < found.ratio.high < 1.85
