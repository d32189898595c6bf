"""A description said again without some objects: nothing of them is left, nothing is added, the rest stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.methods.said_again import without
from farsight.metrics.vocabulary import coco
from farsight.metrics.words import words


@pytest.mark.parametrize(
    ("text", "failed", "left"),
    [
        ("A cat sleeps. A dog barks. It is late.", "dog", "A cat sleeps. It is late."),
        ("A man rides a bike, and a dog runs behind him. A cat sleeps.", "dog", "A man rides a bike. A cat sleeps."),
        ("There are a cup, a fork, and a bowl.", "fork", "There are a cup, and a bowl."),
        ("A dog lies on a bench, near a tree.", "bench", ""),
        ("In the background, there is a dog, a cat, and a chair.", "dog", ""),
        (
            "In the background, there is a dog, a cat, and a chair.",
            "chair",
            "In the background, there is a dog, a cat.",
        ),
        ("In addition to the car, two trucks wait, one of them red.", "truck", ""),
        ("What a view! Is that a dog? A boat sails.", "dog", "What a view! A boat sails."),
        ("1. A dog\n2. A cat\n3. A chair", "cat", "1. A dog\n3. A chair"),
        ("A cat.\n\nA dog. A chair.\n\nA boat.", "dog", "A cat.\n\nA chair.\n\nA boat."),
        ("A cat.\n\nA dog.\n\nA boat.", "dog", "A cat.\n\nA boat."),
        ("A boat sails, with a dog and a man at the", "dog", "A boat sails"),
        ("A hot dog on a plate.", "dog", "A hot dog on a plate."),
        ("", "dog", ""),
    ],
)
def test_what_names_it_leaves_and_the_rest_stays(text: str, failed: str, left: str) -> None:
    assert without(text, {failed}, coco()) == left


def test_what_begins_to_name_an_object_when_others_have_left_is_looked_at_too() -> None:
    """Beside a toilet a seat is no chair; without it, it is."""
    text = "A toilet stands there. The seat is up."
    assert [one.object for one in coco().mentions(text)] == ["toilet"]
    assert without(text, {"toilet"}, coco()) == "The seat is up."
    assert without(text, {"toilet", "chair"}, coco()) == ""


PIECES = [
    "A dog",
    "a cat",
    "two cars",
    "In the middle",
    "with a bench",
    "the sky",
    "nothing",
    "A boat sails",
    "3",
    "toilet",
    "seat",
]
TEXTS = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([", ", ". ", " and ", "\n\n", "! ", ", and "])))
FAILED = st.sets(st.sampled_from(["dog", "cat", "car", "bench", "boat", "toilet", "chair"]))


def test_a_line_ends_where_it_did() -> None:
    assert without("a cat, a dog\n\na boat sails", {"dog"}, coco()) == "a cat\n\na boat sails"


@given(TEXTS, FAILED)
def test_nothing_of_it_is_left_and_nothing_is_added(pieces: list[tuple[str, str]], failed: set[str]) -> None:
    text = "".join(piece + mark for piece, mark in pieces)
    left = without(text, failed, coco())
    assert not failed & {one.object for one in coco().mentions(left)}
    assert without(left, failed, coco()) == left
    if not failed & {one.object for one in coco().mentions(text)}:
        assert left == text
    before = iter(one.text for one in words(text) if one.text.isalnum())
    assert all(any(one.text == other for other in before) for one in words(left) if one.text.isalnum())
