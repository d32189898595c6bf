"""Answers that are made together: each has its own text, end, length and listener, whatever the others do."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import torch
from torch import Tensor

from farsight.call import NewTokens
from farsight.serve.answers import ApiError, Usage
from farsight.serve.growing_text import GrowingText
from farsight.serve.request import ChatRequest


@dataclass(frozen=True)
class Piece:
    """More of the text, of an answer that is streamed."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The answer is there."""

    text: str
    finish_reason: str
    usage: Usage


News = Piece | Ended | ApiError
"""What is told of a job: at last how it has ended, or why it has not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A request and who waits for the answer.

    Parameters
    ----------
    request
        What is asked.
    listener
        Is called with `News`, in the thread of the worker.
    cancelled
        Set by who does not wait any more.
    """

    request: ChatRequest
    listener: Callable[[News], object]
    cancelled: Event = field(default_factory=Event)

    def tell(self, news: News) -> None:
        """Say what is new, if there still is a server to say it to."""
        with suppress(RuntimeError):
            self.listener(news)


class Row:
    """The answer to one job, token by token.

    Parameters
    ----------
    job
        Who is told of it.
    tokenizer
        Makes text of tokens.
    prompt_tokens
        Length of the prompt.
    most
        Where the answer is cut off.
    ends
        Tokens at which it ends.
    """

    def __init__(self, job: Job, tokenizer: Any, *, prompt_tokens: int, most: int, ends: Set[int]) -> None:
        self.job, self.prompt_tokens, self.most, self.ends = job, prompt_tokens, most, ends
        self.begun = self.ended = self.told = False
        self._tokens: list[int] = []
        self._text = GrowingText(tokenizer, job.request.stop, self._show)
        self._followed = job.request.stream or bool(job.request.stop)

    def take(self, token: int) -> bool:
        """Take the next token, and say whether the answer has ended: nothing more is taken then."""
        if not self.ended:
            self._tokens.append(token)
            if self._followed:
                self._text.add(token)
            whole = token in self.ends or self._text.stopped or len(self._tokens) >= self.most
            self.ended = whole or self.job.cancelled.is_set()
        return self.ended

    def finish(self) -> None:
        """Tell the whole answer, once."""
        if self.told:
            return
        self.told = self.ended = True
        for token in [] if self._followed else self._tokens:
            self._text.add(token)
        self._text.end()
        whole = self._text.stopped or bool(self._tokens and self._tokens[-1] in self.ends)
        reason = "stop" if whole or len(self._tokens) < self.most else "length"
        usage = Usage(prompt=self.prompt_tokens, completion=len(self._tokens))
        self.job.tell(Ended(text=self._text.text, finish_reason=reason, usage=usage))

    def _show(self, piece: str) -> None:
        self.begun = True
        self.job.tell(Piece(piece))


class Rows(NewTokens):
    """Gives each row its newest token, ends it where its answer ends, and tells of it while others go on."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__([row.most for row in rows])
        self.rows = rows

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """See ``transformers.StoppingCriteria``."""
        ended = [row.take(token) for row, token in zip(self.rows, input_ids[:, -1].tolist(), strict=True)]
        if not all(ended):
            for row in self.rows:
                if row.ended:
                    row.finish()
        return torch.tensor(ended, device=input_ids.device)


@dataclass(frozen=True)
class AllCancelled:
    """Whether nobody waits for any of some jobs."""

    jobs: Sequence[Job]

    def is_set(self) -> bool:
        """As of a ``threading.Event``."""
        return all(job.cancelled.is_set() for job in self.jobs)
