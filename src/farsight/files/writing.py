"""Write files whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from farsight.errors import InputError
from farsight.files.naming import real_path


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file, UTF-8, line by line, as `write` does.

    Parameters
    ----------
    path
        Where to write.
    lines
        Without their line ends.
    """
    write(path, (f"{line}\n" for line in lines))


def write(path: Path, parts: Iterable[bytes | str]) -> None:
    """Write a file so that nobody ever sees half of it.

    The parts go to a temporary file in the same folder, which then takes the place of what was there, with its
    permissions. If anything goes wrong, also while the parts are made, the old file stays as it was and the temporary
    one is removed. What is no file, such as ``/dev/null`` or a pipe that somebody reads, stays what it is: the parts
    are written into it.

    Parameters
    ----------
    path
        Where to write; a link is followed.
    parts
        The bytes, one after the other; or text, which is written as UTF-8. A lone surrogate, which UTF-8 cannot hold,
        becomes its escape in JSON.

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written to, if the path is a folder itself or a file that may not be
        written, or if nobody reads the pipe.
    """
    encoded = (part if isinstance(part, bytes) else part.encode(errors="backslashreplace") for part in parts)
    try:
        target = real_path(path)
        there = _there(path)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise InputError(f"{path}: is a folder; give the name of a file")
        if there is not None and not stat.S_ISREG(there.st_mode):
            _write_into(path, there.st_mode, encoded)
            return
        if there is not None and _is_printed_to(there):
            raise InputError(f"{path}: is where the output of this command goes; choose another name")
        if not target.parent.is_dir():
            raise InputError(f"{path}: cannot be written, there is no folder '{path.parent}'; create it first")
        if there is not None and not os.access(target, os.W_OK):
            raise InputError(f"{path}: may not be written; change its permissions or choose another name")
        _replace(target, there, encoded)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path}: cannot be written ({reason}); choose another place") from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, if it is not there.

    Raises
    ------
    InputError
        If that cannot be done.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path}: no folder can be made there ({reason})") from error


def _there(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_printed_to(file: os.stat_result) -> bool:
    """Whether stdout goes to this file, and what is printed would be lost with it."""
    try:
        return os.path.samestat(file, os.fstat(1))
    except OSError:
        return False


def _replace(target: Path, there: os.stat_result | None, parts: Iterable[bytes]) -> None:
    """Put the parts in place of the file, with the permissions and, where that is allowed, the owner that it has."""
    temporary = target.with_name(f".{target.name[:50]}.{secrets.token_hex(4)}.tmp")
    try:
        mode = 0o666 if there is None else 0o600
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            if there is not None:
                with suppress(OSError, AttributeError):  # only root gives a file away; Windows has no owners
                    os.chown(temporary, there.st_uid, there.st_gid)
                temporary.chmod(stat.S_IMODE(there.st_mode))
            file.writelines(parts)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_into(path: Path, mode: int, parts: Iterable[bytes]) -> None:
    """Write the parts into a device or a pipe."""
    if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        raise InputError(f"{path}: is no file that can be written; choose another name")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # not to wait for a reader
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise InputError(f"{path}: nobody reads this pipe; give the name of a file") from error
        raise
    with os.fdopen(descriptor, "wb") as file:
        os.set_blocking(descriptor, True)
        file.writelines(parts)
