"""A constant added to the logits of one word: the control for methods that say "Yes" less, or "The" more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.errors import SettingError
from farsight.method import Method
from farsight.methods.logits import logits_changed
from farsight.methods.own_tokenizer import own_tokenizer, word_tokens
from farsight.setting_checks import check_number, check_token_ids, setting


@dataclass(frozen=True, kw_only=True)
class Shift(Method):
    """Add ``value`` to the logits of one word at every step.

    What a method gains on yes/no questions may be nothing but a changed share of "Yes", which one number does as well
    (Yin et al., "The Mirage of Performance Gains", 2025); what First Logit Boosting gains may be "The".

    Parameters
    ----------
    value
        What is added; negative numbers make the word rarer, 0 is plain decoding.
    word
        The word. Its tokens are those of its first letter small or capital, with and without a space in front, where
        that is one token of the tokenizer in the model's folder.
    token_ids
        The tokens instead, for a model that was not loaded from a folder with a tokenizer.

    Raises
    ------
    SettingError
        If a value has no meaning; if there is neither ``token_ids`` nor a tokenizer that has the word as one token.
    """

    name: ClassVar[str] = "shift"
    paper: ClassVar[str] = "a control, from no paper"
    changes: ClassVar[str] = "logits"
    extra_forwards: ClassVar[float] = 0.0

    value: float = setting(-1.0, check_number)
    word: str = "Yes"
    token_ids: tuple[int, ...] = setting((), check_token_ids)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.word, str) or not (self.token_ids or self.word.strip()):
            raise SettingError(f"word must be a word, got {self.word!r}")

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Change the logits of every forward of ``model``; see `Method`."""
        tokens = self.token_ids or _tokens(model, self.word.strip())

        def shifted(logits: Tensor) -> Tensor:
            if max(tokens) >= logits.shape[-1]:
                raise SettingError(f"token_ids has the token {max(tokens)}, this model has 0 to {logits.shape[-1] - 1}")
            added = torch.zeros_like(logits[..., 0, :])
            added[..., list(tokens)] = self.value
            return logits + added.unsqueeze(-2)

        with logits_changed(model, shifted):
            yield


def _tokens(model: nn.Module, word: str) -> tuple[int, ...]:
    """The forms of a word that are one token each."""
    tokenizer = own_tokenizer(model, "shift", "pass token_ids=(...) with the tokens of the word")
    found = word_tokens(tokenizer, word)
    if not found:
        raise SettingError(f"'{word}' is no single token of this model: choose another word, or pass token_ids=(...)")
    return found
