"""Captions are cut to equal length, and scored as if the model had stopped there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import SettingError
from farsight.metrics import chair
from farsight.metrics.cuts import Cut
from farsight.metrics.text_quality import spoken
from farsight.metrics.vocabulary import Vocabulary, coco

CAPTION = "A dog, a cat; the dog's bed... and two toilet seats!"


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "A"), (2, "A dog"), (5, "A dog, a cat; the"), (6, "A dog, a cat; the dog"), (7, "A dog, a cat; the dog's bed"),
     (10, "A dog, a cat; the dog's bed... and two toilet"), (11, CAPTION), (99, CAPTION)],
)  # fmt: skip
def test_a_caption_is_cut_after_so_many_words(count: int, text: str) -> None:
    assert Cut(words=count).text(CAPTION, coco()) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "A dog"), (2, "A dog, a cat"), (3, "A dog, a cat; the dog's bed"), (4, CAPTION[:-1]), (5, CAPTION)],
)
def test_a_caption_is_cut_where_the_last_object_is_first_named(count: int, text: str) -> None:
    assert Cut(objects=count).text(CAPTION, coco()) == text


def test_the_shorter_of_two_cuts_counts() -> None:
    assert Cut(words=3, objects=2).text(CAPTION, coco()) == "A dog, a"
    assert Cut(words=9, objects=2).text(CAPTION, coco()) == "A dog, a cat"


def test_a_word_that_the_rest_explained_away_counts_once_the_rest_is_gone() -> None:
    mine = Vocabulary(name="mine", objects={"chair": ["seat"], "toilet": [], "dog": []}, dropped=(("seat", "toilet"),))
    text = "A seat, a dog and a toilet."
    assert [one.object for one in mine.mentions(text)] == ["dog", "toilet"]
    assert Cut(objects=1).text(text, mine) == "A seat"


@given(st.text(alphabet="ab .,!?'-:;()\"0é\n", max_size=60) | st.text(max_size=40), st.integers(1, 12))
def test_cut_text_is_a_beginning_with_as_many_words_as_there_are(text: str, count: int) -> None:
    cut = Cut(words=count).text(text, coco())
    assert text.startswith(cut)
    assert len(spoken(cut)) == min(count, len(spoken(text)))


NAMES = st.lists(
    st.sampled_from(["dog", "cat", "hot dog", "toilet seat", "baby bird", "sky", "two men", "and,", "bus."])
)


@given(NAMES.map(" ".join), st.integers(1, 5))
def test_no_more_distinct_objects_are_left_than_were_wanted(text: str, count: int) -> None:
    cut = Cut(objects=count).text(text, coco())
    assert text.startswith(cut)
    before, after = ({one.object for one in coco().mentions(each)} for each in (text, cut))
    assert len(after) == min(count, len(before))
    assert Cut(objects=count).text(cut, coco()) == cut


@pytest.mark.parametrize("count", [0, -3])
def test_a_cut_that_leaves_nothing_is_refused(count: int) -> None:
    with pytest.raises(SettingError, match=rf"a cut after {count} words leaves nothing"):
        Cut(words=count)
    with pytest.raises(SettingError, match=rf"a cut after {count} objects leaves nothing"):
        Cut(objects=count)


def test_everything_about_a_cut_caption_is_about_what_is_left() -> None:
    score = chair.score({1: CAPTION, 2: "A dog."}, {1: ["dog", "bed"], 2: []}, cut=Cut(words=5))
    first, second = score.captions
    assert first.record() == {
        "image_id": "1",
        "caption": "A dog, a cat; the",
        "hallucinated": [{"word": "cat", "object": "cat", "start": 9, "end": 12, "token": 4}],
        "mentions": [one._asdict() for one in first.mentions],
        "objects": ["bed", "dog"],
        "missed": ["bed"],
        "words": 5,
        "cut": True,
    }
    assert (second.caption.text, second.cut, score.cut_captions) == ("A dog.", False, 1)
    assert (score.chair_i, score.recall, score.length) == (2 / 3, 1 / 2, 7 / 2)


def test_no_cut_changes_nothing(shared_data: Path) -> None:
    folder = shared_data / "chair"
    captions, objects = folder / "captions" / "shikra" / "greedy.jsonl", folder / "coco_objects.jsonl"
    assert chair.score(captions, objects) == chair.score(captions, objects, cut=Cut(words=10_000, objects=80))


def test_real_captions_cut_by_hand_score_the_same(shared_data: Path) -> None:
    """By hand: words are runs without spaces, which these captions' are but for their hyphens and marks."""
    folder = shared_data / "chair"
    rows = [json.loads(line) for line in (folder / "captions/llava-1.5/greedy.jsonl").read_text().splitlines()]
    plain = [
        row for row in rows if re.fullmatch(r"(?:[A-Za-z]+[,.]? |[A-Za-z]+[,.]?\n\n)*[A-Za-z]+\.?", row["caption"])
    ]
    assert len(plain) > 200
    for count in (10, 40):
        by_hand = {}
        for row in plain:
            runs = list(re.finditer(r"[A-Za-z]+", row["caption"]))
            end = runs[count - 1].end() if len(runs) > count else len(row["caption"])
            by_hand[row["image_id"]] = row["caption"][:end]
        whole = {row["image_id"]: row["caption"] for row in plain}
        objects = folder / "coco_objects.jsonl"
        cut, hand = chair.score(whole, objects, cut=Cut(words=count)), chair.score(by_hand, objects)
        assert cut.record() == hand.record() | {"cut_captions": cut.cut_captions}
