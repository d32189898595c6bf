"""What visitors upload: files in a folder that holds only so much, until they are read or nobody asks about them."""

from __future__ import annotations

import secrets
import shutil
import time
import unicodedata
from contextlib import suppress
from pathlib import Path
from threading import Lock

from farsight.errors import InputError
from farsight.web.limits import Limits

_LETTERS = 60
"""Of a file's name: in UTF-8 within the 255 bytes that a name can have."""


class UploadFolder:
    """The one folder that uploads are written to, each file in a folder of its own that nobody else can guess.

    Parameters
    ----------
    path
        Where it is; it is made by whoever starts the server, and removed with it.
    limits
        How much it holds, and for how long.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path.resolve()
        self.limits = limits
        self._lock = Lock()

    def store(self, name: str, data: bytes) -> Path:
        """Write an upload, and remove the oldest ones until there is room for it."""
        with self._lock:
            self._sweep(self.limits.stored_bytes - len(data))
            path = self.path / secrets.token_hex(16) / _file_name(name)
            path.parent.mkdir()
            path.write_bytes(data)
        return path

    def found(self, *names: str | None) -> list[Path]:
        """Give uploaded files by their paths.

        Raises
        ------
        InputError
            If one is not there, or is not in this folder.
        """
        return [self._checked(name) for name in names]

    def remove(self, *paths: Path) -> None:
        """Remove uploaded files, each with its folder."""
        for path in paths:
            first = self.path / path.relative_to(self.path).parts[0]
            if first.is_dir():
                shutil.rmtree(first, ignore_errors=True)
            else:
                first.unlink(missing_ok=True)

    def holds(self, name: str) -> bool:
        """Whether a path lies in this folder, with all links and dots resolved."""
        try:
            path = Path(name).resolve()
        except (OSError, ValueError, RuntimeError):
            return False
        return path.is_relative_to(self.path) and path != self.path

    def sweep(self) -> None:
        """Remove what was uploaded long ago and never asked about."""
        with self._lock:
            self._sweep(self.limits.stored_bytes)

    def files(self) -> list[Path]:
        """All files that are there now."""
        return [path for path in self.path.rglob("*") if path.is_file()]

    def _sweep(self, room: int) -> None:
        """Keep the newest files that have room, if they are not too old."""
        oldest = time.time() - self.limits.unused_seconds
        aged: list[tuple[float, int, Path]] = []
        for path in self.files():
            with suppress(OSError):
                about = path.stat()
                aged.append((about.st_mtime, about.st_size, path))
        for written, size, path in sorted(aged, reverse=True):
            room -= size
            if room < 0 or written < oldest:
                self.remove(path)

    def _checked(self, name: str | None) -> Path:
        if not name:
            raise InputError("nothing was uploaded; choose a file")
        if not self.holds(name) or not Path(name).is_file():
            raise InputError("the uploaded file is gone; upload it again")
        return Path(name).resolve()


def _file_name(name: str) -> str:
    """The last part of a name, printable and short; its ending stays."""
    last = name.replace("\\", "/").rpartition("/")[2]
    path = Path("".join(letter for letter in last if unicodedata.category(letter)[0] != "C"))
    ending = path.suffix[:12]
    return f"{path.stem[: _LETTERS - len(ending)]}{ending}" if path.name.strip(". ") else "file"
