"""What is in pictures by what people said of it: judging what was named is all that CHAIR_I needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from farsight.judging import detector, judgements, merges
from farsight.judging.judgements import KNOWN, Judgement, Judgements
from farsight.judging.merges import Merges
from farsight.metrics.vocabulary import Mention, Vocabulary

FILES = (judgements.NAME, merges.NAME, detector.NAME)
"""What judging writes into a folder, which may hold it before anything is asked: verdicts are shared by all runs."""


class Names(Protocol):
    """Finds objects in an answer: a `farsight.metrics.vocabulary.Vocabulary`, or `farsight.judging.nouns.Nouns`."""

    def mentions(self, text: str) -> list[Mention]:
        """Objects that an answer names, in the order of the text, with repeats."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Pictures that people judged, as a `farsight.judging.truth.Truth`.

    What nobody judged, what somebody was unsure of, and what judges contradict each other about, is not known.

    Parameters
    ----------
    judgements
        The rows that count.
    names
        Finds objects in answers.
    same
        Words that stand for others. What was said of a word holds for what it stands for.
    """

    judgements: Sequence[Judgement]
    names: Names
    same: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def said(self) -> Mapping[tuple[str, str], Mapping[str, bool | None]]:
        """The last word of each judge, by picture and what an object is called now; None is "unsure"."""
        said: dict[tuple[str, str], dict[str, bool | None]] = {}
        for one in self.judgements:
            name = self.same.get(one.object, one.object)
            said.setdefault((one.image_id, name), {})[one.judge] = KNOWN[one.verdict]
        return said

    @cached_property
    def known(self) -> Mapping[tuple[str, str], bool]:
        """What somebody was sure of and nobody contradicted, by picture and object."""
        sure = {key: {word for word in said.values() if word is not None} for key, said in self.said.items()}
        return {key: words.pop() for key, words in sure.items() if len(words) == 1}

    def located(self, answer: str) -> list[Mention]:
        """Objects that an answer names, and where."""
        found = self.names.mentions(answer)
        return [one._replace(object=self.same.get(one.object, one.object)) for one in found]

    def mentions(self, answer: str) -> list[str]:
        """Objects that an answer names, in the order of the text, with repeats."""
        return [mention.object for mention in self.located(answer)]

    def verdict(self, image_id: str, object_: str) -> bool | None:
        """Whether an object is in a picture; None if nobody knows."""
        return self.known.get((image_id, self.same.get(object_, object_)))

    def unsure(self, image_id: str, object_: str) -> bool:
        """Whether all who judged it were unsure, or contradict each other."""
        key = image_id, self.same.get(object_, object_)
        return key in self.said and key not in self.known

    def present(self, image_id: str, named: Set[str] = frozenset()) -> frozenset[str]:
        """What some method named and a judge saw there, whichever methods are compared: none is favoured."""
        return self._present.get(image_id, frozenset())

    @cached_property
    def _present(self) -> Mapping[str, frozenset[str]]:
        present: dict[str, set[str]] = {}
        for (image_id, name), there in self.known.items():
            if there:
                present.setdefault(image_id, set()).add(name)
        return {image_id: frozenset(names) for image_id, names in present.items()}


def judged(folder: Path, vocabulary: Vocabulary | None = None) -> Judged:
    """Read what is judged in a folder, which may be nothing yet.

    Parameters
    ----------
    folder
        Of a run, or of ``farsight tune``: with its ``judgements.jsonl``, and the ``synonyms.txt`` of the judging page.
    vocabulary
        What names objects; by default every noun does.

    Raises
    ------
    InputError
        If a file is bad, or the tagger that finds nouns is not installed.
    """
    from farsight.judging.nouns import Nouns

    return Judged(
        judgements=Judgements(folder / judgements.NAME).read(),
        names=Nouns() if vocabulary is None else vocabulary,
        same=Merges(folder / merges.NAME).read(),
    )
