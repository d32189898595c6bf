"""Which words of an answer name objects, where no vocabulary says so."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from farsight.errors import InputError
from farsight.judging.nouns import Nouns, singular


def named(text: str) -> list[str]:
    return [mention.object for mention in Nouns().mentions(text)]


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("A man is riding a bicycle past several parked cars.", ["man", "bicycle", "car"]),
        ("The image features a traffic light in the background.", ["traffic light"]),
        ("The chest X-ray shows an enlarged heart and a pleural effusion.", ["chest x-ray", "heart", "effusion"]),
        ("A conveyor belt carries screws and two cracked bearings.", ["conveyor belt", "screw", "bearing"]),
        ("A tennis player swings his racket.", ["tennis player", "racket"]),
        ("There is an orange bus in the middle. There is a red kite at the top.", ["bus", "kite"]),
        ("Two people hold wine glasses; one wears sunglasses.", ["person", "wine glass", "sunglasses"]),
        ("", []),
        ("It is beautiful!", []),
    ],
    ids=["street", "compound", "medicine", "factory", "verb", "drawn", "plural only", "empty", "no noun"],
)
def test_objects_are_the_nouns_of_an_answer(text: str, objects: list[str]) -> None:
    assert named(text) == objects


@pytest.mark.parametrize("article", ["a", "a white", "the", "the old", "her", "one", "another"])
@pytest.mark.parametrize(
    "name", ["sink", "remote", "starfish", "jellyfish", "bear", "teddy bear", "stop sign", "monitor"]
)
def test_what_an_article_begins_ends_with_an_object(article: str, name: str) -> None:
    assert named(f"There is {article} {name} in the middle.") == [name]


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("Two teddy bears and several sinks.", ["teddy bear", "sink"]),
        ("A remote, a mouse and a starfish.", ["remote", "mouse", "starfish"]),
        ("Three oranges lie on an orange plate.", ["orange", "plate"]),
        ("A large and modern kitchen with a small, wooden table.", ["kitchen", "table"]),
        ("A dog is next to the other, and the second stands nearby.", ["dog"]),
        ("The people sit on a bench, and each holds a cup.", ["person", "bench", "cup"]),
        ("There are a few birds visible in the sky.", ["bird", "sky"]),
        ("The beach also includes an umbrella placed nearby.", ["beach", "umbrella"]),
    ],
    ids=["numbers", "list", "fruit", "adjectives", "others", "plurals", "visible", "also"],
)
def test_verbs_and_adjectives_are_no_objects(text: str, objects: list[str]) -> None:
    assert named(text) == objects


def test_a_noun_is_found_where_it_stands() -> None:
    text = "Here are two fire hydrants beside a dog."
    assert [text[one.start : one.end] for one in Nouns().mentions(text)] == ["fire hydrants", "dog"]


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("buses", "bus"), ("bus", "bus"), ("ties", "tie"), ("cherries", "cherry"), ("leaves", "leaf"),
        ("horses", "horse"), ("knives", "knife"), ("olives", "olive"), ("women", "woman"), ("gearboxes", "gearbox"),
        ("glass", "glass"), ("sheep", "sheep"),
    ],
)  # fmt: skip
def test_plurals_are_the_same_object(plural: str, one: str) -> None:
    assert singular(plural) == one


def test_an_answer_names_the_same_whatever_was_read_before() -> None:
    text = "Children play near a pond."
    before = named(text)
    named("Pond ponds play. Children children.")
    assert named(text) == before == ["child", "pond"]


def test_without_the_tagger_it_is_said_what_to_install(monkeypatch: Any) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "textblob" else found(name))
    with pytest.raises(InputError, match=r"pip install '\.\[judge\]'.*--synonyms"):
        Nouns()
