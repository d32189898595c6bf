"""Read POPE's questions, and the answers that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from farsight.metrics.pope.answers import NO, YES
from farsight.metrics.records import BadRecordError, Reader, Row, Source

ANSWER_KEYS = ("answer", "response", "text")


class Question(NamedTuple):
    """Is there such an object in the picture?"""

    question_id: str
    image: str
    text: str
    label: str
    """What is right: "yes" or "no"."""


class Asked(NamedTuple):
    """A question and where it stands: ``file:line``."""

    question: Question
    where: str


def read_questions(source: Source, reader: Reader) -> dict[str, Asked]:
    """Read the questions of one split, by their identifiers.

    Parameters
    ----------
    source
        Records with ``question_id``, ``image``, ``text`` and ``label``: yes or no, in upper or lower case.
    reader
        Decides what becomes of a bad record: one without these fields, one with another label, one whose identifier
        was there before.

    Raises
    ------
    InputError
        At the first bad record, unless the reader skips them; if none is left.
    """
    seen: dict[str, Asked] = {}

    def parse(row: Row) -> None:
        if "label" not in row.fields and {"answer", "response"} & set(row.fields):
            raise BadRecordError("is an answer, not a question; answers come first, and questions after --questions")
        question_id, label = row.identifier("question_id"), row.text("label").strip().lower()
        if label not in (YES, NO):
            raise BadRecordError(f"the label of question_id {question_id} is '{label}', not yes or no")
        if question_id in seen:
            raise BadRecordError(f"question_id {question_id} was there before ({seen[question_id].where})")
        question = Question(question_id, row.identifier("image", "image_id"), row.text("text", "question"), label)
        seen[question_id] = Asked(question, row.where)

    for _ in reader.read(source, parse):
        pass
    reader.some(list(seen), source, "question")
    return seen


def read_answers(
    source: Source | Mapping[str | int, str], reader: Reader, asked: Mapping[str, Asked], questions: str
) -> dict[str, str]:
    """Read what a model said to each question, by the question's identifier.

    Parameters
    ----------
    source
        Records with ``question_id`` and ``answer``, ``response`` or ``text``, or a mapping from one to the other.
    reader
        Decides what becomes of a bad record: one without these fields, one whose question has an answer already, one
        whose question is unknown.
    asked
        The questions that there are.
    questions
        What to call them in messages.

    Raises
    ------
    InputError
        At the first bad record, unless the reader skips them; if none is left.
    """
    if isinstance(source, Mapping):
        source = [{"question_id": question_id, "answer": text} for question_id, text in source.items()]
    seen: dict[str, str] = {}

    def parse(row: Row) -> tuple[str, str]:
        question_id, text = row.identifier("question_id"), row.text(*ANSWER_KEYS)
        if "label" in row.fields and not {"answer", "response"} & set(row.fields) and text.rstrip().endswith("?"):
            raise BadRecordError("is a question, not an answer; answers come first, and questions after --questions")
        if question_id not in asked:
            raise BadRecordError(f"question_id {question_id} is not among the {len(asked)} questions of {questions}")
        if question_id in seen:
            raise BadRecordError(f"question_id {question_id} has an answer already ({seen[question_id]})")
        seen[question_id] = row.where
        return question_id, text

    found = list(reader.read(source, parse))
    return dict(reader.some(found, source, "answer"))


def name_of(source: object, otherwise: str) -> str:
    """Give the name of a file; what to call records that come from none is for the caller to say."""
    return str(source) if isinstance(source, (str, Path)) else otherwise
