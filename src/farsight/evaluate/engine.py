"""The seam between what a run has left to ask and the rows that it writes: an engine answers in between.

A run makes the batches, reads the pictures and writes the rows; an engine only answers, in any order and anywhere. So
what a picture that cannot be read does, what is asked again after a kill, and what a row has in it is the same with all
engines. `farsight.evaluate.local` answers in this process, `farsight.evaluate.ray_engine` in those of a Ray cluster.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

from farsight.method import Method

Visual = Image.Image | Sequence[Image.Image]
"""A picture, or the frames of a video."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model said to one prompt about one picture."""

    text: str
    tokens: int
    ended: bool
    """False if it was cut off at ``max_new_tokens``."""
    absorbed: float | None
    """Share of attention that the gates took away, mean over layers, heads and generated rows; None without gates."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why there is no answer to one prompt; its row says so, and the run goes on."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One batch as a model is asked it: at least one prompt, and a picture or a video for each."""

    number: int
    """By which its answers are known."""
    method: Method
    pictures: Sequence[Visual]
    prompts: Sequence[str]
    max_new_tokens: int
    generation: Mapping[str, Any] = field(default_factory=dict)
    """More arguments of ``generate``; greedy decoding by default."""


Said = Sequence[Answer | Failure]
"""To each prompt of a request."""


class Engine(Protocol):
    """Answers requests."""

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Said], None, None]:
        """Answer every request once, in any order: its number and what was said to each prompt.

        Requests are read from disk as they are taken, so an engine takes no more than it has in hand. It starts
        nothing before the first one, and ends what it started when it is closed. The batch is asked as it is, since
        its composition may change the last bits.

        Raises
        ------
        FarSightError
            If the run cannot go on. What was answered stays.
        """
        ...
