"""AMBER's discriminative part: questions with yes or no for an answer (Wang et al. 2023, arXiv 2311.07397).

The positive class is "no", which is to see that something is not there: precision is over the answers of No, recall
over the questions whose truth is no. As in the authors' script an answer counts if it is exactly ``Yes`` or ``No``; all
else ("No.", "no", "Yes, it is") is neither, and wrong. All questions about existence have the truth no, so that their
precision is 100 or 0, and their accuracy is their recall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from farsight.metrics.amber.data import Question
from farsight.metrics.pope.answers import NO, UNANSWERED, YES, read_strict

GROUPS: Mapping[str, frozenset[str]] = {
    "existence": frozenset({"existence"}),
    "attribute": frozenset({"state", "number", "action"}),
    "state": frozenset({"state"}),
    "number": frozenset({"number"}),
    "action": frozenset({"action"}),
    "relation": frozenset({"relation"}),
}
"""What AMBER reports next to the whole, and the dimensions that belong to it."""


def read_exact(answer: str) -> str:
    """Read an answer by the rule of AMBER's own script: "yes" or "no" if it is ``Yes`` or ``No``, else "unanswered"."""
    return {"Yes": YES, "No": NO}.get(answer, UNANSWERED)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A question and how it was answered."""

    question: Question
    response: str
    """The model's words."""
    said: str
    """What they were read as: "yes", "no", or "unanswered"."""

    @property
    def id(self) -> int:
        """That of the question."""
        return self.question.id

    @property
    def right(self) -> bool:
        """Whether the answer is the truth; what is unanswered is not right."""
        return self.said == self.question.truth

    @property
    def rightly_no(self) -> bool:
        """Whether the answer is a rightful no."""
        return self.right and self.said == NO

    def record(self) -> dict[str, Any]:
        """Give a row for a details file."""
        return {
            "id": self.id,
            "part": "discriminative",
            "dimension": self.question.dimension,
            "response": self.response,
            "said": self.said,
            "truth": self.question.truth,
            "right": self.right,
        }


FIGURES: Mapping[str, Callable[[Answer], tuple[int, int]]] = {
    "accuracy": lambda one: (one.right, 1),
    "precision": lambda one: (one.rightly_no, one.said == NO),
    "recall": lambda one: (one.rightly_no, one.question.truth == NO),
    "f1": lambda one: (2 * one.rightly_no, (one.said == NO) + (one.question.truth == NO)),
}
"""What each answer adds to the numerator and to the denominator of a figure: each figure is a ratio of sums."""


@dataclass(frozen=True, kw_only=True)
class DiscriminativeScore:
    """Answers to a set of questions. Figures are in percent, 0 where there is nothing to divide by.

    F1 is exact. The official script computes it from precision and recall rounded to 0.1, with 0.0001 added to their
    sum (0.001 for existence): its F1 differs by about 0.1 points at most.
    """

    answers: tuple[Answer, ...]

    @property
    def accuracy(self) -> float:
        """Share of the questions that are answered rightly, in percent."""
        return self.figure("accuracy")

    @property
    def precision(self) -> float:
        """Share of the answers of No that are right, in percent."""
        return self.figure("precision")

    @property
    def recall(self) -> float:
        """Share of the questions whose truth is no that are answered with No, in percent."""
        return self.figure("recall")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in percent."""
        return self.figure("f1")

    @property
    def unanswered(self) -> int:
        """Answers that are neither yes nor no."""
        return sum(one.said == UNANSWERED for one in self.answers)

    @property
    def groups(self) -> dict[str, DiscriminativeScore]:
        """The same for each of `GROUPS` that has answers."""
        parts = {name: self._only(dimensions) for name, dimensions in GROUPS.items()}
        return {name: DiscriminativeScore(answers=part) for name, part in parts.items() if part}

    def _only(self, dimensions: Iterable[str]) -> tuple[Answer, ...]:
        return tuple(one for one in self.answers if one.question.dimension in dimensions)

    def figure(self, name: str) -> float:
        """Give a figure by its name in `FIGURES`, in percent."""
        above, below = self.counts(name)
        return 100 * above / max(below, 1)

    def counts(self, name: str) -> tuple[int, int]:
        """Give the two sums that a figure is the ratio of."""
        terms = [FIGURES[name](one) for one in self.answers]
        return sum(above for above, _ in terms), sum(below for _, below in terms)

    def record(self) -> dict[str, Any]:
        """Give the figures and what they were counted from for a JSON file."""
        return (
            {"answers": len(self.answers), "unanswered": self.unanswered}
            | {name: self.figure(name) for name in FIGURES}
            | {"counts": {name: list(self.counts(name)) for name in FIGURES}}
        )


def answer(question: Question, response: str, *, lenient: bool = False) -> Answer:
    """Read the answer to a question.

    Parameters
    ----------
    question
        What was asked.
    response
        The model's answer.
    lenient
        Read free text by the rule of `farsight.metrics.pope.answers.read_strict`, what the first sentence says,
        instead of the official rule. Figures are then not those of AMBER's script.
    """
    return Answer(question=question, response=response, said=read_strict(response) if lenient else read_exact(response))
