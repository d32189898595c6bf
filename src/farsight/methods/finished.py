"""The finished texts of a beam search over one prompt, and whether it is worth going on: Transformers' rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

_UNFINISHED = -1e9


@dataclass(frozen=True, kw_only=True, eq=False)
class Hypothesis:
    """One finished text: its score, its tokens ``(slots,)`` and the beam that each new token came from."""

    score: float
    tokens: Tensor
    parents: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """The best finished texts so far, best first; every change gives another one.

    ``score = log-likelihood / length ** length_penalty``. ``early_stopping`` is `generate`'s: True stops when there are
    as many texts as beams, False when the best running beam is worse at its length, "never" when it is so at any.
    """

    beams: int
    length_penalty: float
    early_stopping: bool | str
    longest: int
    """New tokens at most"""
    found: tuple[Hypothesis, ...] = ()
    improvable: bool = True

    @property
    def full(self) -> bool:
        return len(self.found) == self.beams

    @property
    def done(self) -> bool:
        return not self.improvable or (self.full and self.early_stopping is True)

    def scores(self, log_likelihoods: Tensor, length: int) -> Tensor:
        """Scores of texts of ``length`` new tokens."""
        return log_likelihoods / float(length**self.length_penalty)

    def with_texts(self, texts: Sequence[Hypothesis]) -> Finished:
        """Take in texts that have just ended."""
        if self.done or not texts:
            return self
        best = sorted((*self.found, *texts), key=lambda text: -text.score)
        return replace(self, found=tuple(best[: self.beams]))

    def after_step(self, best_running: Tensor, length: int) -> Finished:
        """Say whether the best running beam, of ``length`` new tokens, can still come in."""
        reached = self.longest if self.early_stopping == "never" and self.length_penalty > 0 else length
        worst = self.found[-1].score if self.full else _UNFINISHED
        return replace(self, improvable=self.improvable and float(self.scores(best_running, reached)) > worst)
