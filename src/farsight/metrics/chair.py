"""CHAIR: how many of the objects that captions name are not in the picture.

Rohrbach et al., "Object Hallucination in Image Captioning", EMNLP 2018: of all mentions of objects, CHAIR_I is the
share that is hallucinated; of all captions, CHAIR_S is the share with a hallucinated mention. Words are read by the
rules of the authors' script (see `vocabulary`); the figures of that script are reproduced mention by mention.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from farsight.metrics.captions import Caption, Objects, read_captions, read_objects
from farsight.metrics.cuts import Cut
from farsight.metrics.records import Reader, Source
from farsight.metrics.text_quality import spoken
from farsight.metrics.vocabulary import Mention, Vocabulary, coco


@dataclass(frozen=True, kw_only=True)
class CaptionScore:
    """One caption: what it names, and what of that is there."""

    caption: Caption
    mentions: tuple[Mention, ...]
    present: frozenset[str]
    """The objects that are in the picture."""
    cut: bool = False
    """Whether the caption went on, before it was cut for scoring."""

    @property
    def hallucinated(self) -> list[Mention]:
        """Mentions of objects that are not in the picture, in order."""
        return [mention for mention in self.mentions if mention.object not in self.present]

    @cached_property
    def distinct(self) -> tuple[str, ...]:
        """The objects that it names, each once, in order of their first mention."""
        return tuple(dict.fromkeys(mention.object for mention in self.mentions))

    @property
    def snowballed(self) -> tuple[int, int]:
        """Of the false mentions, how many come after the first, and how many there are."""
        false = len(self.hallucinated)
        return max(false - 1, 0), false

    def false_among_first(self, count: int | None) -> tuple[int, int]:
        """Of the first so many distinct objects, or of all, how many are false, and how many there are."""
        first = self.distinct[:count]
        return sum(name not in self.present for name in first), len(first)

    @property
    def found(self) -> set[str]:
        """Objects in the picture that the caption names."""
        return {mention.object for mention in self.mentions} & self.present

    @cached_property
    def length(self) -> int:
        """Words of the caption, punctuation not counted."""
        return len(spoken(self.caption.text))

    def record(self) -> dict[str, Any]:
        """Give a row for a details file: ``start`` and ``end`` are characters of the caption, ``token`` its token."""
        return {
            "image_id": self.caption.image_id,
            "caption": self.caption.text,
            "hallucinated": [mention._asdict() for mention in self.hallucinated],
            "mentions": [mention._asdict() for mention in self.mentions],
            "objects": sorted(self.present),
            "missed": sorted(self.present - self.found),
            "words": self.length,
            "cut": self.cut,
        }


@dataclass(frozen=True, kw_only=True)
class ChairScore:
    """CHAIR of a set of captions. Shares are between 0 and 1."""

    captions: tuple[CaptionScore, ...]
    skipped: tuple[str, ...] = ()
    """Why records were left out, one message each."""

    @property
    def mentions(self) -> int:
        """Mentions of objects, each time that one is named."""
        return sum(len(caption.mentions) for caption in self.captions)

    @property
    def hallucinated_mentions(self) -> int:
        """Mentions of objects that are not in their picture."""
        return sum(len(caption.hallucinated) for caption in self.captions)

    @property
    def hallucinated_captions(self) -> int:
        """Captions with such a mention."""
        return sum(bool(caption.hallucinated) for caption in self.captions)

    @property
    def chair_s(self) -> float:
        """Share of captions with a hallucinated mention."""
        return self.hallucinated_captions / len(self.captions)

    @property
    def chair_i(self) -> float:
        """Share of mentions that are hallucinated; 0 where nothing is mentioned."""
        return self.hallucinated_mentions / max(self.mentions, 1)

    @property
    def chair_i_distinct(self) -> float:
        """CHAIR_I with each object once per caption, which repeating what is there does not lower."""
        return share(one.false_among_first(None) for one in self.captions)

    @property
    def psh(self) -> float:
        """Share of the false mentions that come after a first false one (PTI's "PSH"); 0 where none is false."""
        return share(one.snowballed for one in self.captions)

    @property
    def f1(self) -> float:
        """Harmonic mean of the precision of mentions, 1 - CHAIR_I, and of recall; 0 where nothing is found."""
        found = sum(len(one.found) for one in self.captions)
        present = sum(len(one.present) for one in self.captions)
        return f1(self.hallucinated_mentions, self.mentions, found, present)

    @property
    def recall(self) -> float:
        """Share of the objects in all pictures that their captions name; 0 where there are no objects."""
        present = sum(len(caption.present) for caption in self.captions)
        return sum(len(caption.found) for caption in self.captions) / max(present, 1)

    @property
    def length(self) -> float:
        """Words of a caption, on average."""
        return sum(caption.length for caption in self.captions) / len(self.captions)

    @property
    def objects(self) -> float:
        """Distinct objects that a caption names, on average."""
        return sum(len(one.distinct) for one in self.captions) / len(self.captions)

    @property
    def first_3(self) -> float:
        """Share of the first three distinct objects of each caption that are false: CHAIR that length cannot change."""
        return share(one.false_among_first(3) for one in self.captions)

    @property
    def cut_captions(self) -> int:
        """Captions that went on, before they were cut for scoring."""
        return sum(one.cut for one in self.captions)

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return {
            "captions": len(self.captions),
            "chair_s": self.chair_s,
            "chair_i": self.chair_i,
            "chair_i_distinct": self.chair_i_distinct,
            "recall": self.recall,
            "f1": self.f1,
            "first_3": self.first_3,
            "psh": self.psh,
            "hallucinated_captions": self.hallucinated_captions,
            "hallucinated_mentions": self.hallucinated_mentions,
            "mentions": self.mentions,
            "objects_per_caption": self.objects,
            "words_per_caption": self.length,
            "cut_captions": self.cut_captions,
            "skipped": len(self.skipped),
        }


def share(terms: Iterable[tuple[int, int]]) -> float:
    """Sum the parts and the wholes and divide; 0 where there is nothing to divide by."""
    parts, wholes = zip(*terms, strict=True)
    return float(sum(parts) / max(sum(wholes), 1))


def f1(false: float, mentions: float, found: float, present: float) -> float:
    """Give the harmonic mean of the precision of mentions and of recall, of sums over captions."""
    precision, recall = 1 - false / max(mentions, 1), found / max(present, 1)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def score(
    captions: Source | Mapping[str, str] | Mapping[int, str],
    objects: Objects,
    *,
    vocabulary: Vocabulary | None = None,
    cut: Cut | None = None,
    skip_bad: bool = False,
) -> ChairScore:
    """Score captions against the objects that are in their pictures.

    Parameters
    ----------
    captions
        A file of JSON Lines (``image_id``, ``caption``), such records, or a mapping from image to caption.
    objects
        A file of JSON Lines (``image_id``, ``objects``: a list of names), such records, a mapping from image to names,
        or a list of files; COCO's ``instances_*.json`` and ``captions_*.json`` (give both) are such files too. Pictures
        without a caption do not count.
    vocabulary
        What names which object; by default that of MS COCO.
    cut
        Where to end captions before they are scored: all figures, mentions and texts are those of the shorter ones.
    skip_bad
        Leave out bad records (unknown images, second captions of an image, empty captions, broken lines) and list
        them in ``skipped``, instead of raising at the first one.

    Raises
    ------
    InputError
        On bad input; the message names file, line and remedy.
    """
    vocabulary = vocabulary or coco()
    reader = Reader(skip_bad=skip_bad)
    present = read_objects(objects, vocabulary, reader)
    cut = cut or Cut()

    def scored(caption: Caption) -> CaptionScore:
        text = cut.text(caption.text, vocabulary)
        return CaptionScore(
            caption=Caption(caption.image_id, text),
            mentions=tuple(vocabulary.mentions(text)),
            present=present[caption.image_id],
            cut=text != caption.text,
        )

    each = tuple(scored(caption) for caption in read_captions(captions, reader, images=present))
    return ChairScore(captions=each, skipped=tuple(reader.skipped))
