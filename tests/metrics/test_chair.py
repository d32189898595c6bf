"""CHAIR gives the figures of the standard script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import InputError
from farsight.metrics import chair
from farsight.metrics.captions import known_as
from farsight.metrics.vocabulary import Vocabulary

OBJECTS = {1: ["dog", "person"], 2: ["cat"], "three": []}
CAPTIONS = {1: "A dog and a cat; the cat sleeps.", 2: "Nothing here.", "three": "A man on a bench."}


@pytest.mark.parametrize("decoding", ["greedy", "beam5", "opera"])
@pytest.mark.parametrize("model", ["llava-1.5", "instructblip", "minigpt4", "shikra"])
def test_real_captions_get_the_counts_and_the_figures_of_the_standard_script(
    shared_data: Path, model: str, decoding: str
) -> None:
    folder = shared_data / "chair"
    expected = json.loads((folder / "expected.json").read_text())[f"{model}/{decoding}"]
    found = chair.score(folder / "captions" / model / f"{decoding}.jsonl", folder / "coco_objects.jsonl").record()
    assert found["captions"] == expected["captions"]
    assert found["mentions"] == expected["mentions"]
    assert found["hallucinated_mentions"] == expected["hallucinated_mentions"]
    assert {name: found[name] for name in ("chair_s", "chair_i", "recall")} == pytest.approx(
        {name: expected[name] for name in ("chair_s", "chair_i", "recall")}, abs=1e-6
    )


def test_figures_are_shares_of_captions_of_mentions_and_of_objects() -> None:
    score = chair.score(CAPTIONS, OBJECTS)
    assert score.mentions == 5
    assert score.hallucinated_mentions == 4
    assert score.chair_s == 2 / 3
    assert score.chair_i == 4 / 5
    assert score.recall == 1 / 3
    assert score.objects == (2 + 0 + 2) / 3
    assert score.length == (8 + 2 + 5) / 3


def test_each_caption_says_which_words_are_hallucinated_and_where() -> None:
    first = chair.score(CAPTIONS, OBJECTS).captions[0]
    assert [first.caption.text[one.start : one.end] for one in first.hallucinated] == ["cat", "cat"]
    assert [one.token for one in first.hallucinated] == [4, 7]
    record = json.loads(json.dumps(first.record()))
    assert record["hallucinated"][0] == {"word": "cat", "object": "cat", "start": 12, "end": 15, "token": 4}
    assert record["missed"] == ["person"]


def test_synonyms_of_the_ground_truth_are_the_same_object() -> None:
    assert chair.score({1: "A man on a sofa"}, {1: ["woman", "couch"]}).chair_i == 0


def test_a_vocabulary_of_ones_own_counts_other_objects() -> None:
    mine = Vocabulary(name="mine", objects={"crab": [], "kite": ["dragon kite"]})
    score = chair.score({1: "Crabs and a dragon kite and a dog"}, {1: ["crab"]}, vocabulary=mine)
    assert (score.mentions, score.hallucinated_mentions) == (2, 1)


def test_captions_without_objects_give_zeros() -> None:
    score = chair.score({1: "Nice."}, {1: []})
    assert (score.chair_s, score.chair_i, score.recall) == (0, 0, 0)


def test_files_and_records_and_mappings_are_the_same_to_it(tmp_path: Path) -> None:
    captions, objects = tmp_path / "captions.jsonl", tmp_path / "objects.jsonl"
    captions.write_text("\n".join(json.dumps({"image_id": key, "caption": text}) for key, text in CAPTIONS.items()))
    objects.write_text("\n".join(json.dumps({"image_id": key, "objects": names}) for key, names in OBJECTS.items()))
    records = [{"image_id": str(key), "caption": text} for key, text in CAPTIONS.items()]
    assert chair.score(captions, objects) == chair.score(CAPTIONS, OBJECTS) == chair.score(records, [objects])


def test_objects_of_several_files_are_put_together(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text('{"image_id": 1, "objects": ["dog"]}\n')
    second.write_text('{"image_id": 1, "objects": ["cat"]}\n{"image_id": 1, "objects": ["bus"]}\n')
    assert chair.score({1: "A dog, a cat"}, [first, second]).recall == 2 / 3


@pytest.mark.parametrize(
    ("captions", "problem"),
    [
        ({1: "A dog.", 9: "A cat."}, "image 9 is not among the 3 images"),
        (
            [{"image_id": 1, "caption": "a"}, {"image_id": "1", "caption": "b"}],
            "record 2: image 1 has a caption already",
        ),
        ({1: " \n"}, "record 1: the caption of image 1 is empty"),
        ([{"image_id": 1}], "there is no 'caption'"),
        ([{"image_id": 1.5, "caption": "a"}], "'image_id' is a number, not an identifier"),
        ([{"image_id": 1, "caption": None}], "'caption' is null, not text"),
        ({}, "no usable caption"),
    ],
)
def test_bad_captions_are_refused_with_the_record(captions: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        chair.score(captions, OBJECTS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "known", [42, "000000000042.jpg", "COCO_val2014_000000000042.jpg", "COCO_val2014_000000000042"]
)
@pytest.mark.parametrize("said", ["42", "000000000042", "val2014/COCO_val2014_000000000042.jpg"])
def test_a_picture_of_coco_is_found_by_its_number_and_by_its_file_name(said: str, known: str | int) -> None:
    [one] = chair.score([{"image": said, "caption": "A dog and a cat."}], {known: ["dog"], 43: ["cat"]}).captions
    assert (one.caption.image_id, [mention.object for mention in one.hallucinated]) == (str(known), ["cat"])


@pytest.mark.parametrize(
    ("said", "known", "found"),
    [
        ("photo.png", ["photo"], "photo"),
        ("photo", ["photo.png"], "photo.png"),
        ("photo", ["photo.png", "photo.jpg"], None),
        ("1.png", ["1.png", "COCO_val2014_000000000001.jpg", "1"], "1.png"),
        ("1", ["1.png", "COCO_val2014_000000000001.jpg"], None),
        ("train_12", ["12", "val_12"], None),
        ("12", ["val_12"], None),
        ("v1.5", ["v1"], None),
        ("", ["1"], None),
    ],
)
def test_the_exact_name_wins_and_what_could_be_another_picture_is_none(
    said: str, known: list[str], found: str | None
) -> None:
    assert known_as(known)(said) == found


def test_an_object_that_the_vocabulary_lacks_is_named() -> None:
    with pytest.raises(InputError, match="'unicorn' is no object of the vocabulary COCO"):
        chair.score(CAPTIONS, OBJECTS | {4: ["unicorn"]})


def test_bad_records_can_be_left_out_and_are_counted() -> None:
    captions = [
        {"image_id": 1, "caption": "A dog."},
        {"image_id": 7, "caption": "A cat."},
        {"image_id": 2, "caption": ""},
    ]
    score = chair.score(captions, OBJECTS, skip_bad=True)
    assert len(score.captions) == 1
    assert len(score.skipped) == 2
    assert "record 2" in score.skipped[0]


def test_odd_texts_are_scored() -> None:
    long = "a dog and a cat " * 6500
    score = chair.score({1: "🐶 dog 👨‍👩‍👧 cat", 2: "كلب dog חתול", "three": long}, OBJECTS)
    assert [len(one.mentions) for one in score.captions] == [2, 1, 13000]


@given(st.dictionaries(st.integers(0, 50), st.lists(st.sampled_from(["dog", "cat", "bench", "sky"])), min_size=1))
def test_the_order_of_captions_does_not_matter(said: dict[int, list[str]]) -> None:
    captions = {key: " ".join(["It", *names]) for key, names in said.items()}
    backwards = dict(reversed(captions.items()))
    objects = {key: ["dog"] for key in range(51)}
    assert chair.score(captions, objects).record() == chair.score(backwards, objects).record()


@pytest.mark.parametrize("name", ["llava-1.5/greedy", "minigpt4/opera", "shikra/beam5"])
def test_what_stands_beside_chair_is_its_definition_written_out(shared_data: Path, name: str) -> None:
    folder = shared_data / "chair"
    found = chair.score(folder / "captions" / f"{name}.jsonl", folder / "coco_objects.jsonl")
    mentions = false_mentions = distinct = false_distinct = later = named = there = 0
    for row in (one.record() for one in found.captions):
        truth, words = set(row["objects"]), [mention["object"] for mention in row["mentions"]]
        wrong = [word for word in words if word not in truth]
        mentions, false_mentions = mentions + len(words), false_mentions + len(wrong)
        distinct, false_distinct = distinct + len(set(words)), false_distinct + len(set(wrong))
        later += len(wrong[1:])
        named, there = named + len(truth.intersection(words)), there + len(truth)
    precision, recall = 1 - false_mentions / mentions, named / there
    record = found.record()
    assert record["chair_i_distinct"] == false_distinct / distinct
    assert record["psh"] == later / false_mentions
    assert record["f1"] == 2 * precision * recall / (precision + recall)


def test_what_stands_beside_chair_is_zero_where_there_is_nothing() -> None:
    score = chair.score({1: "Nice."}, {1: []})
    assert (score.chair_i_distinct, score.psh, score.f1) == (0, 0, 0)


def test_repeating_what_is_there_lowers_chair_i_but_not_that_of_distinct_objects() -> None:
    once, often = (chair.score({1: f"A cat. {'A dog. ' * count}"}, {1: ["dog"]}) for count in (1, 9))
    assert (once.chair_i, often.chair_i) == (1 / 2, 1 / 10)
    assert once.chair_i_distinct == often.chair_i_distinct == 1 / 2


def test_snowballed_are_the_false_mentions_after_the_first_also_of_the_same_object() -> None:
    score = chair.score(
        {1: "A cat, a dog, a cat and a kite.", 2: "A cat.", 3: "A dog."}, {1: ["dog"], 2: [], 3: ["dog"]}
    )
    assert score.psh == 2 / 4
