"""Word vectors in the text format of word2vec, GloVe and fastText: which words mean nearly the same?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from farsight.errors import InputError, SettingError
from farsight.files import opened, reading

_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
MOST_BYTES = 20_000_000_000
"""Of a file of vectors; the largest that are published have a third of it."""
_MOST_LINE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class WordVectors:
    """Vectors of some words."""

    name: str
    """The file they come from."""
    vectors: Mapping[str, NDArray[np.float64]]
    """``(dimension,)`` each."""

    def similar(self, threshold: float = 0.8) -> Callable[[str, str], bool]:
        """Give a function that tells whether the cosine of two words is above a threshold.

        A word without a vector, or with one of zeros, is similar to itself only.

        Parameters
        ----------
        threshold
            From -1 to 1; AMBER's script has 0.8.

        Raises
        ------
        SettingError
            If the threshold is not a cosine.
        """
        if not -1 <= threshold <= 1:
            raise SettingError(f"the threshold of similarity must be a cosine, from -1 to 1, got {threshold!r}")
        words = [word for word, vector in self.vectors.items() if vector.any()]
        units = np.array([self.vectors[word] / np.linalg.norm(self.vectors[word]) for word in words])
        close = units @ units.T > threshold if words else np.zeros((0, 0), dtype=bool)
        number = {word: index for index, word in enumerate(words)}

        def similar(one: str, other: str) -> bool:
            if one == other:
                return True
            return one in number and other in number and bool(close[number[one], number[other]])

        return similar


def read_vectors(path: str | Path, words: Iterable[str]) -> WordVectors:
    """Read the vectors of some words. The file is read as a stream: memory holds those words only.

    Parameters
    ----------
    path
        Text with a word and its numbers on each line, one space between them; the first line may give the number of
        words and of dimensions. A word that the file has in lower case only ("tv") gets that vector.
    words
        What to look for.

    Raises
    ------
    InputError
        If the file cannot be read, is packed or binary, has none of the words, or has something else than as many
        numbers as the first line for one of them; the message names file and line.
    """
    path = Path(path)
    wanted = {word: word for word in words}
    lower = {word.lower(): word for word in wanted if word.lower() not in wanted}
    exact: dict[str, NDArray[np.float64]] = {}
    lowered: dict[str, NDArray[np.float64]] = {}
    with opened(path, MOST_BYTES) as file, reading(path, "word vectors"):
        for word, vector in _lines(path, file, wanted.keys() | lower.keys()):
            if word in wanted:
                exact.setdefault(word, vector)
            else:
                lowered.setdefault(lower[word], vector)
            if len(exact) == len(wanted):
                break
    vectors = lowered | exact
    if not vectors:
        raise InputError(f"{path} has a vector for none of the {len(wanted)} words; is it of English words?")
    return WordVectors(name=str(path), vectors=vectors)


def _lines(path: Path, file: BinaryIO, wanted: Iterable[str]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    keys = {word.encode(): word for word in wanted}
    dimensions = 0
    checked = False
    for number, line in enumerate(iter(lambda: file.readline(_MOST_LINE), b""), start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
            if packed := next((kind for start, kind in _PACKED.items() if line.startswith(start)), None):
                raise InputError(f"{path}: is packed ({packed}); unpack it")
            fields = line.split()
            if len(fields) == 2 and all(field.isdigit() for field in fields):
                dimensions = int(fields[1])
                continue
            dimensions = len(fields) - 1
        word, _, rest = line.partition(b" ")
        # the first vector shows whether the file is of vectors at all; lines of other words are passed over
        if word not in keys and checked:
            continue
        vector = _numbers(rest, dimensions)
        if vector is None:
            raise InputError(
                f"{path}:{number}: is not a word and {max(dimensions, 1)} numbers; "
                "give word vectors as text, as of GloVe or fastText"
            )
        checked = True
        if word in keys:
            yield keys[word], vector


def _numbers(text: bytes, dimensions: int) -> NDArray[np.float64] | None:
    try:
        vector = np.array([float(number) for number in text.split()])
    except ValueError:
        return None
    return vector if len(vector) == dimensions > 0 and np.isfinite(vector).all() else None
