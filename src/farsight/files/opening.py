"""Open what a user names: a file, or a pipe whose writer is there; never wait for ever, never take all memory.

A path that is no regular file (``<(command)``, a FIFO, ``/dev/stdin``) is read once, whole, before anything is made of
it. What is written to a pipe can be read only once: who reads it again is told so.
"""

from __future__ import annotations

import io
import os
import select
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farsight.errors import FarSightError, InputError

MOST_BYTES = 2_000_000_000
"""Of a file that is read as a stream; COCO's largest annotations have a quarter of it."""
MOST_PIPED = 512_000_000
"""Of what comes out of a pipe, which has to be kept."""
MOST_DOCUMENT = 16_000_000
"""Of a file that is taken into memory as a whole."""
MOST_WRITTEN = 200_000
"""Of a file that people write: TOML, YAML. Their parsers are slow, of some texts quadratically so."""
PATIENCE = 60.0
"""Seconds to wait for the next byte of a writer that is there, such as a command that takes long to start."""
PATIENCE_WITHOUT_WRITER = 1.0
"""Seconds to wait for a writer."""


@contextmanager
def reading(where: str | Path, form: str = "a file that can be read", remedy: str = "") -> Iterator[None]:
    """Whatever goes wrong in this block, while something is read and understood, becomes one line that names it.

    Parameters
    ----------
    where
        The file, the file and line, or the option.
    form
        What it should have been: "JSON", "a calibration".
    remedy
        What to do if it is not, or if it is not there; to correct it, by default.

    Raises
    ------
    InputError
        For any exception that is not the package's own.
    """
    name = f"check the name, or {remedy}" if remedy else "check the name"
    remedy = remedy or "correct it"
    try:
        yield
    except FarSightError:
        raise
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror or error}); {name}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: is not UTF-8 text; save it as UTF-8, or {remedy}") from error
    except RecursionError as error:
        raise InputError(f"{where}: is nested too deeply; {remedy}") from error
    except OverflowError as error:
        raise InputError(f"{where}: has a number that is too large ({told(error)}); {remedy}") from error
    except MemoryError as error:
        raise InputError(f"{where}: needs more memory than there is; {remedy}") from error
    except Exception as error:
        raise InputError(f"{where}: is not {form} ({told(error)}); {remedy}") from error


def told(error: BaseException, most: int = 200) -> str:
    """Give what an exception says on one line of bearable length; of one that says nothing, its kind."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"there is no {text}"
    return text if len(text) <= most else f"{text[:most]}..."


@contextmanager
def opened(path: str | Path, most: int = MOST_BYTES, remedy: str = "") -> Iterator[io.BufferedReader | io.BytesIO]:
    """Open a file for reading bytes, from its beginning and as often as one likes.

    Parameters
    ----------
    path
        A file, or a pipe: that is read to its end first, as long as there is a writer.
    most
        Bytes that it may have.
    remedy
        What to do if it is not there, besides checking its name.

    Raises
    ------
    InputError
        If there is no such file, it is a folder, it is too large, or nothing comes out of a pipe.
    """
    path = Path(path)
    with reading(path, remedy=remedy):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            about = os.fstat(descriptor)
            if stat.S_ISDIR(about.st_mode):
                raise InputError(f"{path}: cannot be read, it is a folder; give the name of a file")
            if not stat.S_ISREG(about.st_mode):
                data = _drained(path, descriptor)
            elif about.st_size > most:
                raise too_large(path, most)
        except BaseException:
            os.close(descriptor)
            raise
    with os.fdopen(descriptor, "rb") as file:
        yield file if stat.S_ISREG(about.st_mode) else io.BytesIO(data)


def read_bytes(path: str | Path, most: int = MOST_DOCUMENT, remedy: str = "") -> bytes:
    """Read a file as a whole; raises as `opened`."""
    with opened(path, most, remedy) as file, reading(path, remedy=remedy):
        data = file.read(most + 1)
    if len(data) > most:
        raise too_large(path, most)
    return data


def read_text(path: str | Path, most: int = MOST_DOCUMENT, remedy: str = "") -> str:
    """Read a file of UTF-8 text as a whole, without a byte-order mark; raises as `read_bytes`, and for other text."""
    data = read_bytes(path, most, remedy)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{path}: is UTF-16 text; save it as UTF-8")
    with reading(path, remedy=remedy):
        return data.decode("utf-8-sig")


def too_large(where: str | Path, most: int) -> InputError:
    """Say that something has more bytes than are read."""
    size = f"{most / 1e6:g} MB" if most >= 1e6 else f"{most / 1e3:g} kB"
    return InputError(f"{where}: is larger than the {size} that are read of such a file; is it the right one?")


def _drained(path: Path, descriptor: int) -> bytes:
    """All that comes out of a pipe or a device, until its writers are gone."""
    data = bytearray()
    last = time.monotonic()
    while True:
        try:
            part: bytes | None = os.read(descriptor, 1 << 20)
        except BlockingIOError:  # a writer is there and has nothing to say yet
            part = None
        silent = time.monotonic() - last
        if part:
            data += part
            last = time.monotonic()
            if len(data) > MOST_PIPED:
                raise too_large(path, MOST_PIPED)
        elif part is not None and (data or not stat.S_ISFIFO(os.fstat(descriptor).st_mode)):
            return bytes(data)
        elif silent > (PATIENCE if part is None else PATIENCE_WITHOUT_WRITER):
            raise InputError(
                f"{path}: nothing comes out of this pipe, which can be read only once and while something writes to "
                "it; write it to a file and give that"
            )
        elif part is None:
            select.select([descriptor], [], [], 0.1)
        else:
            time.sleep(0.01)
