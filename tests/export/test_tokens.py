"""Which token becomes the register."""

from __future__ import annotations

import pytest

from farsight.errors import InputError, SettingError
from farsight.export.tokens import NEW, choose

WORDS = {"<s>": 0, "</s>": 1, "<image>": 2, "the": 3, "<gh_stars>": 4}
SPECIAL = {"<s>", "</s>", "<image>", "<gh_stars>"}
USED = {"<s>", "</s>", "<image>"}


def chosen(words: dict[str, int], rows: int, wanted: str | None = None) -> tuple[str, int, str]:
    found = choose(words, SPECIAL, rows, wanted, USED)
    return found.text, found.number, found.how


@pytest.mark.parametrize(
    "text",
    [
        "<|reserved_special_token_247|>",
        "<unused98>",
        "[PAD151936]",
        "<reserved_7>",
        "<|extra_3|>",
        "[UNUSED_TOKEN_140]",
    ],
)
def test_what_the_vocabulary_reserves_is_taken_and_the_last_of_it_first(text: str) -> None:
    first = "<unused0>"
    assert chosen({**WORDS, first: 5, text: 6}, 7) == (text, 6, "reserved")


@pytest.mark.parametrize("text", ["<unused>", "unused7", "<pad>", "[INST]", "<|im_start|>", "<extra_id>"])
def test_other_tokens_are_left_alone(text: str) -> None:
    assert chosen({**WORDS, text: 5}, 6) == (NEW, 6, "appended")


def test_a_row_without_a_token_is_taken_before_one_is_appended() -> None:
    assert chosen(WORDS, 8) == (NEW, 5, "padding")
    assert chosen(WORDS, 5) == (NEW, 5, "appended")


def test_the_user_names_a_token_that_is_there_or_a_new_one() -> None:
    assert chosen(WORDS, 5, "<gh_stars>") == ("<gh_stars>", 4, "named")
    assert chosen(WORDS, 8, "<mine>") == ("<mine>", 5, "padding")


@pytest.mark.parametrize(
    ("wanted", "said"), [("<s>", "in use"), ("<image>", "in use"), ("the", "part of ordinary text"), (" x", "spaces")]
)
def test_a_token_that_means_something_is_refused(wanted: str, said: str) -> None:
    with pytest.raises(SettingError, match=f"--token .*{said}"):
        chosen(WORDS, 5, wanted)


def test_more_tokens_than_rows_are_damage() -> None:
    with pytest.raises(InputError, match="5 tokens and the embedding 3 rows"):
        chosen(WORDS, 3)
