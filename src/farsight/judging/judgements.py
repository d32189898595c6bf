"""What people said of what was named in pictures: a file that only grows, one row for each time somebody decided.

A row is ``{"image_id": ..., "object": ..., "verdict": "there", "judge": ...}``, or "not there" or "unsure"; the last
row of a judge about an object of a picture counts. Several processes may write. A last line that a kill cut off is not
read, and goes when the next row is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from filelock import FileLock

from farsight.errors import InputError, SettingError
from farsight.files import MOST_BYTES, decode_json, read_bytes, reading

Verdict = Literal["there", "not there", "unsure"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
KNOWN: dict[Verdict, bool | None] = {"there": True, "not there": False, "unsure": None}
NAME = "judgements.jsonl"
MOST_LETTERS = 1000
"""Of a name in a row."""


class Judgement(NamedTuple):
    """What one judge said of one object of one picture."""

    image_id: str
    object: str
    verdict: Verdict
    judge: str


def latest(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Keep the last row of each judge about each object of each picture, in the order in which they were said."""
    found: dict[tuple[str, str, str], Judgement] = {}
    for one in judgements:
        key = one.image_id, one.object, one.judge
        found.pop(key, None)
        found[key] = one
    return list(found.values())


class Judgements:
    """A file of judgements; it need not be there yet.

    Parameters
    ----------
    path
        The file of the judgements.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._rows: list[Judgement] = []

    def read(self) -> list[Judgement]:
        """Give the rows that count, also those that another process has written meanwhile.

        Raises
        ------
        InputError
            If a line is no judgement.
        """
        if not self.path.exists():
            return []
        about = self.path.stat()
        if self._seen != (about.st_mtime_ns, about.st_size):
            data = read_bytes(self.path, MOST_BYTES)
            lines = data[: _whole(data)].splitlines()
            self._rows = latest(self._row(number, line) for number, line in enumerate(lines, start=1) if line.strip())
            self._seen = about.st_mtime_ns, about.st_size
        return self._rows

    def append(self, rows: Iterable[Judgement]) -> None:
        """Add rows, and have them on the disk before going on.

        Raises
        ------
        InputError
            If they cannot be written; what was there stays.
        """
        lines = "".join(f"{json.dumps(row._asdict(), ensure_ascii=False)}\n" for row in rows)
        try:
            with FileLock(self.path.with_name(f".{self.path.name}.lock")), self.path.open("a+b") as file:
                file.seek(0)
                data = file.read()
                whole = _whole(data)
                file.truncate(whole)
                ended = b"" if not whole or data[:whole].endswith(b"\n") else b"\n"
                try:
                    file.write(ended + lines.encode(errors="backslashreplace"))
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self.path, whole)
                    raise
        except OSError as error:
            raise InputError(
                f"{self.path}: no judgement can be written ({error.strerror or error}); those so far are safe: make "
                "room, or choose another file with --judgements"
            ) from error

    def _row(self, number: int, line: bytes) -> Judgement:
        with reading(f"{self.path}:{number}", "a judgement", "delete this line to judge it again"):
            fields = decode_json(line.decode())
            if not isinstance(fields, dict):
                raise ValueError("it is no JSON object")
            return Judgement(
                _name(fields, "image_id"), _name(fields, "object"), _verdict(fields), _name(fields, "judge")
            )


def check_judge(name: str) -> str:
    """Refuse a name that nobody has.

    Raises
    ------
    SettingError
        If it is empty, of several lines or far too long.
    """
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise SettingError(f"--judge is a name of 1 to 100 letters on one line, not {name[:20]!r}")
    return name.strip()


def _whole(data: bytes) -> int:
    """How many bytes are whole rows. A last line without its end is one if it can be understood."""
    end = data.rfind(b"\n") + 1
    try:
        json.loads(data[end:])
    except ValueError:
        return end
    return len(data)


def _name(fields: dict[str, Any], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str) or not 0 < len(value) <= MOST_LETTERS:
        raise ValueError(f"'{key}' is no text of at most {MOST_LETTERS} letters")
    return value


def _verdict(fields: dict[str, Any]) -> Verdict:
    for verdict in VERDICTS:
        if fields["verdict"] == verdict:
            return verdict
    raise ValueError(f"'verdict' is none of {', '.join(VERDICTS)}")
