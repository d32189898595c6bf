"""Which objects are in which picture of MS COCO, straight from its annotation files.

These files have hundreds of megabytes. They are read as a stream: memory holds the result, not the file.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
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
    for number, fields in enumerate(_items(file, path, "images"), start=1):
        found.setdefault(_identifier(f"{path}: picture {number}", fields, "id"), set())
    count = 0
    for image_id, objects in _annotations(file, path, vocabulary):
        count += 1
        found.setdefault(image_id, set()).update(objects)
    if not count and not (found and "annotations" in _keys(file, path)):
        raise InputError(f"{path} has no annotations; expected COCO's instances_*.json or captions_*.json")
    return found


def _annotations(file: BinaryIO, path: str | Path, vocabulary: Vocabulary) -> Iterator[tuple[str, set[str]]]:
    categories: dict[Any, str] = {}
    for fields in _items(file, path, "categories"):
        name = vocabulary.category(str(fields.get("name")))
        if name is None:
            raise InputError(
                f"{path}: the category '{fields.get('name')}' is not in the vocabulary {vocabulary.name}; "
                "give one that has it with --synonyms"
            )
        categories[fields.get("id")] = name
    for number, fields in enumerate(_items(file, path, "annotations"), start=1):
        if isinstance(fields.get("caption"), str):
            objects = {mention.object for mention in vocabulary.mentions(fields["caption"])}
        elif fields.get("category_id") in categories:
            objects = {categories[fields["category_id"]]}
        else:
            raise InputError(
                f"{path}: annotation {number} has neither a caption nor a known category_id; expected COCO's "
                "instances_*.json or captions_*.json"
            )
        yield _identifier(f"{path}: annotation {number}", fields, "image_id"), objects


def _identifier(where: str, fields: dict[str, Any], key: str) -> str:
    try:
        return Row(where, fields).identifier(key)
    except BadRecordError as problem:
        raise InputError(f"{where}: {problem}; expected COCO's annotations") from None


def _items(file: BinaryIO, path: str | Path, key: str) -> Iterator[dict[str, Any]]:
    file.seek(0)
    for name, elements in json_lists(file, path, REMEDY):
        for item in elements if name == key else ():
            if not isinstance(item, dict):
                raise InputError(f"{path}: '{key}' is not a list of objects; expected COCO's annotations")
            yield item


def _keys(file: BinaryIO, path: str | Path) -> list[str]:
    file.seek(0)
    return [name for name, _ in json_lists(file, path, REMEDY)]
