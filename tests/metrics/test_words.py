"""Words are cut as NLTK cuts them, as far as words of letters and their neighbours are concerned."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.tokenize.destructive import NLTKWordTokenizer

from farsight.metrics.words import words

NLTK = NLTKWordTokenizer()
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
CONTRACTIONS = re.compile(r"n't|cannot|gonna|gotta|wanna|gimme|lemme|more'n|d'ye|'tis|'twas", re.IGNORECASE)
"""NLTK takes these apart. None of the pieces names an object."""


def visible(tokens: list[str]) -> list[str]:
    """Reduce tokens to what a score can see: words of letters, and that something stands between two."""
    seen = [token if re.fullmatch("[a-z]+", token) else "-" for token in tokens]
    return [token for before, token in itertools.pairwise(["", *seen]) if (before, token) != ("-", "-")]


def by_nltk(text: str) -> list[str]:
    return [token for sentence in SENTENCE_END.split(text.lower()) for token in NLTK.tokenize(sentence)]


def agrees(text: str) -> bool:
    return visible([word.text for word in words(text)]) == visible(by_nltk(text))


PLAIN = ["dog", "Cats", "hot", "people", "wine", "dog's", "dogs'", "they'll", "hot-dog", "a/b", "person’s", "dog''s"]
ODD = ["3", "3.5", "1,000", "$3", "#4", "C&A", "U.S.", "café", "🐶", "כלב"]
WORD = st.sampled_from([*PLAIN, *ODD])
JOINT = st.sampled_from([" ", " ", " ", ", ", ": ", "; ", " - ", "--", " — ", "... ", "/", "*", "\n"])
QUOTED = st.sampled_from(["{}", "{}", "{}", '"{}"', "({})", "“{}”", "[{}]", "{}, and"])
END = st.sampled_from([". ", ". ", ".\n\n", "! ", "?", "...", '." ', '."', ".) ", ".", ""])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Text as a model writes it, and a little worse."""
    phrase = st.lists(st.tuples(WORD, JOINT), min_size=1, max_size=4)
    text = ""
    for _ in range(draw(st.integers(0, 4))):
        phrases = ["".join(f"{word}{joint}" for word, joint in draw(phrase)) for _ in range(draw(st.integers(1, 3)))]
        text += " ".join(draw(QUOTED).format(one.rstrip(" \n-—,:;./*")) for one in phrases) + draw(END)
    return text


@given(texts())
def test_words_of_letters_stand_where_nltk_sees_them(text: str) -> None:
    assert agrees(text)


def test_real_captions_are_cut_as_nltk_cuts_them(shared_data) -> None:
    files = sorted((shared_data / "chair" / "captions").glob("*/greedy.jsonl"))
    texts = [json.loads(line)["caption"] for file in files for line in file.read_text().splitlines()]
    checked = [text for text in texts if not CONTRACTIONS.search(text)]
    assert len(checked) > 1800
    assert [text for text in checked if not agrees(text)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog. A cat.", ["a", "dog", ".", "a", "cat", "."]),
        ("The dog's hot-dog", ["the", "dog", "'s", "hot-dog"]),
        ("street.The", ["street.the"]),
        ("(a cup, 3.5 m)", ["(", "a", "cup", ",", "3.5", "m", ")"]),
        ("", []),
    ],
)
def test_examples(text: str, expected: list[str]) -> None:
    assert [word.text for word in words(text)] == expected


@given(st.text())
def test_spans_point_at_the_words_and_cover_all_but_spaces(text: str) -> None:
    found = words(text)
    assert [text[word.start : word.end].lower() for word in found] == [word.text for word in found]
    left = "".join(
        text[a:b] for a, b in itertools.pairwise([0, *(x for w in found for x in (w.start, w.end)), len(text)])
    )
    covered = "".join(text[word.start : word.end] for word in found)
    assert re.sub(r"\s", "", text) == re.sub(r"\s", "", covered)
    assert len(left) == len(text)
