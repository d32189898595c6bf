"""POPE: does a model say yes to objects that are not there?

Li et al., "Evaluating Object Hallucination in Large Vision-Language Models", EMNLP 2023: "Is there a dog in the
image?", where half of the objects asked about are there. The positive class is yes. Answers belong to questions by
``question_id``, not by their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from farsight.metrics.pope.answers import NO, UNANSWERED, YES, begins_clearly, read_official, read_strict
from farsight.metrics.pope.files import Question, name_of, read_answers, read_questions
from farsight.metrics.records import Reader, Source


@dataclass(frozen=True, kw_only=True)
class Result:
    """A question and how it was answered."""

    question: Question
    answer: str
    """The model's words."""
    said: str
    """What they were read as: "yes", "no", or "unanswered"."""

    @property
    def right(self) -> bool:
        """Whether the answer is the label; what is unanswered is not right."""
        return self.said == self.question.label

    @property
    def tp(self) -> bool:
        """Whether the answer is a rightful yes."""
        return self.right and self.said == YES

    def record(self) -> dict[str, Any]:
        """Give a row for a details file."""
        return self.question._asdict() | {"answer": self.answer, "said": self.said, "right": self.right}


FIGURES: Mapping[str, Callable[[Result], tuple[int, int]]] = {
    "accuracy": lambda one: (one.right, 1),
    "precision": lambda one: (one.tp, one.said == YES),
    "recall": lambda one: (one.tp, one.question.label == YES),
    "f1": lambda one: (2 * one.tp, (one.said == YES) + (one.question.label == YES)),
    "yes_ratio": lambda one: (one.said == YES, 1),
}
"""What each question adds to the numerator and to the denominator of a figure: each figure is a ratio of sums."""


@dataclass(frozen=True, kw_only=True)
class PopeScore:
    """POPE of the answers to a set of questions. Shares are between 0 and 1, and 0 where nothing can be divided by.

    What is unanswered (under ``strict`` only) counts as wrong in ``accuracy``; is no yes in ``yes_ratio``, so it counts
    in the denominator alone; does not enter ``precision``, which is about answers of yes; and counts as an object not
    found in ``recall`` and ``f1`` where the label is yes. It is in none of ``tp``, ``fp``, ``tn``, ``fn``, which add up
    to ``questions`` less ``unanswered``.
    """

    results: tuple[Result, ...]
    """In the order of the questions."""
    skipped: tuple[str, ...] = ()
    """Why records were left out, one message each."""
    not_asked: int = 0
    """Answers to questions that are not asked here, which are left out: RePOPE asks some of POPE's questions."""

    @property
    def unclear(self) -> tuple[Result, ...]:
        """Results whose answer begins neither with yes nor with no as the official rule spells them."""
        return tuple(one for one in self.results if not begins_clearly(one.answer))

    @property
    def questions(self) -> int:
        """Questions that were scored."""
        return len(self.results)

    @property
    def unanswered(self) -> int:
        """Answers that are neither yes nor no; always 0 under the official rule."""
        return sum(one.said == UNANSWERED for one in self.results)

    @property
    def tp(self) -> int:
        """Yes, and the object is there."""
        return self._count(YES, YES)

    @property
    def fp(self) -> int:
        """Yes, but the object is not there: hallucinated."""
        return self._count(YES, NO)

    @property
    def tn(self) -> int:
        """No, and the object is not there."""
        return self._count(NO, NO)

    @property
    def fn(self) -> int:
        """No, but the object is there."""
        return self._count(NO, YES)

    @property
    def accuracy(self) -> float:
        """Share of questions that are answered rightly."""
        return self.figure("accuracy")

    @property
    def precision(self) -> float:
        """Share of the answers of yes where the object is there."""
        return self.figure("precision")

    @property
    def recall(self) -> float:
        """Share of the questions about objects that are there where the answer is yes."""
        return self.figure("recall")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return self.figure("f1")

    @property
    def yes_ratio(self) -> float:
        """Share of questions where the answer is yes; half of the answers should be."""
        return self.figure("yes_ratio")

    def figure(self, name: str) -> float:
        """Give a figure by its name in `FIGURES`."""
        terms = [FIGURES[name](one) for one in self.results]
        return sum(above for above, _ in terms) / max(sum(below for _, below in terms), 1)

    def _count(self, said: str, label: str) -> int:
        return sum(one.said == said and one.question.label == label for one in self.results)

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        names = (*FIGURES, "tp", "fp", "tn", "fn", "questions", "unanswered")
        counts = {"unclear": len(self.unclear), "not_asked": self.not_asked, "skipped": len(self.skipped)}
        return {name: getattr(self, name) for name in names} | counts


def score(
    answers: Source | Mapping[str, str] | Mapping[int, str],
    questions: Source,
    *,
    strict: bool = False,
    skip_bad: bool = False,
) -> PopeScore:
    """Score answers to POPE's questions.

    Parameters
    ----------
    answers
        A file of JSON Lines (``question_id``, and ``answer``, ``response`` or ``text``), such records, or a mapping
        from question to answer. Their order does not matter, and answers to other questions are left out and counted.
        Records without any ``question_id``, but with the words of the ``question``, go by their order.
    questions
        A file of JSON Lines (``question_id``, ``image``, ``text``, ``label``: yes or no), or such records.
    strict
        Read answers by `read_strict` instead of the official rule, which takes all that does not say no for yes.
        `PopeScore` says what becomes of unanswered questions.
    skip_bad
        Leave out bad records (second answers to a question, questions without an answer, broken lines) and list them in
        ``skipped``, instead of raising at the first one.

    Raises
    ------
    InputError
        On bad input; the message names file, line and remedy.
    """
    read = read_strict if strict else read_official
    reader = Reader(skip_bad=skip_bad)
    asked = read_questions(questions, reader)
    answered = read_answers(answers, reader, asked, name_of(questions, "the questions"))
    missing = [one for one in asked if one not in answered.said]
    if missing and not skip_bad:
        first = asked[missing[0]]
        reader.bad(
            name_of(answers, "the answers"),
            f"{len(missing)} of {len(asked)} questions have no answer, "
            f"the first of them question_id {missing[0]} ({first.where})",
        )
    for one in missing:
        reader.bad(asked[one].where, f"question_id {one} has no answer in {name_of(answers, 'the answers')}")
    results = tuple(
        Result(question=asked[one].question, answer=answered.said[one], said=read(answered.said[one]))
        for one in asked
        if one in answered.said
    )
    return PopeScore(results=results, skipped=tuple(reader.skipped), not_asked=answered.not_asked)


def table(scores: Mapping[str, PopeScore], mean: str = "mean") -> list[dict[str, Any]]:
    """Give one row of figures a split, and after several splits a row with the means of their shares.

    Parameters
    ----------
    scores
        The score of each split, by its name.
    mean
        What to call the row of means.
    """
    rows = [{"split": split} | found.record() for split, found in scores.items()]
    if len(rows) > 1:
        rows.append({"split": mean} | {name: sum(row[name] for row in rows) / len(rows) for name in FIGURES})
    return rows
