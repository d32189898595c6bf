"""Files are told apart by their paths; people call them by as little of these as does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from farsight.errors import InputError


def real_path(path: Path) -> Path:
    """Where a path leads with all links followed; unlike `Path.resolve`, also if they lead in a circle."""
    return Path(os.path.realpath(path))


def short_names(paths: Sequence[Path]) -> list[str]:
    """Name each file by as much of the end of its path as tells them apart.

    Raises
    ------
    InputError
        If the same file is there twice.
    """
    if len(set(map(real_path, paths))) < len(paths):
        raise InputError("the same file is given twice; a comparison needs different ones")
    parts = [(*path.absolute().parts[:-1], path.stem) for path in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
