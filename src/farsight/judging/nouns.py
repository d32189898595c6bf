"""Objects of any domain: the nouns of an answer, found by TextBlob's tagger, whose data is text in its package.

Brill's tagger (1992) with its lexicon of 94 thousand words and its rules; less than a millisecond for a caption. What
it knows nothing of it takes for a noun, which is what the words of a special field are, unless its ending looks like
another ("starfish"). The lexicon has one tag for a word, and "sink" and "remote" are none of nouns there; where they
stand says better what they are. It needs no model and no download.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from farsight.errors import InputError
from farsight.files import read_toml
from farsight.metrics.plurals import forms
from farsight.metrics.vocabulary import MOST_WORDS, Mention
from farsight.metrics.words import Word, words

_AFTER_A_VERB = {"DT", "PRP$", "CD", "PDT", "WP$"}
"""What follows in "the player swings his racket": a word that looks like a plural is a verb."""


class Nouns:
    """Finds the nouns of an answer, each in its singular; nouns in a row are one, as in "traffic light".

    Raises
    ------
    InputError
        If TextBlob is not installed.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("textblob") is None:
            raise InputError(
                "objects are found by TextBlob's tagger, which is not installed: pip install '.[judge]' in a clone of "
                "farsight, or give a vocabulary with --synonyms"
            )

    def mentions(self, text: str) -> list[Mention]:
        """Find objects in the order of the text, each time they are named."""
        return list(_mentions(text))


@lru_cache(maxsize=8192)
def _mentions(text: str) -> tuple[Mention, ...]:
    tokens = words(text)
    found: list[Mention] = []
    start = 0
    for number, token in enumerate(tokens):
        if number + 1 == len(tokens) or token.text in {".", "!", "?", ";", ":"}:
            found += _of_sentence(text, tokens[start : number + 1], start)
            start = number + 1
    return tuple(found)


def _of_sentence(text: str, tokens: Sequence[Word], first: int) -> Iterator[Mention]:
    tags = _tags(text, tokens)
    chain: list[int] = []
    for number in range(len(tokens) + 1):
        if number < len(tokens) and _is_object(tokens, tags, number, chain):
            chain.append(number)
            continue
        if chain:
            chain = chain[-MOST_WORDS:]
            *before, last = [tokens[one].text for one in chain]
            name = last if last in _listed("plural_only") and not before else " ".join([*before, singular(last)])
            yield Mention(name, name, tokens[chain[0]].start, tokens[chain[-1]].end, first + chain[0])
        chain = []


def _is_object(tokens: Sequence[Word], tags: Sequence[str], number: int, chain: Sequence[int]) -> bool:
    """Whether a word is a noun that names something."""
    word, tag = tokens[number].text, tags[number]
    if not tag.startswith("NN") or not any(letter.isalpha() for letter in word) or len(word) < 2:
        return False
    if {word, singular(word)} & _listed("no_objects") or word in _listed("colors"):
        return False
    after = tags[number + 1] if number + 1 < len(tags) else ""
    looks_like_a_verb = tag == "NNS" and after in _AFTER_A_VERB
    follows_a_noun = bool(chain) or (number > 0 and tags[number - 1].startswith("NN"))
    return not (looks_like_a_verb and follows_a_noun)


def _tags(text: str, tokens: Sequence[Word]) -> list[str]:
    """Penn Treebank tags; the first word is read as if it began with a small letter."""
    parser = _tagger()[0]
    shown = [text[token.start : token.end] for token in tokens]
    shown[0] = shown[0] if shown[0].isupper() else tokens[0].text
    tags = [tag.split("-")[0] for _, tag in parser.find_tags(shown)]
    begun = ""  # by what, if a phrase has begun whose noun is not over
    for number, token in enumerate(tokens):
        if begun and _must_be_a_noun(tokens, tags, number, begun):
            tags[number] = "NNS" if tags[number] == "VBZ" else "NN"
        if token.text in _listed("articles") or tags[number] == "PRP$":
            begun = "article"
        elif token.text in _listed("numbers") or tags[number] == "CD":
            begun = "number"
        elif not tags[number].startswith("NN" if tags[number - 1].startswith("NN") else _INSIDE):
            begun = ""
    return tags


_INSIDE = ("NN", "JJ", "VBN", "VBG", "RB")
"""What stands between an article and its noun."""


def _must_be_a_noun(tokens: Sequence[Word], tags: Sequence[str], number: int, begun: str) -> bool:
    """Whether a word that the lexicon has as a verb or an adjective is a noun, in a phrase that an article began.

    No verb without an ending follows "a white" or "a teddy", none that ends in "s" follows "the" or "two white", and no
    phrase ends in an adjective before it has a noun.
    """
    tag, before, word, follows = tags[number], tags[number - 1], tokens[number].text, tokens[number - 1].text
    after_a_noun = before.startswith("NN")
    if before == "RB" or word in _listed("no_nouns"):
        return False
    if tag == "VB":
        return begun == "article" and before != "NNS" and not (after_a_noun and follows in _listed("no_objects"))
    if before == "VBG":
        return False
    if tag == "VBZ":
        if follows in _listed("no_nouns") | _listed("no_objects"):
            return False
        return not after_a_noun or (begun == "number" and before == "NN")
    if tag != "JJ" or after_a_noun or word in _listed("numbers"):
        return False
    after = number + 1
    if after < len(tags) and tokens[after].text in {",", "and", "or", "but"}:
        after += 1
    return after >= len(tags) or not (tags[after] == "VB" or tags[after].startswith((*_INSIDE, "CD")))


@lru_cache(maxsize=8192)
def singular(word: str) -> str:
    """Give the singular of a noun, preferring one that the tagger's lexicon has.

    Examples
    --------
    >>> [singular(word) for word in ("buses", "ties", "leaves", "glasses", "bus")]
    ['bus', 'tie', 'leaf', 'glass', 'bus']
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if not word.endswith("s") or word.endswith(("ss", "ous")):
        return word
    if in_ves := [one for one in (word[:-3] + "f", word[:-3] + "fe") if word.endswith("ves") and word in forms(one)]:
        return in_ves[0]
    lexicon = _tagger()[1]
    if lexicon.get(word) == "NN":  # a bus, a cactus
        return word
    shorter = [one for one in (word[:-3] + "y", word[:-2], word[:-1]) if len(one) > 1 and word in forms(one)]
    known = [one for one in shorter if str(lexicon.get(one)).startswith(("NN", "JJ", "VB"))]
    return next(iter([*known, *shorter]), word)


_IRREGULAR: Mapping[str, str] = {
    form: word
    for word in ("child", "foot", "goose", "mouse", "person", "tooth", "man", "woman", "fireman", "policeman", "ox")
    for form in forms(word)
    if not form.endswith("s")
    if form != word
}


@cache
def _listed(name: str) -> frozenset[str]:
    """Give words that are treated in a way of their own; ``nouns.toml`` says which."""
    with resources.as_file(resources.files("farsight.judging") / "nouns.toml") as file:
        return frozenset(read_toml(file)[name].split())


@cache
def _tagger() -> tuple[Any, Mapping[str, str]]:
    """Load TextBlob's tagger and its lexicon, a tag for each word."""
    from textblob.en import lexicon, parser

    return parser, lexicon
