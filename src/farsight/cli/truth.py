"""What is really in some pictures, to mark what a description makes up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farsight.metrics.captions import read_objects
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import Vocabulary, coco, read_vocabulary

SCENES = "scenes"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Objects of pictures, by the name that annotations give them."""

    vocabulary: Vocabulary
    objects: Mapping[str, frozenset[str]]

    def present(self, path: Path) -> frozenset[str] | None:
        """The objects in a picture, by its file name or its stem; None where they are not known."""
        return self.objects.get(path.name, self.objects.get(path.stem))

    def record(self, path: Path, text: str) -> dict[str, Any]:
        """What a description names, for a JSON file; nothing where the picture's objects are not known."""
        present = self.present(path)
        if present is None:
            return {}
        named = list(dict.fromkeys(mention.object for mention in self.vocabulary.mentions(text)))
        return {
            "named": [name for name in named if name in present],
            "hallucinated": [name for name in named if name not in present],
            "missed": sorted(present - set(named)),
        }


def read_vocabulary_by_name(name: str | None) -> Vocabulary:
    """COCO's by default, ``scenes``, or a file.

    Raises
    ------
    InputError
        If it is a file that cannot be read.
    """
    path = vocabulary_file(name)
    return coco() if path is None else read_vocabulary(path)


def vocabulary_file(name: str | None) -> Path | None:
    """Give the file of a vocabulary: ``scenes``, a file, or None for COCO's."""
    if name == SCENES:
        from farsight.scenes import vocabulary_path

        return vocabulary_path()
    return None if name is None else Path(name)


def read_truth(objects: Path, synonyms: str | None) -> Truth:
    """Read which objects are in which picture.

    Raises
    ------
    InputError
        If a file is bad; the message names it and the line.
    """
    vocabulary = read_vocabulary_by_name(synonyms)
    return Truth(vocabulary=vocabulary, objects=read_objects(objects, vocabulary, Reader()))
