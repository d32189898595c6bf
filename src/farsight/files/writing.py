"""Write files whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from farsight.errors import InputError


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file, UTF-8, line by line, as `write` does.

    Parameters
    ----------
    path
        Where to write.
    lines
        Without their line ends. A lone surrogate, which UTF-8 cannot hold, becomes its escape in JSON.
    """
    write(path, (f"{line}\n".encode(errors="backslashreplace") for line in lines))


def write(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file so that nobody ever sees half of it.

    The parts go to a temporary file in the same folder, which then takes the place of what was there. If anything goes
    wrong, also while the parts are made, the old file stays as it was and the temporary one is removed.

    Parameters
    ----------
    path
        Where to write; a link is followed.
    parts
        The bytes, one after the other.

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written to, or if the path is a folder itself.
    """
    try:
        target = path.resolve()
        if target.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file")
        if not target.parent.is_dir():
            raise InputError(f"{path}: cannot be written, there is no folder '{path.parent}'; create it first")
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.writelines(parts)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, if it is not there.

    Raises
    ------
    InputError
        If that cannot be done.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: no folder can be made there ({error.strerror or error})") from error
