"""Read POPE's questions, and the answers that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from farsight.errors import InputError
from farsight.metrics.pope.answers import NO, YES
from farsight.metrics.records import BadRecordError, Reader, Row, Source

ANSWER_KEYS = ("answer", "response", "text")
BY_ORDER = "answers without it go by their order if none has it and each has its 'question' beside it"


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


class Answers(NamedTuple):
    """What was said to the questions that are asked."""

    said: dict[str, str]
    """By the question's identifier."""
    not_asked: int
    """Answers to questions that are not asked here: the file may belong to a larger set, as POPE's to RePOPE."""


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
    source: Source | Mapping[str, str] | Mapping[int, str], reader: Reader, asked: Mapping[str, Asked], questions: str
) -> Answers:
    """Read what a model said to each question.

    Parameters
    ----------
    source
        Records with ``question_id`` and ``answer``, ``response`` or ``text``, or a mapping from one to the other. Or
        as in the README of POPE: records with ``question`` and ``answer``, one for each question and in their order.
    reader
        Decides what becomes of a bad record: one without these fields, one whose question has an answer already.
    asked
        The questions that there are.
    questions
        What to call them in messages.

    Raises
    ------
    InputError
        At the first bad record, unless the reader skips them; if no answer is to a question that is asked; if answers
        go by their order and are not one for each question, with the words of that question.
    """
    if isinstance(source, Mapping):
        source = [{"question_id": question_id, "answer": text} for question_id, text in source.items()]
    name = name_of(source, "the answers")
    already = len(reader.skipped)
    rows = list(reader.read(source, lambda row: row))
    if rows and all("question_id" not in row.fields and "question" in row.fields for row in rows):
        rows = _numbered(rows, asked, name, questions, broken=reader.skipped[already:])
    seen: dict[str, str] = {}
    said: dict[str, str] = {}
    not_asked: list[str] = []

    def parse(row: Row) -> None:
        question_id, text = row.identifier("question_id"), row.text(*ANSWER_KEYS)
        if "label" in row.fields and not {"answer", "response"} & set(row.fields) and text.rstrip().endswith("?"):
            raise BadRecordError("is a question, not an answer; answers come first, and questions after --questions")
        if question_id in seen:
            raise BadRecordError(f"question_id {question_id} has an answer already ({seen[question_id]})")
        seen[question_id] = row.where
        if question_id in asked:
            said[question_id] = text
        else:
            not_asked.append(question_id)

    for row in rows:
        try:
            parse(row)
        except BadRecordError as problem:
            hint = "" if "question_id" in row.fields else f"; {BY_ORDER}"
            reader.bad(row.where, f"{problem}{hint}")
    if not_asked and not said:
        raise InputError(
            f"{name}: none of its {len(not_asked)} answers is to one of the {len(asked)} questions of {questions} "
            f"(the first: question_id {not_asked[0]}); give the questions that were asked"
        )
    reader.some(list(said), source, "answer")
    return Answers(said, len(not_asked))


def _numbered(
    rows: list[Row], asked: Mapping[str, Asked], name: str, questions: str, *, broken: list[str]
) -> list[Row]:
    """Give answers that go by their order the identifiers of their questions."""
    if broken or len(rows) != len(asked):
        because = f"a record is bad ({broken[0]})" if broken else f"there are {len(rows)} for {len(asked)} questions"
        raise InputError(
            f"{name}: its answers have no 'question_id', so they go by their order, one for each question of "
            f"{questions}, but {because}; add question_id, or give all answers"
        )
    for row, one in zip(rows, asked.values(), strict=True):
        if _plain(one.question.text) not in _plain(str(row.fields["question"])):
            raise InputError(
                f"{row.where}: answers '{row.fields['question']}', but {one.where} asks '{one.question.text}'; answers "
                "without 'question_id' go by their order: give them in that of the questions, or add question_id"
            )
    return [
        Row(row.where, {**row.fields, "question_id": one.question.question_id})
        for row, one in zip(rows, asked.values(), strict=True)
    ]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def name_of(source: object, otherwise: str) -> str:
    """Give the name of a file; what to call records that come from none is for the caller to say."""
    return str(source) if isinstance(source, (str, Path)) else otherwise
