"""What is really in some pictures, to mark what a description makes up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farsight.cli.terminal import note
from farsight.errors import InputError
from farsight.images import find_images, names_of, row_of
from farsight.inputs.named_models import EMBEDDED, vocabulary_of
from farsight.metrics.captions import read_objects
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import Vocabulary, read_vocabulary

SCENES = "scenes"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Objects of pictures, by the name that annotations give them."""

    vocabulary: Vocabulary
    objects: Mapping[str, frozenset[str]]
    source: Path
    _folders: dict[Path, Mapping[str, Path]] = field(default_factory=dict)

    def present(self, path: Path) -> frozenset[str] | None:
        """The objects in a picture, found as `farsight.images.row_of` says; None where they are not known."""
        row = row_of(path, self.objects, self._folder(path.parent, path))
        return None if row is None else self.objects[row]

    def check(self, paths: Sequence[Path]) -> None:
        """See that something is known of these pictures; of which there is nothing, that is said on stderr.

        Raises
        ------
        InputError
            If nothing is known of any.
        """
        unknown = [path for path in paths if self.present(path) is None]
        if len(unknown) == len(paths):
            rows = ", ".join(f"'{name}'" for name in list(self.objects)[:3])
            raise InputError(
                f"{self.source}: has no row of '{unknown[0].name}'; its rows are of {rows} ..., which are file names, "
                "their stems, or numbers in COCO"
            )
        for path in unknown:
            note(f"{path}: {self.source} has no row of it, so nothing is marked")

    def _folder(self, folder: Path, path: Path) -> Mapping[str, Path]:
        """The pictures of a folder by name; one whose ending is none of a picture's is there too."""
        if folder not in self._folders:
            try:
                self._folders[folder] = find_images(folder)
            except InputError:
                self._folders[folder] = {}
        found = self._folders[folder]
        return found if path.name in found else dict.fromkeys(names_of(path), path) | dict(found)

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
    return read_vocabulary(vocabulary_file(name))


def vocabulary_file(name: str | None) -> Path | None:
    """Give the file of a vocabulary: ``scenes``, a file, or None for COCO's."""
    if name == SCENES:
        return vocabulary_of(EMBEDDED)
    return None if name is None else Path(name)


def read_truth(objects: Path, synonyms: str | None) -> Truth:
    """Read which objects are in which picture.

    Raises
    ------
    InputError
        If a file is bad; the message names it and the line.
    """
    vocabulary = read_vocabulary_by_name(synonyms)
    return Truth(vocabulary=vocabulary, objects=read_objects(objects, vocabulary, Reader()), source=objects)
