"""The text of an answer while it grows: handed on as soon as it is final, and cut at the first stop text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

INCOMPLETE = "\ufffd"
"""How a tokenizer writes a character of which bytes are still to come."""


class GrowingText(StoppingCriteria):
    """Follows one sequence token by token, and ends it where a stop text is complete.

    Parameters
    ----------
    tokenizer
        Makes text of tokens.
    stops
        Texts at which the answer ends; neither they nor what follows are in it.
    show
        Gets what is final of the text, piece by piece: no part of a stop text, no part of a character.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str], show: Callable[[str], None]) -> None:
        self.tokenizer, self.stops, self.show = tokenizer, stops, show
        self.text, self.stopped = "", False
        self._tokens: list[int] = []
        self._from = self._known = self._shown = 0

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Take the newest token; see ``transformers.StoppingCriteria``."""
        self.add(int(input_ids[0, -1]))
        return torch.tensor([self.stopped], device=input_ids.device)

    def add(self, token: int) -> None:
        """Let the text grow by a token, of which nothing may be visible yet."""
        self._tokens.append(token)
        # Tokens that are known are decoded again in front of new ones: the same token is another text at the beginning
        known = self._decoded(self._tokens[self._from : self._known])
        grown = self._decoded(self._tokens[self._from :])
        if len(grown) > len(known) and not grown.endswith(INCOMPLETE):
            self._from, self._known = self._known, len(self._tokens)
            self._extend(self.text + grown[len(known) :])

    def end(self) -> None:
        """Hand on what is left: nothing comes any more."""
        whole = self._decoded(self._tokens)
        if not self.stopped and whole.startswith(self.text):
            self._extend(whole)
        self._hand_on(len(self.text))

    def _extend(self, text: str) -> None:
        longest = max(map(len, self.stops), default=0)
        places = [text.find(stop, max(0, len(self.text) - longest)) for stop in self.stops]
        self.stopped = any(place >= 0 for place in places)
        self.text = text[: min(place for place in places if place >= 0)] if self.stopped else text
        held = 0 if self.stopped else max(map(self._begun, self.stops), default=0)
        self._hand_on(len(self.text) - held)

    def _begun(self, stop: str) -> int:
        """How many letters at the end of the text could be the beginning of a stop text."""
        return next((count for count in range(len(stop) - 1, 0, -1) if self.text.endswith(stop[:count])), 0)

    def _hand_on(self, end: int) -> None:
        if end > self._shown:
            self.show(self.text[self._shown : end])
            self._shown = end

    def _decoded(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))
