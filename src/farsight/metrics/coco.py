"""Which objects are in which picture of MS COCO, straight from its annotation files.

These files have hundreds of megabytes. They are read as a stream (`ijson`): memory holds the result, not the file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from farsight.errors import InputError
from farsight.metrics.vocabulary import Vocabulary

Opener = Callable[[Path], AbstractContextManager[BinaryIO]]

_FIRST_KEY = re.compile(rb'\s*\{\s*"(?:info|images|annotations|licenses|categories|type)"')


def is_coco(path: str | Path) -> bool:
    """Tell from its first bytes whether a file is in COCO's format; False if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return _FIRST_KEY.match(file.read(1024)) is not None
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
    names it (``captions_*.json``): its ground truth is both files together, as `captions.read_objects` puts them.

    Parameters
    ----------
    path
        A file of either kind.
    vocabulary
        What names an object in a reference caption.
    opener
        Opens a path for reading bytes; a command gives one that shows progress.

    Raises
    ------
    InputError
        If the file is missing, damaged, or neither of the two kinds, or if the vocabulary lacks one of its categories.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for image_id, objects in _annotations(Path(path), vocabulary, opener):
        found[image_id].update(objects)
    return {image_id: frozenset(objects) for image_id, objects in found.items()}


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
    count = 0
    for fields in _items(path, "annotations.item", opener):
        count += 1
        image_id = str(fields.get("image_id"))
        if isinstance(fields.get("caption"), str):
            yield image_id, {mention.object for mention in vocabulary.mentions(fields["caption"])}
        elif fields.get("category_id") in categories:
            yield image_id, {categories[fields["category_id"]]}
        else:
            raise InputError(
                f"{path}: annotation {count} has neither a caption nor a known category_id; expected COCO's "
                "instances_*.json or captions_*.json"
            )
    if not count:
        raise InputError(f"{path} has no annotations; expected COCO's instances_*.json or captions_*.json")


def _items(path: Path, prefix: str, opener: Opener) -> Iterator[dict[str, Any]]:
    import ijson

    try:
        with opener(path) as file:
            for item in ijson.items(file, prefix, use_float=True):
                if not isinstance(item, dict):
                    raise InputError(f"{path}: '{prefix}' is not a list of objects; expected COCO's annotations")
                yield item
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the name") from error
    except ijson.JSONError as error:
        raise InputError(f"{path}: not a complete JSON file ({error}); download it again") from None
