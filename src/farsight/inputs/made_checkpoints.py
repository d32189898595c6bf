"""Checkpoints that are made once, of what packages hold, in the cache folder of the user."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from farsight.errors import InputError
from farsight.files import make_folder

_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Give the folder of a checkpoint, and make it first if it is not there.

    It is in ``$FARSIGHT_CACHE``, else in ``$XDG_CACHE_HOME/farsight``, else in ``~/.cache/farsight``.

    Parameters
    ----------
    name
        Of the folder; another for whatever would make another checkpoint.
    make
        Writes weights and tokenizer into a new folder, which then takes its place.

    Raises
    ------
    InputError
        If the folder cannot be written, and whatever ``make`` raises.
    """
    target = _cache() / name
    if not _is_whole(target):
        make_folder(target.parent)
        with FileLock(target.with_name(f".{name}.lock")):
            if not _is_whole(target):  # another process may have made it while this one waited
                _make(target, make)
    return target


def _make(target: Path, make: Callable[[Path], None]) -> None:
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
    except OSError as error:
        raise InputError(f"{target} cannot be made ({error.strerror or error}); set FARSIGHT_CACHE") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _cache() -> Path:
    if own := os.environ.get("FARSIGHT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "farsight"


def _is_whole(folder: Path) -> bool:
    if not all((folder / name).is_file() for name in _FILES):
        return False
    try:
        # which compares the file's length with what it should hold
        with safe_open(folder / "model.safetensors", "pt") as file:
            return bool(file.keys())
    except (OSError, SafetensorError):
        return False
