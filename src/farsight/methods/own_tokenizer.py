"""The tokenizer of a model and the tokens of its words, for methods whose settings are words."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoTokenizer

from farsight.errors import SettingError


def own_tokenizer(model: nn.Module, name: str, otherwise: str) -> Any:
    """Read it; ``name`` is the method that needs it, ``otherwise`` what to do without.

    Raises
    ------
    SettingError
        If there is none.
    """
    folder = getattr(getattr(model, "config", None), "_name_or_path", "")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise SettingError(f"{name} found no tokenizer in {folder!r}: {otherwise}") from error


def word_tokens(tokenizer: Any, word: str) -> tuple[int, ...]:
    """Give the tokens of a word: its forms with a small and a capital first letter, with and without a space in front.

    Forms that are several tokens are left out; empty if all are.
    """
    forms = [f"{space}{first}{word[1:]}" for space in ("", " ") for first in (word[0].upper(), word[0].lower())]
    ids = [tuple(tokenizer(form, add_special_tokens=False)["input_ids"]) for form in forms]
    return tuple(sorted({tokens[0] for tokens in ids if len(tokens) == 1}))
