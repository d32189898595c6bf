"""Which objects are in which picture of MS COCO, straight from its annotation files.

These files have hundreds of megabytes. They are read as a stream (`ijson`): memory holds the result, not the file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from farsight.errors import InputError
from farsight.metrics.vocabulary import Vocabulary

Opener = Callable[[Path], IO[bytes]]


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def read_coco(
    paths: Iterable[str | Path],
    vocabulary: Vocabulary,
    *,
    only: Container[str] | None = None,
    opener: Opener = _open,
) -> dict[str, frozenset[str]]:
    """Put together the objects of each picture, as CHAIR defines its ground truth.

    CHAIR takes an object for present if it was outlined (``instances_*.json``) or if one of the five reference captions
    names it (``captions_*.json``): give both.

    Parameters
    ----------
    paths
        Files of both kinds; of train and of val, if captions of both are scored.
    vocabulary
        What names an object in a reference caption.
    only
        Identifiers of the pictures that matter, as text; None keeps all.
    opener
        Opens a path for reading bytes; a command gives one that shows progress.

    Raises
    ------
    InputError
        If a file is missing, damaged, or neither of the two kinds, or if the vocabulary lacks one of its categories.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in map(Path, paths):
        for image_id, objects in _annotations(path, vocabulary, opener):
            if only is None or image_id in only:
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
