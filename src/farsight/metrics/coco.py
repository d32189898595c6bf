"""Which objects are in which picture of MS COCO, straight from its annotation files.

These files have hundreds of megabytes. They are read as a stream (`ijson`): memory holds the result, not the file.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from farsight.errors import InputError
from farsight.files import reading
from farsight.metrics.records import BadRecordError, Row
from farsight.metrics.vocabulary import Vocabulary

Opener = Callable[[Path], AbstractContextManager[BinaryIO]]

_FIRST_KEY = re.compile(rb'\s*\{\s*"(?:info|images|annotations|licenses|categories|type)"')


def is_coco(path: str | Path) -> bool:
    """Tell from its first bytes whether a file is in COCO's format; False if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return _FIRST_KEY.match(file.read(1024).removeprefix(codecs.BOM_UTF8)) is not None
    except OSError:
        return False


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading bytes."""
    return path.open("rb")


def read_coco(
    path: str | Path,
    vocabulary: Vocabulary,
    *,
    opener: Opener = open_bytes,
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
    with reading(path, "COCO's annotations", "download it again"):
        return {image_id: frozenset(objects) for image_id, objects in _objects(Path(path), vocabulary, opener).items()}


def _objects(path: Path, vocabulary: Vocabulary, opener: Opener) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for number, fields in enumerate(_items(path, "images.item", opener), start=1):
        found.setdefault(_identifier(f"{path}: picture {number}", fields, "id"), set())
    count = 0
    for image_id, objects in _annotations(path, vocabulary, opener):
        count += 1
        found.setdefault(image_id, set()).update(objects)
    if not count and not (found and [] in _values(path, "annotations", opener)):
        raise InputError(f"{path} has no annotations; expected COCO's instances_*.json or captions_*.json")
    return found


def _annotations(path: Path, vocabulary: Vocabulary, opener: Opener) -> Iterator[tuple[str, set[str]]]:
    categories: dict[Any, str] = {}
    for fields in _items(path, "categories.item", opener):
        name = vocabulary.category(str(fields.get("name")))
        if name is None:
            raise InputError(
                f"{path}: the category '{fields.get('name')}' is not in the vocabulary {vocabulary.name}; "
                "give one that has it with --synonyms"
            )
        categories[fields.get("id")] = name
    for number, fields in enumerate(_items(path, "annotations.item", opener), start=1):
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


def _items(path: Path, prefix: str, opener: Opener) -> Iterator[dict[str, Any]]:
    for item in _values(path, prefix, opener):
        if not isinstance(item, dict):
            raise InputError(f"{path}: '{prefix}' is not a list of objects; expected COCO's annotations")
        yield item


def _values(path: Path, prefix: str, opener: Opener) -> Iterator[Any]:
    import ijson

    try:
        with opener(path) as file:
            yield from ijson.items(_WithoutMark(file), prefix, use_float=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the name") from error
    except ijson.JSONError as error:
        raise InputError(f"{path}: not a complete JSON file ({error}); download it again") from None


class _WithoutMark:
    """A file of which the byte-order mark at its beginning, if there is one, is not read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._begun = False

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if self._begun or not size:
            return data
        self._begun = True
        return data.removeprefix(codecs.BOM_UTF8) or self._file.read(size)
