"""Words that a judge says mean the same: a file in the format of a vocabulary, an object a line, then its synonyms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from farsight.errors import InputError
from farsight.files import MOST_WRITTEN, read_text, write_lines
from farsight.metrics.vocabulary import read_vocabulary

NAME = "synonyms.txt"


class Merges:
    """A file of synonyms; it need not be there yet.

    Parameters
    ----------
    path
        The file of the merges.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._same: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        """Give what each word that is a synonym stands for.

        Raises
        ------
        InputError
            If the file is bad; see `farsight.metrics.vocabulary.read_vocabulary`.
        """
        if not self.path.exists():
            return {}
        about = self.path.stat()
        if self._seen != (about.st_mtime_ns, about.st_size):
            objects = read_vocabulary(self.path).objects if self._lines() else {}
            self._same = {word: name for name, synonyms in objects.items() for word in synonyms if word != name}
            self._seen = about.st_mtime_ns, about.st_size
        return self._same

    def merge(self, word: str, into: str) -> None:
        """Let a word, and all that stands for it, stand for another.

        Raises
        ------
        InputError
            If that cannot be written, or a name could not be read again.
        """
        for name in (word, into):
            if not name.strip() or any(mark in name for mark in ",#\n"):
                raise InputError(f"'{name}' cannot be a name in {self.path}: it has a comma, a '#' or nothing in it")
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            same = self.read()
            into = same.get(into, into)
            if word == into:
                return
            self._write({synonym: into if name == word else name for synonym, name in same.items()} | {word: into})

    def separate(self, word: str) -> None:
        """Let a word stand for itself again.

        Raises
        ------
        InputError
            If that cannot be written.
        """
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            self._write({synonym: name for synonym, name in self.read().items() if synonym != word})

    def _write(self, same: Mapping[str, str]) -> None:
        groups: dict[str, list[str]] = {}
        for synonym, name in same.items():
            groups.setdefault(name, []).append(synonym)
        comments = [line for line in self._all_lines() if line.lstrip().startswith("#")]
        write_lines(self.path, [*comments, *(", ".join([name, *synonyms]) for name, synonyms in groups.items())])

    def _lines(self) -> list[str]:
        return [line for line in self._all_lines() if line.split("#")[0].strip()]

    def _all_lines(self) -> list[str]:
        return read_text(self.path, MOST_WRITTEN).splitlines() if self.path.exists() else []
