"""Fingerprints of what goes into a run, so that it is not continued with something else of the same name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from farsight.errors import InputError
from farsight.evaluate.tasks import Item
from farsight.files import opened, short_names

_SAMPLE = 4_000_000


def fingerprint(path: Path) -> str:
    """Hash a file.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def fingerprints(paths: Sequence[Path]) -> dict[str, str]:
    """Hash files, each by as much of its path as tells it from the others; raises as `fingerprint`."""
    return dict(zip(short_names(paths), map(fingerprint, paths), strict=True))


def picture_fingerprints(items: Iterable[Item]) -> dict[str, str | None]:
    """Hash the pictures or videos of items, each by its path from the folder that has them all.

    None for one that cannot be read, of which its row will say why.
    """
    paths = {item.path.absolute() for item in items if item.path is not None}
    if not paths:
        return {}
    folder = os.path.commonpath([path.parent for path in paths])
    return {path.relative_to(folder).as_posix(): _picture_fingerprint(path) for path in sorted(paths)}


def _picture_fingerprint(path: Path) -> str | None:
    try:
        if not path.is_dir():
            return fingerprint(path)
        frames = [f"{frame.name} {fingerprint(frame)}" for frame in sorted(path.iterdir())]
    except (InputError, OSError):
        return None
    return hashlib.sha256("\n".join(frames).encode()).hexdigest()[:16]


def weights_fingerprint(folder: Path) -> str | None:
    """Hash the sizes, beginnings and ends of a checkpoint's weights: enough to tell two trainings apart, and quick.

    None for what is no folder, such as a name on the hub.
    """
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest.update(f"{path.name} {size}".encode() + file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:16] if files else None
