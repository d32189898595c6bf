"""Text that grows token by token is the text of all tokens, cut at the first stop text."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoint import tokenizer

from farsight.serve.growing_text import GrowingText

WORDS = tokenizer()


def grown(text: str, stops: Sequence[str] = ()) -> tuple[str, list[str], bool]:
    pieces: list[str] = []
    growing = GrowingText(WORDS, stops, pieces.append)
    for token in WORDS(text, add_special_tokens=False)["input_ids"]:
        if not growing.stopped:
            growing.add(token)
    growing.end()
    return growing.text, pieces, growing.stopped


@given(st.text(alphabet="ab \né€😀", max_size=30))
def test_the_pieces_are_the_whole_text(text: str) -> None:
    whole, pieces, stopped = grown(text)
    assert (whole, "".join(pieces), stopped) == (text, text, False)


@given(st.text(alphabet="abc€", max_size=30), st.lists(st.text(alphabet="abc€", min_size=1, max_size=4), max_size=3))
def test_the_text_ends_in_front_of_the_stop_text_that_is_complete_first(text: str, stops: list[str]) -> None:
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    cut = text
    if ends:
        cut = min(text[: min(ends)].find(stop) for stop in stops if stop in text[: min(ends)])
        cut = text[:cut]
    whole, pieces, stopped = grown(text, stops)
    assert (whole, "".join(pieces), stopped) == (cut, cut, bool(ends))


def test_nothing_of_a_stop_text_is_shown_before_it_is_complete() -> None:
    assert grown("one, two", [", t"])[1] == ["o", "n", "e"]
    assert "".join(grown("one, six", [", t"])[1]) == "one, six"


def test_a_character_of_several_tokens_is_shown_as_one() -> None:
    assert grown("a😀b")[1] == ["a", "😀", "b"]


@pytest.mark.parametrize("token", [200, 250])
def test_bytes_that_never_become_a_character_are_shown_at_the_end(token: int) -> None:
    pieces: list[str] = []
    growing = GrowingText(WORDS, (), pieces.append)
    growing.add(token)
    growing.end()
    assert "".join(pieces) == growing.text == WORDS.decode([token])
