"""Captions and the objects that are really in their pictures."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from farsight.files import opened
from farsight.metrics.coco import Opener, coco_objects, is_coco
from farsight.metrics.records import BadRecordError, Reader, Row, Source
from farsight.metrics.vocabulary import Vocabulary

IMAGE_KEYS = ("image_id", "image", "id")
CAPTION_KEYS = ("caption", "text", "response", "answer")


Objects = Source | Iterable[str | Path] | Mapping[str | int, Iterable[str]]
"""Ground truth: a file or several, records, or a mapping from image to names."""


class Caption(NamedTuple):
    """What a model says about a picture."""

    image_id: str
    text: str


def read_captions(
    source: Source | Mapping[str, str] | Mapping[int, str], reader: Reader, *, images: Iterable[str] | None = None
) -> list[Caption]:
    """Read captions, one for each picture.

    Parameters
    ----------
    source
        Records with ``image_id`` and ``caption``, or a mapping from one to the other.
    reader
        Decides what becomes of a bad record: one without these fields, one with an empty caption, one whose picture
        was there before, one whose picture is unknown.
    images
        The pictures that are known; None knows them all. A picture is found by its identifier, and where that is not
        among them, by its file name or its number in COCO, as `known_as` says; its caption gets their identifier.

    Raises
    ------
    InputError
        At the first bad record, unless the reader skips them; if none is left.
    """
    if isinstance(source, Mapping):
        source = [{"image_id": image_id, "caption": text} for image_id, text in source.items()]
    known = None if images is None else set(images)
    names = None if known is None else known_as(known)
    seen: dict[str, str] = {}

    def parse(row: Row) -> Caption:
        image_id, text = row.identifier(*IMAGE_KEYS), row.text(*CAPTION_KEYS)
        if not text.strip():
            raise BadRecordError(
                f"the caption of image {image_id} is empty, which would pass for one without hallucination"
            )
        if known is not None and names is not None:
            there = names(image_id)
            if there is None:
                raise BadRecordError(f"image {image_id} is not among the {len(known)} images whose objects are known")
            image_id = there
        if image_id in seen:
            raise BadRecordError(f"image {image_id} has a caption already ({seen[image_id]})")
        seen[image_id] = row.where
        return Caption(image_id, text)

    found = list(reader.read(source, parse))
    return reader.some(found, source, "caption")


def known_as(images: Collection[str]) -> Callable[[str], str | None]:
    """Give the function that finds a picture among known ones: 42 is also ``COCO_val2014_000000000042.jpg``.

    The same identifier goes first; then the same name without folder and ending, of which a number in COCO's form of 12
    digits counts as the number alone. A name that could be two pictures is neither.
    """
    others: dict[str, set[str]] = {}

    def found(image_id: str) -> str | None:
        if image_id in images:
            return image_id
        if not others:
            for one in images:
                others.setdefault(_bare(one), set()).add(one)
        same = others.get(_bare(image_id), set())
        return next(iter(same)) if len(same) == 1 else None

    return found


def _bare(image_id: str) -> str:
    name = re.sub(r"^.*/|\.[A-Za-z]\w{2,3}$", "", image_id)
    number = re.fullmatch(r"(?:COCO_\w+_)?([0-9]{12})|([0-9]+)", name)
    return (number[1] or number[2]).lstrip("0") or "0" if number else name


def read_objects(
    source: Objects, vocabulary: Vocabulary, reader: Reader, *, opener: Opener = opened
) -> dict[str, frozenset[str]]:
    """Read which objects are in which picture.

    Parameters
    ----------
    source
        A file of records with ``image_id`` and ``objects`` (a list of names), such records, or a mapping from one to
        the other; or COCO's ``instances_*.json`` and ``captions_*.json``. Several files are put together, and so are
        several records of a picture.
    vocabulary
        Names may be categories or synonyms of it; categories come back.
    reader
        Decides what becomes of a record whose objects the vocabulary lacks.
    opener
        Opens files, which may be large; a command gives one that shows progress.

    Raises
    ------
    InputError
        At the first bad record, unless the reader skips them; if nothing is left.
    """
    if isinstance(source, (str, Path)):
        source = [source]
    found: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
    for part in _parts(source):
        if isinstance(part, (str, Path)):
            with opener(Path(part)) as file:
                if is_coco(file):
                    pairs = list(coco_objects(file, part, vocabulary).items())
                else:
                    pairs = list(reader.read(part, _parser(vocabulary), file))
        else:
            pairs = list(reader.read(part, _parser(vocabulary)))
        for image_id, objects in reader.some(pairs, part, "image"):
            found[image_id] |= objects
    return dict(found)


def _parts(source: Mapping[str | int, Iterable[str]] | Iterable[Any]) -> list[Source]:
    """Give the files one by one, or the records as one part."""
    if isinstance(source, Mapping):
        return [[{"image_id": image_id, "objects": list(names)} for image_id, names in source.items()]]
    parts = list(source)
    if any(isinstance(part, (str, Path)) for part in parts):
        return [part for part in parts if isinstance(part, (str, Path))]
    return [[part for part in parts if isinstance(part, Mapping)]]


def _parser(vocabulary: Vocabulary) -> Callable[[Row], tuple[str, frozenset[str]]]:
    def parse(row: Row) -> tuple[str, frozenset[str]]:
        image_id, names = row.identifier(*IMAGE_KEYS), row.names("objects")
        categories = {name: vocabulary.category(name) for name in names}
        if unknown := [name for name, category in categories.items() if category is None]:
            raise BadRecordError(
                f"'{unknown[0]}' is no object of the vocabulary {vocabulary.name}; "
                "give a vocabulary that has it with --synonyms"
            )
        return image_id, frozenset(category for category in categories.values() if category is not None)

    return parse


def stem(source: object) -> str:
    """Give a short name for a file of captions or answers: its name without the ending."""
    return Path(source).stem if isinstance(source, (str, Path)) else "captions"
