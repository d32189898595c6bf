"""Which token becomes the register: one that the user names, one that the vocabulary reserves, or a new one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from farsight.errors import InputError, SettingError

NEW = "<|farsight_register|>"
_RESERVED = re.compile(r"^[<\[]\|?_?(reserved|unused|placeholder|dummy|extra|pad)[a-z_ ]*[-_ ]?\d+\|?[>\]]$", re.I)
"""Such as Llama 3's ``<|reserved_special_token_247|>``, Gemma's ``<unused98>``, and ``[PAD151936]`` in GGUF files."""


@dataclass(frozen=True, kw_only=True)
class RegisterToken:
    """The token that is a register.

    Parameters
    ----------
    text, number
        How it is written, and its row of the embedding.
    how
        ``"named"`` or ``"reserved"`` (it was in the vocabulary), ``"padding"`` (its row was there and had no token) or
        ``"appended"`` (embedding, output head and tokenizer grow by it).
    """

    text: str
    number: int
    how: str


def choose(
    vocabulary: Mapping[str, int], special: Collection[str], rows: int, wanted: str | None, used: Collection[str]
) -> RegisterToken:
    """Choose a token of a vocabulary, or one to be added.

    Parameters
    ----------
    vocabulary
        All tokens and their numbers.
    special
        Those that are cut out of a text before it is cut into others.
    rows
        Number of rows of the embedding.
    wanted
        What the user says; None to choose.
    used
        Tokens that mean something: begin, end, padding, and whatever the chat template writes.

    Raises
    ------
    SettingError
        If the wanted token is in use, or part of ordinary text.
    InputError
        If there are more tokens than rows.
    """
    following = max(vocabulary.values(), default=-1) + 1
    if following > rows:
        raise InputError(f"the tokenizer has {following} tokens and the embedding {rows} rows; get the model again")
    if wanted is not None and wanted in vocabulary:
        if wanted in used:
            raise SettingError(f"--token {wanted} is in use by this model; name one that is not, or leave it out")
        if wanted not in special and not _RESERVED.match(wanted):
            raise SettingError(f"--token {wanted} is part of ordinary text; name a special token, or leave it out")
        return RegisterToken(text=wanted, number=vocabulary[wanted], how="named")
    if wanted is not None and (not wanted.strip() or wanted != wanted.strip()):
        raise SettingError(f"--token {wanted!r} is no name of a token; write it without spaces around it")
    if wanted is None:
        reserved = [number for text, number in vocabulary.items() if _RESERVED.match(text) and text not in used]
        if reserved:
            number = max(reserved)
            text = next(text for text, other in vocabulary.items() if other == number)
            return RegisterToken(text=text, number=number, how="reserved")
    how = "padding" if following < rows else "appended"
    return RegisterToken(text=wanted or NEW, number=following, how=how)
