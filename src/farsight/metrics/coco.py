"""Which objects are in which picture of MS COCO, straight from its annotation files.

These files have hundreds of megabytes. They are read as a stream: memory holds the result, not the file.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from farsight.errors import InputError
from farsight.files import json_lists, opened, reading
from farsight.metrics.records import BadRecordError, Row
from farsight.metrics.vocabulary import Vocabulary

REMEDY = "download it again"

Opener = Callable[[Path], AbstractContextManager[BinaryIO]]

_FIRST_KEY = re.compile(rb'\s*\{\s*"(?:info|images|annotations|licenses|categories|type)"')


def is_coco(file: BinaryIO) -> bool:
    """Tell from its first bytes whether a file is in COCO's format."""
    head = file.read(1024).removeprefix(codecs.BOM_UTF8)
    file.seek(0)
    return _FIRST_KEY.match(head) is not None


def read_coco(
    path: str | Path,
    vocabulary: Vocabulary,
    *,
    opener: Opener = opened,
) -> dict[str, frozenset[str]]:
    """Put together the objects of each picture.

    CHAIR takes an object for present if it was outlined (``instances_*.json``) or if one of the five reference captions
    names it (``captions_*.json``): its ground truth is both files together, as `captions.read_objects` puts them. Every
    picture under ``images`` is known: where no annotation is about it, nothing of COCO's is in it.

    Parameters
    ----------
    path
        A file of either kind.
    vocabulary
        What names an object in a reference caption.
    opener
        Opens a path for reading bytes; a command gives one that shows progress.

    Returns
    -------
    The objects of each picture, in the order of ``images``.

    Raises
    ------
    InputError
        If the file is missing, damaged, or neither of the two kinds, or if the vocabulary lacks one of its categories.
    """
    with opener(Path(path)) as file:
        return coco_objects(file, path, vocabulary)


def coco_objects(file: BinaryIO, path: str | Path, vocabulary: Vocabulary) -> dict[str, frozenset[str]]:
    """Put together the objects of each picture, of the file ``path`` that is open already; see `read_coco`."""
    with reading(path, "COCO's annotations", REMEDY):
        return {image_id: frozenset(objects) for image_id, objects in _objects(file, path, vocabulary).items()}


def _objects(file: BinaryIO, path: str | Path, vocabulary: Vocabulary) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    outlined: dict[Any, tuple[int, set[str]]] = {}  # categories come by number, and their names after the annotations
    categories: dict[Any, str] = {}
    annotated = False
    for key, elements in json_lists(file, path, REMEDY):
        if key == "categories":
            categories = {
                fields.get("id"): _category(path, fields, vocabulary) for _, fields in _rows(path, key, elements)
            }
        elif key == "images":
            for number, fields in _rows(path, key, elements):
                found.setdefault(_identifier(f"{path}: picture {number}", fields, "id"), set())
        elif key == "annotations":
            annotated = True
            for number, fields in _rows(path, key, elements):
                category = fields.get("category_id")
                image_id = _identifier(f"{path}: annotation {number}", fields, "image_id")
                if isinstance(fields.get("caption"), str):
                    named = (mention.object for mention in vocabulary.mentions(fields["caption"]))
                    found.setdefault(image_id, set()).update(named)
                else:
                    found.setdefault(image_id, set())
                    outlined.setdefault(category, (number, set()))[1].add(image_id)
    if not annotated or not found:
        raise InputError(f"{path} has no annotations; expected COCO's instances_*.json or captions_*.json")
    for category, (first, images) in outlined.items():
        if category not in categories:
            raise InputError(
                f"{path}: annotation {first} has neither a caption nor a known category_id; expected COCO's "
                "instances_*.json or captions_*.json"
            )
        for image_id in images:
            found[image_id].add(categories[category])
    return found


def _category(path: str | Path, fields: dict[str, Any], vocabulary: Vocabulary) -> str:
    name = vocabulary.category(str(fields.get("name")))
    if name is None:
        raise InputError(
            f"{path}: the category '{fields.get('name')}' is not in the vocabulary {vocabulary.name}; "
            "give one that has it with --synonyms"
        )
    return name


def _identifier(where: str, fields: dict[str, Any], key: str) -> str:
    try:
        return Row(where, fields).identifier(key)
    except BadRecordError as problem:
        raise InputError(f"{where}: {problem}; expected COCO's annotations") from None


def _rows(path: str | Path, key: str, elements: Iterable[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, fields in enumerate(elements, start=1):
        if not isinstance(fields, dict):
            raise InputError(f"{path}: '{key}' is not a list of objects; expected COCO's annotations")
        yield number, fields
