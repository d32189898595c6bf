"""CHAIR: how many of the objects that captions name are not in the picture.

Rohrbach et al., "Object Hallucination in Image Captioning", EMNLP 2018: of all mentions of objects, CHAIR_I is the
share that is hallucinated; of all captions, CHAIR_S is the share with a hallucinated mention. Words are read by the
rules of the authors' script (see `vocabulary`); the figures of that script are reproduced mention by mention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from farsight.metrics.captions import Caption, Objects, read_captions, read_objects
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

    @property
    def hallucinated(self) -> list[Mention]:
        """Mentions of objects that are not in the picture, in order."""
        return [mention for mention in self.mentions if mention.object not in self.present]

    @cached_property
    def distinct(self) -> tuple[str, ...]:
        """The objects that it names, each once, in order of their first mention."""
        return tuple(dict.fromkeys(mention.object for mention in self.mentions))

    def false_among_first(self, count: int) -> tuple[int, int]:
        """Of the first so many distinct objects, how many are not in the picture, and how many there are."""
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
        terms = [one.false_among_first(3) for one in self.captions]
        return sum(false for false, _ in terms) / max(sum(of for _, of in terms), 1)

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return {
            "captions": len(self.captions),
            "chair_s": self.chair_s,
            "chair_i": self.chair_i,
            "recall": self.recall,
            "first_3": self.first_3,
            "hallucinated_captions": self.hallucinated_captions,
            "hallucinated_mentions": self.hallucinated_mentions,
            "mentions": self.mentions,
            "objects_per_caption": self.objects,
            "words_per_caption": self.length,
            "skipped": len(self.skipped),
        }


def score(
    captions: Source | Mapping[str | int, str],
    objects: Objects,
    *,
    vocabulary: Vocabulary | None = None,
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
    scored = tuple(
        CaptionScore(
            caption=caption, mentions=tuple(vocabulary.mentions(caption.text)), present=present[caption.image_id]
        )
        for caption in read_captions(captions, reader, images=present)
    )
    return ChairScore(captions=scored, skipped=tuple(reader.skipped))
