"""Which words of a caption name which object.

A vocabulary is data: a file in the format of CHAIR's ``synonyms.txt`` (one category a line, its synonyms after
commas), or TOML as in ``vocabularies/coco.toml`` where phrases and exceptions are needed too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from farsight.errors import InputError
from farsight.files import MOST_WRITTEN, read_text, read_toml, reading
from farsight.metrics.plurals import forms
from farsight.metrics.words import words

MOST_WORDS = 8
"""Of a name. Each may be singular or plural, so that the forms of a name double with every word."""


class Mention(NamedTuple):
    """A word of a caption that names an object."""

    word: str
    """The word in its singular, as the vocabulary has it."""
    object: str
    """The category it belongs to."""
    start: int
    """Where it begins in the caption, in characters."""
    end: int
    token: int
    """Which token of the caption it is, from 0; of several words, the first."""


class _Meaning(NamedTuple):
    word: str
    object: str | None


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Objects, the words that mean them, and exceptions.

    Parameters
    ----------
    name
        What to call it in messages.
    objects
        Each category with its synonyms, singular. Names of several words are read as one.
    phrases
        More words that are read as one: as which word, or "" for no object.
    dropped
        ``(word, beside)``: mentions by ``word`` do not count in a caption that has ``beside``.
    overlooked
        Forms that are not looked for in captions.
    """

    name: str
    objects: Mapping[str, Iterable[str]]
    phrases: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[tuple[str, str], ...] = ()
    overlooked: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Compile the lookup from surface forms to objects."""
        names: dict[str, str] = {}
        for category, synonyms in self.objects.items():
            for word in (category, *synonyms):
                if names.setdefault(word, category) != category:
                    raise InputError(
                        f"vocabulary {self.name}: '{word}' stands for both '{names[word]}' and '{category}'; keep one"
                    )
        meanings = {name: _Meaning(name, category) for name, category in names.items()}
        for phrase, word in self.phrases.items():
            meanings[phrase] = _Meaning(word, names.get(word))
        lookup: dict[tuple[str, ...], _Meaning] = {}
        for name, meaning in meanings.items():
            if len(name.split()) > MOST_WORDS:
                raise InputError(f"vocabulary {self.name}: '{name}' has more than {MOST_WORDS} words; shorten it")
            for form in product(*(forms(part) - self.overlooked for part in name.split())):
                lookup.setdefault(form, meaning)
        lookup |= {tuple(name.split()): meaning for name, meaning in meanings.items() if name not in self.overlooked}
        longest: dict[str, int] = {}
        for form in lookup:
            longest[form[0]] = max(longest.get(form[0], 0), len(form))
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_lookup", lookup)
        object.__setattr__(self, "_longest", longest)

    def mentions(self, text: str) -> list[Mention]:
        """Find the objects that a caption names, in order, each time they are named.

        Phrases go before single words and the longest phrase first.
        """
        found = list(self._found(text))
        present = {mention.word for mention in found}
        for word, beside in self.dropped:
            if word in present and beside in present:
                found = [mention for mention in found if mention.word != word]
        return found

    def _found(self, text: str) -> Iterator[Mention]:
        longest: dict[str, int] = self.__dict__["_longest"]
        lookup: dict[tuple[str, ...], _Meaning] = self.__dict__["_lookup"]
        tokens = words(text)
        position = 0
        while position < len(tokens):
            for length in range(longest.get(tokens[position].text, 0), 0, -1):
                span = tokens[position : position + length]
                if meaning := lookup.get(tuple(token.text for token in span)):
                    if meaning.object is not None:
                        yield Mention(meaning.word, meaning.object, span[0].start, span[-1].end, position)
                    position += len(span)
                    break
            else:
                position += 1

    def category(self, name: str) -> str | None:
        """Give the category that a name from an annotation belongs to; None if the vocabulary lacks it."""
        names: dict[str, str] = self.__dict__["_names"]
        name = " ".join(name.lower().split())
        if name in names:
            return names[name]
        meaning = self.__dict__["_lookup"].get(tuple(name.split()))
        return meaning.object if meaning else None


@cache
def coco() -> Vocabulary:
    """Give the 80 categories of MS COCO with the synonyms and the exceptions of the standard CHAIR script."""
    with resources.as_file(resources.files("farsight.metrics") / "vocabularies" / "coco.toml") as file:
        return _from_toml(read_toml(file), "coco.toml")


def read_vocabulary(path: str | Path | None) -> Vocabulary:
    """Read a vocabulary of one's own, or give COCO's for None.

    Parameters
    ----------
    path
        ``.toml`` as the project's ``coco.toml``; any other file is text with one category a line, its synonyms after
        commas, and comments after ``#``.

    Raises
    ------
    InputError
        If the file is missing, is not of that format, is empty, or gives a word two meanings.
    """
    if path is None:
        return coco()
    path = Path(path)
    if path.suffix.lower() == ".toml":
        return _from_toml(read_toml(path), str(path))
    with reading(path, "a vocabulary"):
        lines = (line.split("#")[0] for line in read_text(path, MOST_WRITTEN).splitlines())
        rows = [[word for part in line.split(",") if (word := _clean(part))] for line in lines]
        return _checked(Vocabulary(name=str(path), objects=_merged((row[0], row[1:]) for row in rows if row)))


def _from_toml(data: Mapping[str, Any], name: str) -> Vocabulary:
    with reading(name, "a vocabulary", "it needs a table [objects] of lines such as bird = ['gull', 'owl']"):
        phrases = {_clean(phrase): _clean(word) for phrase, word in data.get("phrases", {}).items()}
        for rule in data.get("qualified", ()):
            phrases |= {f"{_clean(by)} {_clean(what)}": _clean(what) for by in rule["by"] for what in rule["what"]}
        return _checked(
            Vocabulary(
                name=str(data.get("name", name)),
                objects=_merged((category, synonyms) for category, synonyms in data["objects"].items()),
                phrases=phrases,
                dropped=tuple((_clean(rule["word"]), _clean(rule["beside"])) for rule in data.get("dropped", ())),
                overlooked=frozenset(_clean(word) for word in data.get("overlooked", {}).get("words", ())),
            )
        )


def _merged(rows: Iterable[tuple[str, Iterable[str]]]) -> dict[str, list[str]]:
    """Put the synonyms of a category that has several lines together."""
    objects: dict[str, list[str]] = {}
    for category, synonyms in rows:
        if isinstance(synonyms, str):
            raise TypeError(f"the synonyms of '{category}' are not a list")
        objects.setdefault(_clean(category), []).extend(_clean(word) for word in synonyms)
    return objects


def _clean(name: str) -> str:
    return " ".join(name.lower().split())


def _checked(vocabulary: Vocabulary) -> Vocabulary:
    if not vocabulary.objects:
        raise InputError(f"{vocabulary.name}: the vocabulary has no objects; write one category a line")
    return vocabulary
