"""AMBER's own files: what is in each picture, what models like to add, which words go together, what is asked.

Wang et al., "AMBER: An LLM-free Multi-dimensional Benchmark for MLLMs Hallucination Evaluation", 2023, arXiv
2311.07397. The files are those of the folder ``data`` of the authors' repository.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from farsight.errors import InputError
from farsight.files import read_json, read_text, reading
from farsight.metrics.plurals import forms
from farsight.metrics.records import BadRecordError, Row

T = TypeVar("T")

DIMENSIONS = {
    "discriminative-hallucination": "existence",
    "discriminative-attribute-state": "state",
    "discriminative-attribute-number": "number",
    "discriminative-attribute-action": "action",
    "discriminative-relation": "relation",
    "relation": "relation",
}
"""The dimension that each type of question in ``annotations.json`` belongs to."""

QUERIES = ("query_all.json", "query_discriminative.json", "query/query_all.json", "query/query_discriminative.json")
"""Where questions and their pictures may stand in the folder."""

REMEDY = "download it again, and give the folder 'data' of the AMBER repository"

OVERLOOKED = frozenset({
    # NLTK's tagger has one tag for "can", that of the verb, and takes "hot" for the adjective that it is
    "can", "hot",
    # WordNet's lemmatizer takes these for singulars, or makes other singulars of them: men, leaf, vas, chopstick
    "men", "leaves", "vases", "chopsticks", "earrings", "slippers", "sunglasses",
    # and it knows no singular of these
    "TVs", "air-conditionings", "baconics", "bambooes", "bedsheets", "canns", "catholes", "closestools", "cooktops",
    "dogholes", "e-books", "earings", "ebooks", "electrombiles", "hots", "kiwifruits", "paragliders", "pianoes",
    "pissoirs", "rpoes", "sanitizers", "scoons", "seegulls", "shampooes", "showerpuffs", "streetlamps", "waterfonts",
})  # fmt: skip
"""Forms in which the official script never finds a word of AMBER's."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture to be described."""

    id: int
    truth: tuple[str, ...]
    """Objects that are in it; one may be there twice."""
    hallu: tuple[str, ...]
    """Objects that are not, but that a viewer, or a model, would expect."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question to be answered with Yes or No."""

    id: int
    dimension: str
    """One of existence, state, number, action, relation."""
    truth: str
    """yes or no."""


@dataclass(frozen=True, kw_only=True)
class Amber:
    """AMBER's ground truth."""

    scenes: Mapping[int, Scene]
    questions: Mapping[int, Question]
    relation: Mapping[str, tuple[str, ...]]
    """Words that may stand for an object, or for a part of it."""
    safe: frozenset[str]
    """Words that are never held against a response, nor in its favour."""

    @cached_property
    def words(self) -> frozenset[str]:
        """All words that count."""
        return frozenset(self.relation) | {word for others in self.relation.values() for word in others}

    @cached_property
    def lookup(self) -> Mapping[str, str]:
        """The word that each form means that is looked for, singular or plural."""
        found: dict[str, str] = {}
        for word in sorted(self.words):
            for form in forms(word) - OVERLOOKED:
                found.setdefault(form, word)
        return found | {word: word for word in self.words - OVERLOOKED}


def read_amber(folder: str | Path) -> Amber:
    """Read ``annotations.json``, ``relation.json`` and ``safe_words.txt``.

    Parameters
    ----------
    folder
        The folder ``data`` of the AMBER repository.

    Raises
    ------
    InputError
        If a file is missing or is not what it should be; the message names the file and the entry.
    """
    folder = Path(folder)
    relation = _read(folder / "relation.json", _relation)
    annotations = _read(folder / "annotations.json", list)
    scenes: dict[int, Scene] = {}
    questions: dict[int, Question] = {}
    for number, entry in enumerate(annotations, start=1):
        where = f"{folder / 'annotations.json'}: entry {number}"
        with reading(where, "one of AMBER's", "take the file as it is"):
            one = _entry(_row(entry))
        if one.id in scenes or one.id in questions:
            raise InputError(f"{where}: id {one.id} was there before; take the file as it is")
        if isinstance(one, Question):
            questions[one.id] = one
            continue
        if unknown := [word for word in one.truth + one.hallu if word not in relation]:
            raise InputError(f"{where}: '{unknown[0]}' is not in relation.json; take both files from the same version")
        scenes[one.id] = one
    safe = frozenset(read_text(folder / "safe_words.txt").splitlines())
    return Amber(scenes=scenes, questions=questions, relation=relation, safe=safe)


def read_pictures(folder: str | Path) -> dict[int, str]:
    """Read which question is about which picture, from the first of `QUERIES` that there is.

    Raises
    ------
    InputError
        If there is none, or if it is not a list of ``id`` and ``image``.
    """
    paths = [Path(folder) / name for name in QUERIES]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError(
            f"{folder} has no {QUERIES[0]} and no {QUERIES[1]}, which say what question is about what picture; "
            "give the folder 'data' of the AMBER repository"
        )
    return _read(path, lambda entries: dict(_picture(_row(one)) for one in entries))


def _picture(row: Row) -> tuple[int, str]:
    return int(row.identifier("id")), row.text("image")


def _read(path: Path, make: Callable[[Any], T]) -> T:
    data = read_json(path, REMEDY)
    with reading(path, "AMBER's file of that name", REMEDY):
        return make(data)


def _relation(data: Any) -> dict[str, tuple[str, ...]]:
    row = _row(data)
    return {word: tuple(row.names(word)) for word in row.fields}


def _row(value: Any) -> Row:
    if not isinstance(value, dict):
        raise BadRecordError("it is not a JSON object")
    return Row("", value)


def _entry(row: Row) -> Scene | Question:
    kind, name = row.text("type"), row.identifier("id")
    if not (name.isascii() and name.isdecimal()):
        raise BadRecordError(f"the id is '{name}', not a number")
    if kind in DIMENSIONS:
        truth = row.text("truth")
        if truth not in ("yes", "no"):
            raise BadRecordError(f"the truth is '{truth}', not yes or no")
        return Question(id=int(name), dimension=DIMENSIONS[kind], truth=truth)
    if kind != "generative":
        raise BadRecordError(f"unknown type {kind}")
    return Scene(id=int(name), truth=tuple(row.names("truth")), hallu=tuple(row.names("hallu")))
