"""POPE's questions made from objects of one's own."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import InputError, SettingError
from farsight.metrics.pope.image_names import image_namer
from farsight.metrics.pope.questions import KINDS, QuestionSets, make_questions, question
from farsight.metrics.pope.scoring import score

NAMES = [f"object {letter}" for letter in "abcdefgh"]
Objects = dict[str, frozenset[str]]


def can_be_asked(objects: Objects) -> bool:
    collection = frozenset().union(*objects.values())
    return any(names and names != collection for names in objects.values())


COLLECTIONS = st.dictionaries(
    st.integers(0, 99).map(str), st.frozensets(st.sampled_from(NAMES)), min_size=2, max_size=12
).filter(can_be_asked)


def made_by_picture(made: QuestionSets, kind: str) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for pair in made.pairs[kind]:
        found.setdefault(pair.image_id, []).append((pair.present, pair.absent))
    return found


@given(COLLECTIONS, st.integers(1, 5), st.integers(0, 9))
def test_each_picture_is_asked_as_often_as_possible_about_what_is_there_and_what_is_not(
    objects: Objects, per_image: int, seed: int
) -> None:
    made = make_questions(objects, per_image=per_image, seed=seed)
    collection = frozenset().union(*objects.values())
    for kind in KINDS:
        asked = made_by_picture(made, kind)
        for image_id, there in objects.items():
            pairs = asked.get(image_id, [])
            assert len(pairs) == min(per_image, len(there), len(collection - there))
            everything = [name for pair in pairs for name in pair]
            assert len(set(everything)) == len(everything)
            assert {present for present, _ in pairs} <= there
            assert {absent for _, absent in pairs} <= collection - there


@given(COLLECTIONS, st.integers(0, 9))
def test_the_three_kinds_ask_about_the_same_present_objects_in_the_same_order(objects: Objects, seed: int) -> None:
    made = make_questions(objects, seed=seed)
    asked = [[(pair.image_id, pair.present) for pair in made.pairs[kind]] for kind in KINDS]
    assert asked[0] == asked[1] == asked[2]


@given(COLLECTIONS, st.integers(0, 9))
def test_nothing_popular_that_is_not_there_is_passed_over(objects: Objects, seed: int) -> None:
    frequency = Counter(name for names in objects.values() for name in names)
    for image_id, pairs in made_by_picture(make_questions(objects, seed=seed), "popular").items():
        left = set(frequency) - objects[image_id]
        for _, absent in pairs:
            assert frequency[absent] == max(frequency[name] for name in left)
            left.remove(absent)


@given(COLLECTIONS, st.integers(0, 9))
def test_no_absent_object_is_more_often_next_to_the_one_asked_about_than_the_adversarial_one(
    objects: Objects, seed: int
) -> None:
    collection = frozenset().union(*objects.values())
    for image_id, pairs in made_by_picture(make_questions(objects, seed=seed), "adversarial").items():
        left = set(collection - objects[image_id])
        for present, absent in pairs:
            together = {name: sum({name, present} <= names for names in objects.values()) for name in left}
            assert together[absent] == max(together.values())
            left.remove(absent)


@given(COLLECTIONS, st.integers(0, 9), st.randoms(use_true_random=False))
def test_the_order_of_records_and_names_does_not_matter(objects: Objects, seed: int, shuffler: random.Random) -> None:
    records = [{"image_id": image_id, "objects": sorted(names)} for image_id, names in objects.items()]
    made = make_questions(records, seed=seed)
    shuffler.shuffle(records)
    for record in records:
        shuffler.shuffle(record["objects"])
    assert make_questions(records, seed=seed).pairs == made.pairs


def test_the_hash_seed_of_the_interpreter_does_not_matter() -> None:
    script = (
        "from farsight.metrics.pope.questions import KINDS, make_questions\n"
        "objects = {n: {f'thing {(n * k) % 7}' for k in range(n % 5)} for n in range(30)}\n"
        "made = make_questions(objects, seed=3)\n"
        "print([list(made.rows(kind)) for kind in KINDS])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(said) == 1


def test_seeds_choose_evenly_among_what_is_there_and_among_what_is_not() -> None:
    objects = {1: ["a", "b", "c", "d"], 2: ["e", "f", "g", "h", "i"]}
    there, not_there = Counter(), Counter()
    for seed in range(2000):
        pair = make_questions(objects, per_image=1, seed=seed).pairs["random"][0]
        there[pair.present] += 1
        not_there[pair.absent] += 1
    assert set(there) == set("abcd")
    assert all(abs(count - 500) < 100 for count in there.values()), there  # five standard deviations
    assert set(not_there) == set("efghi")
    assert all(abs(count - 400) < 90 for count in not_there.values()), not_there


def test_another_seed_asks_about_other_objects_and_the_same_seed_about_the_same() -> None:
    objects = {number: [f"thing {number}", f"thing {number + 1}", f"thing {number + 2}"] for number in range(20)}
    first, again, other = (make_questions(objects, per_image=2, seed=seed) for seed in (0, 0, 1))
    assert first.pairs == again.pairs
    assert {pair.present for pair in first.pairs["random"]} != {pair.present for pair in other.pairs["random"]}
    assert first.pairs["random"] != other.pairs["random"]


def test_a_picture_is_asked_the_same_whatever_pictures_with_the_same_objects_come_before_it() -> None:
    objects = {number: ["a", "b"] if number % 2 else ["c", "d"] for number in range(2, 10)}
    fewer, more = (make_questions(some).pairs["random"] for some in (objects, {1: ["a", "b"]} | objects))
    assert more[2:] == fewer


def test_an_adversarial_question_without_any_companion_falls_back_on_chance() -> None:
    objects = {1: ["lamp"], 2: ["cat"], 3: ["dog"], 4: ["owl"]}
    absent = {make_questions(objects, seed=seed).pairs["adversarial"][0].absent for seed in range(40)}
    assert absent == {"cat", "dog", "owl"}


def test_ties_go_to_the_more_frequent_object_and_then_by_name() -> None:
    objects = {1: ["cat"], 2: ["cat", "sofa"], 3: ["cat", "bowl"], 4: ["bowl"], 5: ["cat", "apple"], 6: ["apple"]}
    made = make_questions(objects, per_image=3)
    assert made_by_picture(made, "adversarial")["1"] == [("cat", "apple")]
    assert made_by_picture(made, "popular")["1"] == [("cat", "apple")]
    assert made_by_picture(made, "adversarial")["4"] == [("bowl", "cat")]


def test_questions_have_the_fields_of_the_public_files_and_alternate() -> None:
    made = make_questions({10: ["apple", "cat"], 9: ["dog", "owl"]}, image_template="{}.jpg")
    for kind in KINDS:
        rows = list(made.rows(kind))
        assert [list(row) for row in rows] == [["question_id", "image", "text", "label"]] * 8
        assert [row["question_id"] for row in rows] == list(range(1, 9))
        assert [row["image"] for row in rows] == ["9.jpg"] * 4 + ["10.jpg"] * 4
        assert [row["label"] for row in rows] == ["yes", "no"] * 4
        assert {rows[0]["text"], rows[2]["text"]} == {"Is there a dog in the image?", "Is there an owl in the image?"}


def test_a_model_that_always_says_yes_is_right_half_of_the_time() -> None:
    made = make_questions({1: ["a"], 2: ["b", "c"], 3: ["a", "c", "d"]})
    for kind in KINDS:
        rows = list(made.rows(kind))
        found = score({row["question_id"]: "Yes" for row in rows}, rows)
        assert (found.accuracy, found.recall, found.yes_ratio) == (0.5, 1.0, 1.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cat", "Is there a cat in the image?"),
        ("umbrella", "Is there an umbrella in the image?"),
        ("Orange", "Is there an Orange in the image?"),
        ("uniform", "Is there an uniform in the image?"),
        ("hour glass", "Is there a hour glass in the image?"),
        ("{banana}", "Is there a {banana} in the image?"),
        ("שולחן", "Is there a שולחן in the image?"),
    ],
)
def test_an_goes_before_vowel_letters_and_nowhere_else(name: str, text: str) -> None:
    assert question(name) == text


def test_counts_say_how_many_pictures_have_fewer_questions_or_none() -> None:
    made = make_questions({1: ["a", "b", "c", "d"], 2: ["a"], 3: [], 4: ["a", "b"]}, per_image=2)
    assert (made.images, made.images_with_fewer, made.questions) == (2, 1, 6)
    assert made.nothing_to_ask == ("1", "3")
    assert made.record() == {
        "images": 2, "questions": 6, "per_image": 2, "images_with_fewer": 1, "images_with_nothing_to_ask": 2,
        "skipped": 0,
    }  # fmt: skip


def test_any_names_are_objects_and_records_of_one_picture_are_put_together() -> None:
    records = [
        {"image": "a.png", "objects": ["Éclair", " fire   hydrant "]},
        {"image": "b.png", "objects": ["🐶"]},
        {"image": "a.png", "objects": ["fire hydrant", "Fire hydrant"]},
    ]
    made = make_questions(records)
    assert {pair.present for pair in made.pairs["random"] if pair.image_id == "b.png"} == {"🐶"}
    assert {pair.absent for pair in made.pairs["popular"] if pair.image_id == "a.png"} == {"🐶"}
    drawn = {make_questions(records, seed=seed).pairs["random"][1].absent for seed in range(40)}
    assert drawn == {"Éclair", "fire hydrant", "Fire hydrant"}


def test_identifiers_that_are_no_unicode_are_asked_about_too() -> None:
    made = make_questions(
        [json.loads('{"image_id": "\\ud800", "objects": ["cat"]}'), {"image_id": 1, "objects": ["x"]}]
    )
    assert [pair.image_id for pair in made.pairs["popular"]] == ["1", "\ud800"]


def test_real_annotations_give_questions_like_the_public_ones(shared_data: Path) -> None:
    source = shared_data / "chair" / "coco_objects.jsonl"
    made = make_questions(source, image_template="COCO_val2014_{:0>12}.jpg")
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    there = {f"COCO_val2014_{row['image_id']:012d}.jpg": set(row["objects"]) for row in rows}
    assert made.images + len(made.nothing_to_ask) == len(there)
    for kind in KINDS:
        for row in made.rows(kind):
            name = row["text"].removeprefix("Is there a").removeprefix("n").removesuffix(" in the image?").strip()
            assert (name in there[row["image"]]) == (row["label"] == "yes")


@pytest.mark.parametrize(
    ("records", "what"),
    [
        ([{"image_id": 1, "objects": ["a"]}, {"objects": ["b"]}], "objects.jsonl:2: there is no 'image_id'"),
        ([{"image_id": 1, "objects": "a"}], "objects.jsonl:1: 'objects' is text, not a list of names"),
        ([{"image_id": 1, "objects": ["a", " "]}], "objects.jsonl:1: image 1 has an object without a name"),
        ([{"image_id": 1, "caption": "A cat."}], "objects.jsonl:1: there is no 'objects'"),
        ([{"image_id": 1, "objects": ["a"]}], "nothing can be asked about any of the 1 images"),
        ([{"image_id": 1, "objects": ["a"]}, {"image_id": 2, "objects": []}], "nothing can be asked about any of"),
    ],
)
def test_bad_objects_are_one_line_with_the_place(tmp_path: Path, records: list[dict[str, object]], what: str) -> None:
    path = tmp_path / "objects.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(InputError) as error:
        make_questions(path)
    assert what in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_records_are_left_out_and_listed_when_that_is_wanted() -> None:
    made = make_questions([{"image_id": 1, "objects": ["a"]}, {"image_id": 2}, {"image_id": 3, "objects": ["b"]}],
                          skip_bad=True)  # fmt: skip
    assert made.images == 2
    assert [message.split(":")[0] for message in made.skipped] == ["record 2"]


def test_a_picture_needs_at_least_one_pair() -> None:
    with pytest.raises(SettingError, match="per_image must be at least 1 pair of questions, got 0"):
        make_questions({1: ["a"], 2: ["b"]}, per_image=0)


@pytest.mark.parametrize(
    ("template", "image_id", "name"),
    [
        ("{}", "a/b.png", "a/b.png"),
        ("{}.jpg", "42", "42.jpg"),
        ("COCO_val2014_{:0>12}.jpg", "42", "COCO_val2014_000000000042.jpg"),
        ("COCO_val2014_{:012d}.jpg", "42", "COCO_val2014_000000000042.jpg"),
        ("{:012}.jpg", "42", "000000000042.jpg"),
        ("{:d}", "0042", "42"),
        ("{:_<6}", "ab", "ab____"),
        ("{{{}}}", "x", "{x}"),
    ],
)
def test_a_template_makes_a_file_name(template: str, image_id: str, name: str) -> None:
    assert image_namer(template)(image_id) == name


@pytest.mark.parametrize(
    "template",
    ["", "picture.jpg", "{}{}", "{0}", "{id}", "{.__class__}", "{[0]}", "{0.__doc__}", "{!r}", "{", "}", "{:{}}",
     "{:>9999999999}", "{:.3f}", "{:5}", "{:x}"],
)  # fmt: skip
def test_a_template_is_refused_that_does_anything_else(template: str) -> None:
    with pytest.raises(SettingError, match=r"makes no file name: .*; write one like \{\}\.jpg"):
        image_namer(template)


def test_a_template_for_numbers_is_refused_for_other_identifiers() -> None:
    with pytest.raises(SettingError, match="is for numbers, and image 'cat' is none"):
        make_questions({"cat": ["a"], "dog": ["b"]}, image_template="{:012d}.jpg")
