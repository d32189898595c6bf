"""AMBER: do models describe what is not there, and do they say yes to it?

Wang et al., "AMBER: An LLM-free Multi-dimensional Benchmark for MLLMs Hallucination Evaluation", 2023, arXiv
2311.07397. Responses with ids up to 1004 describe pictures (`generative`), the others answer questions
(`discriminative`); a file may have both or either. `generative` says what differs from the authors' script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farsight.metrics.amber.data import Amber, read_amber
from farsight.metrics.amber.discriminative import Answer, DiscriminativeScore, answer
from farsight.metrics.amber.generative import Description, GenerativeScore, Similar, describe
from farsight.metrics.records import BadRecordError, Reader, Row, Source

RESPONSE_KEYS = ("response", "answer", "text", "caption")


@dataclass(frozen=True, kw_only=True)
class AmberScore:
    """AMBER of a set of responses. Figures are in percent."""

    generative: GenerativeScore | None
    """None if no picture is described."""
    discriminative: DiscriminativeScore | None
    """None if no question is answered."""
    scenes: int
    """Pictures that could be described."""
    questions: int
    """Questions that could be answered."""
    skipped: tuple[str, ...] = ()
    """Why records were left out, one message each."""

    @property
    def descriptions(self) -> tuple[Description, ...]:
        """Pictures that are described."""
        return self.generative.responses if self.generative else ()

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Questions that are answered."""
        return self.discriminative.answers if self.discriminative else ()

    @property
    def missing(self) -> dict[str, int]:
        """How many pictures have no description and how many questions no answer."""
        return {
            "generative": self.scenes - len(self.descriptions),
            "discriminative": self.questions - len(self.answers),
        }

    @property
    def amber(self) -> float | None:
        """The AMBER score, the mean of 100 - CHAIR and F1; None unless both parts are there."""
        if self.generative is None or self.discriminative is None:
            return None
        return (100 - self.generative.chair + self.discriminative.f1) / 2

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        described, answered = self.generative, self.discriminative
        return {
            "amber": self.amber,
            "generative": described.record() if described else None,
            "discriminative": answered.record()
            | {"groups": {name: one.record() for name, one in answered.groups.items()}}
            if answered
            else None,
            "missing": self.missing,
            "skipped": len(self.skipped),
        }


def equal(noun: str, other: str) -> bool:
    return noun == other


def score(
    responses: Source | Mapping[int | str, str],
    data: Amber | str | Path,
    *,
    similar: Similar = equal,
    lenient: bool = False,
    skip_bad: bool = False,
) -> AmberScore:
    """Score responses to AMBER's queries.

    Parameters
    ----------
    responses
        A file with a JSON list or JSON Lines (``id``, ``response``), such records, or a mapping from id to response.
        Ids of AMBER that are not there do not count.
    data
        The folder ``data`` of the AMBER repository, or what `data.read_amber` made of it.
    similar
        Whether a noun of a response may be taken for another word, as `farsight.metrics.amber.vectors` decides by word
        vectors; by default no words are the same but equal ones.
    lenient
        Read free-text answers by their first sentence instead of by the official rule, ``Yes`` or ``No`` to the letter.
    skip_bad
        Leave out bad records (ids that AMBER does not have, second responses to an id, empty responses, broken lines)
        and list them in ``skipped``, instead of raising at the first one.

    Raises
    ------
    InputError
        On bad input; the message names file, line and remedy.
    """
    amber = data if isinstance(data, Amber) else read_amber(data)
    reader = Reader(skip_bad=skip_bad)
    found = _read(responses, amber, reader)
    described = tuple(
        describe(amber.scenes[one], response, amber, similar) for one, response in found if one in amber.scenes
    )
    answered = tuple(
        answer(amber.questions[one], response, lenient=lenient) for one, response in found if one in amber.questions
    )
    return AmberScore(
        generative=GenerativeScore(responses=described) if described else None,
        discriminative=DiscriminativeScore(answers=answered) if answered else None,
        scenes=len(amber.scenes),
        questions=len(amber.questions),
        skipped=tuple(reader.skipped),
    )


def _read(source: Source | Mapping[int | str, str], amber: Amber, reader: Reader) -> list[tuple[int, str]]:
    if isinstance(source, Mapping):
        source = [{"id": one, "response": text} for one, text in source.items()]
    seen: dict[int, str] = {}

    def parse(row: Row) -> tuple[int, str]:
        name, text = row.identifier("id"), row.text(*RESPONSE_KEYS)
        one = int(name) if name.isascii() and name.isdigit() else None
        if one is None or (one not in amber.scenes and one not in amber.questions):
            raise BadRecordError(f"id {name} is not among the {len(amber.scenes) + len(amber.questions)} ids of AMBER")
        if one in seen:
            raise BadRecordError(f"id {one} has a response already ({seen[one]})")
        if not text.strip():
            raise BadRecordError(f"the response to id {one} is empty, which would pass for one without hallucination")
        seen[one] = row.where
        return one, text

    return reader.some(list(reader.read(source, parse)), source, "response")
