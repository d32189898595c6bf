"""A vocabulary finds the objects that a caption names, by the rules of the standard CHAIR script."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import InputError
from farsight.metrics.plurals import forms
from farsight.metrics.vocabulary import Vocabulary, coco, read_vocabulary


def named(text: str) -> list[str]:
    return [mention.object for mention in coco().mentions(text)]


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("Two women and their children watch the people.", ["person", "person", "person"]),
        ("Knives, mice, geese and oxen", ["knife", "mouse", "bird", "cow"]),
        ("A traffic light beside two stop signs", ["traffic light", "stop sign"]),
        ("hot dogs, not a dog", ["hot dog", "dog"]),
        ("A baby bird and an adult elephant", ["bird", "elephant"]),
        ("a baby and an adult", ["person", "person"]),
        ("a passenger train", ["train"]),
        ("a passenger on a train", ["person", "train"]),
        ("the train track and the home plate", []),
        ("a toilet seat", ["toilet"]),
        ("The seat of the toilet is up; two seats", ["toilet"]),
        ("A seat and a chair", ["chair", "chair"]),
        ("wine glasses and a wine glass", ["wine glass", "wine glass"]),
        ("A bow tie", ["tie"]),
        ("a dining table with a tennis racket", ["dining table", "tennis racket"]),
        ("laptop computer", ["laptop"]),
        ("teddy bears and bears", ["teddy bear", "bear"]),
        ("cups/mugs, a cup-shaped vase", ["vase"]),
        ("the dog's bowl (a large one)", ["dog", "bowl"]),
    ],
)
def test_captions_are_read_by_the_rules_of_chair(text: str, objects: list[str]) -> None:
    assert named(text) == objects


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("A bus and two buses", ["bus"]),
        ("ties and a tie", ["tie"]),
        ("canoes and a canoe", ["boat"]),
        ("a stove top oven", ["oven", "oven"]),
        ("a motor bike", []),
        ("a cheesecake and an iphone", []),
    ],
)
def test_what_the_standard_script_overlooks_or_doubles_is_kept_since_published_figures_contain_it(
    text: str, objects: list[str]
) -> None:
    assert named(text) == objects


def test_ground_truth_knows_the_objects_that_captions_overlook() -> None:
    assert coco().category("bus") == "bus"
    assert coco().category("Hot  Dog") == "hot dog"
    assert coco().category("knives") == "knife"
    assert coco().category("unicorn") is None


def test_coco_has_its_80_categories() -> None:
    assert len(coco().objects) == 80


def test_mentions_say_where_they_stand() -> None:
    text = "Look: two Hot Dogs and a man."
    assert [text[mention.start : mention.end] for mention in coco().mentions(text)] == ["Hot Dogs", "man"]
    assert [mention.token for mention in coco().mentions(text)] == [3, 7]
    assert [mention.word for mention in coco().mentions(text)] == ["hot dog", "man"]


def test_a_vocabulary_of_ones_own_has_a_category_a_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("\ufeffbus, coach\n# comment\nglass, tumbler  # drinking\n\nwind turbine\nMY Tie\nfox\n")
    mine = read_vocabulary(file)
    text = "Buses, a coach and two glasses under wind turbines; my ties, a bus, foxes."
    assert [mention.object for mention in mine.mentions(text)] == [
        "bus", "bus", "glass", "wind turbine", "my tie", "bus", "fox",
    ]  # fmt: skip


def test_the_files_of_the_field_can_be_read_as_they_are(tmp_path: Path) -> None:
    """The synonyms of CHAIR as the project's TOML has them, written in the format of the standard script's file."""
    file = tmp_path / "synonyms.txt"
    file.write_text("\n".join(", ".join([name, *words]) for name, words in coco().objects.items()))
    assert read_vocabulary(file).objects.keys() == coco().objects.keys()


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("empty.txt", "# nothing\n", "has no objects"),
        ("twice.txt", "cat, pet\ndog, pet\n", "'pet' stands for both 'cat' and 'dog'"),
        ("broken.toml", "[objects\n", "not valid TOML"),
        ("other.toml", "x = 1\n", "not a vocabulary"),
        ("text.toml", "[objects]\nbird = 'gull'\n", "not a vocabulary"),
    ],
)
def test_a_bad_vocabulary_is_refused_with_the_reason(tmp_path: Path, name: str, text: str, problem: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_vocabulary(file)


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.txt"):
        read_vocabulary(tmp_path / "nowhere.txt")


def test_the_longest_phrase_goes_first() -> None:
    mine = Vocabulary(name="mine", objects={"oven": ["stove top oven"], "stove": [], "top": []})
    assert [mention.word for mention in mine.mentions("a stove top oven, a stove top")] == [
        "stove top oven", "stove", "top",
    ]  # fmt: skip


@given(st.sampled_from(sorted(coco().objects)), st.text(max_size=20))
def test_every_category_is_found_in_its_plural_unless_it_is_overlooked(name: str, around: str) -> None:
    plural = " ".join([*name.split()[:-1], name.split()[-1] + "s"])
    found = coco().mentions(f"{around} : {plural} : {around}")
    if not {name, plural} & coco().overlooked:
        assert name in [mention.object for mention in found]


def test_plurals_are_those_of_english() -> None:
    assert forms("fox") >= {"fox", "foxes"}
    assert forms("child") >= {"children"}
    assert forms("lady") >= {"ladies"}
    assert forms("monkey") == {"monkey", "monkeys"}
    assert forms("snowman") >= {"snowmen"}
    assert forms("wolf") >= {"wolves"}
    assert "foxen" not in forms("fox")


def test_the_data_file_has_no_word_twice() -> None:
    import farsight.metrics

    file = Path(farsight.metrics.__path__[0]) / "vocabularies" / "coco.toml"
    objects = tomllib.loads(file.read_text())["objects"]
    words = [word for name, synonyms in objects.items() for word in (name, *synonyms)]
    assert len(words) == len(set(words))
