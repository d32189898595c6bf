"""AMBER's generative part: CHAIR, Cover, Hal and Cog of descriptions (Wang et al. 2023, arXiv 2311.07397).

A description is judged noun by noun, by the rules of the authors' script, oddities included:

- Only words of AMBER's list count, each time that they are said.
- The nine safe words are never hallucinated, but they cover nothing either: a sign that is named is not covered.
- A noun that is in the picture, or related to what is, covers one object: the first that it is related to; only if
  there is none, the first that it names. Where a picture has a road and the ground, "ground" covers the road, and of
  two ships "ship" covers the first, however often it is said. Not every picture can be covered wholly.
- Any other noun is hallucinated, whether or not it is one of those that a viewer would expect (``hallu``). If it is, or
  is related to one, it counts for Cog.
- Words are compared as they are written: "Dog" is not "dog". (WordNet's lemmatizer knows lower case only.)

Two things differ from the script. It takes for nouns what NLTK's tagger takes for nouns, and WordNet's lemmatizer makes
them singular; here words are looked up, in the forms that the lemmatizer reduces to AMBER's (`data.OVERLOOKED`
has those that it does not). Words that the tagger took for verbs or adjectives, as in "they watch", count here: there
are more mentions, true and false. And the script takes words for the same if spaCy's vectors (en_core_web_lg) have a
cosine above 0.8; here the caller decides (``similar``), and by default only equal words are the same. Without vectors
CHAIR and Hal are the same or higher, Cover and Cog the same or lower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from farsight.metrics.amber.data import Amber, Scene
from farsight.metrics.words import words

Similar = Callable[[str, str], bool]
"""Whether a noun of a response may be taken for a word of the ground truth."""


class Judgement(NamedTuple):
    """What a noun is worth."""

    hallucinated: bool
    covers: int | None
    """Which object of ``truth`` it covers, from 0."""
    expected: frozenset[int]
    """Which objects of ``hallu`` it names, from 0: one, or two where one is equal and another, before it, similar."""


class Noun(NamedTuple):
    """A word of a response that counts."""

    word: str
    """As AMBER writes it: singular."""
    start: int
    """Where it begins in the response, in characters."""
    end: int
    judgement: Judgement

    def record(self) -> dict[str, Any]:
        """Give an entry for a details file."""
        return {"word": self.word, "start": self.start, "end": self.end, "hallucinated": self.judgement.hallucinated}


@dataclass(frozen=True, kw_only=True)
class Description:
    """A response about a picture and its nouns, in order."""

    scene: Scene
    response: str
    nouns: tuple[Noun, ...]

    @property
    def id(self) -> int:
        """That of the picture."""
        return self.scene.id

    @cached_property
    def hallucinated(self) -> list[Noun]:
        """Nouns that name nothing in the picture, each time that they are said."""
        return [noun for noun in self.nouns if noun.judgement.hallucinated]

    @cached_property
    def covered(self) -> set[int]:
        """Objects of ``truth`` that are named, from 0."""
        return {noun.judgement.covers for noun in self.nouns if noun.judgement.covers is not None}

    @cached_property
    def expected(self) -> set[int]:
        """Objects of ``hallu`` that are named, from 0."""
        return {index for noun in self.nouns for index in noun.judgement.expected}

    def record(self) -> dict[str, Any]:
        """Give a row for a details file: ``start`` and ``end`` are characters of the response."""
        truth = list(enumerate(self.scene.truth))
        return {
            "id": self.id,
            "part": "generative",
            "response": self.response,
            "hallucinated": [noun.word for noun in self.hallucinated],
            "nouns": [noun.record() for noun in self.nouns],
            "covered": [name for index, name in truth if index in self.covered],
            "missed": [name for index, name in truth if index not in self.covered],
            "cog": [self.scene.hallu[index] for index in sorted(self.expected)],
        }


FIGURES: Mapping[str, Callable[[Description], tuple[int, int]]] = {
    "chair": lambda one: (len(one.hallucinated), len(one.nouns)),
    "cover": lambda one: (len(one.covered), len(one.scene.truth)),
    "hal": lambda one: (bool(one.hallucinated), 1),
    "cog": lambda one: (len(one.expected), len(one.scene.hallu)),
}
"""What each response adds to the numerator and to the denominator of a figure: each figure is a ratio of sums."""


@dataclass(frozen=True, kw_only=True)
class GenerativeScore:
    """Descriptions of a set of pictures. Figures are in percent, 0 where there is nothing to divide by.

    The official script adds 0.001 to each denominator, which is less than the last digit that it prints unless there
    are only a few responses.
    """

    responses: tuple[Description, ...]

    @property
    def chair(self) -> float:
        """Share of the nouns that are hallucinated, in percent."""
        return self.figure("chair")

    @property
    def cover(self) -> float:
        """Share of the objects in the pictures that are named, in percent."""
        return self.figure("cover")

    @property
    def hal(self) -> float:
        """Share of the responses that have a hallucinated noun, in percent."""
        return self.figure("hal")

    @property
    def cog(self) -> float:
        """Share of the objects that a viewer would expect, but that are not there, that are named, in percent."""
        return self.figure("cog")

    def figure(self, name: str) -> float:
        """Give a figure by its name in `FIGURES`, in percent."""
        above, below = self.counts(name)
        return 100 * above / max(below, 1)

    def counts(self, name: str) -> tuple[int, int]:
        """Give the two sums that a figure is the ratio of."""
        terms = [FIGURES[name](one) for one in self.responses]
        return sum(above for above, _ in terms), sum(below for _, below in terms)

    def record(self) -> dict[str, Any]:
        """Give the figures and what they were counted from for a JSON file."""
        return (
            {"responses": len(self.responses)}
            | {name: self.figure(name) for name in FIGURES}
            | {"counts": {name: list(self.counts(name)) for name in FIGURES}}
        )


def describe(scene: Scene, response: str, amber: Amber, similar: Similar) -> Description:
    """Find the nouns of a response that count and judge them.

    Parameters
    ----------
    scene
        The annotations of the picture.
    response
        The model's description.
    amber
        The ground truth, which says which words count.
    similar
        Called with a noun and a word of the ground truth that differ.
    """
    judgements: dict[str, Judgement] = {}
    nouns = []
    for token in words(response):
        noun = amber.lookup.get(response[token.start : token.end])
        if noun is None:
            continue
        if noun not in judgements:
            judgements[noun] = judge(noun, scene, amber, similar)
        nouns.append(Noun(noun, token.start, token.end, judgements[noun]))
    return Description(scene=scene, response=response, nouns=tuple(nouns))


def judge(noun: str, scene: Scene, amber: Amber, similar: Similar) -> Judgement:
    """Hold a noun against what is in a picture and what is not.

    Parameters
    ----------
    noun
        As AMBER writes it.
    scene, amber, similar
        As in `describe`.
    """

    def same(other: str) -> bool:
        return noun == other or similar(noun, other)

    if noun in amber.safe:
        return Judgement(False, None, frozenset())
    truth = list(_named(scene.truth, amber))
    if (covers := _first(truth, noun.__eq__)) is not None:
        return Judgement(False, covers, frozenset())
    hallu = list(_named(scene.hallu, amber))
    found = (_first(hallu, noun.__eq__), _first(hallu, same))
    covers = _first(truth, same)
    return Judgement(covers is None, covers, frozenset(index for index in found if index is not None))


def _named(objects: Iterable[str], amber: Amber) -> Iterator[tuple[str, int]]:
    """Give the words for objects and which object each is for: first all that are related, then the objects."""
    objects = tuple(objects)
    for index, name in enumerate(objects):
        yield from ((word, index) for word in amber.relation[name])
    yield from ((name, index) for index, name in enumerate(objects))


def _first(named: Iterable[tuple[str, int]], fits: Callable[[str], bool]) -> int | None:
    return next((index for word, index in named if fits(word)), None)
