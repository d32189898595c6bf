"""The folder of a run: killed at any moment and started again, nothing is lost and nothing is done twice.

``run.json`` says what the run is, ``answers.jsonl`` has one row for each method and item, appended as they come. A row
is written whole before the next begins; a last line that a kill cut off is dropped when the run goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from farsight.errors import InputError
from farsight.files import MOST_BYTES, decode_json, read_bytes, read_json, reading, write

PICTURES = "pictures"
"""Scenes are drawn there before the run begins."""

Key = tuple[str, str]
"""A method's label and an item's identifier."""


class RunFolder:
    """An opened run folder; made by `opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[Key, dict[str, Any]] = {}

    @property
    def answers(self) -> Path:
        """The file of answers."""
        return self.path / "answers.jsonl"

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add answers, and have them on the disk before going on.

        Raises
        ------
        InputError
            If they cannot be written, as when the disk is full. What was written before stays, and the run can go on.
        """
        lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
        size = self.answers.stat().st_size if self.answers.exists() else 0
        try:
            with self.answers.open("ab") as file:
                file.write("".join(f"{line}\n" for line in lines).encode(errors="backslashreplace"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):  # what is torn is dropped when the run goes on
                os.truncate(self.answers, size)
            raise InputError(
                f"{self.answers}: cannot be written ({error.strerror or error}); the {len(self.rows)} answers so far "
                "are safe: make room and start the same command again"
            ) from error
        self._remember(map(json.loads, lines))

    def _load(self) -> None:
        if not self.answers.exists():
            return
        data = read_bytes(self.answers, MOST_BYTES)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.answers, whole)
        for number, line in enumerate(data[:whole].splitlines(), start=1):
            with reading(f"{self.answers}:{number}", "an answer", "delete this line to have it answered again"):
                self._remember([decode_json(line.decode())])

    def _remember(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            self.rows[row["method"], row["item"]] = row


@contextmanager
def opened(path: Path, config: Mapping[str, Any]) -> Iterator[RunFolder]:
    """Open a run folder, new or to go on with, for this process alone.

    Parameters
    ----------
    path
        The folder; made if it is not there.
    config
        All that decides the answers. A folder with another one is refused.

    Raises
    ------
    InputError
        If another process has it open, if it belongs to another configuration (the message gives the difference), if
        it is no run folder but has files in it, or if it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        strange = [one.name for one in path.iterdir() if one.name not in ("run.lock", PICTURES)]
        lock = FileLock(path / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{path}: another run is writing to this folder; wait for it, or choose another") from None
    except OSError as error:
        raise InputError(f"{path}: no run can be kept there ({error.strerror or error})") from error
    with lock:
        if (path / "run.json").exists():
            _check(path / "run.json", config)
        elif strange:
            raise InputError(f"{path}: has files ({strange[0]}) but no run.json; choose a new or empty folder")
        else:
            write(path / "run.json", [json.dumps(config, indent=2, sort_keys=True).encode()])
        folder = RunFolder(path)
        folder._load()
        yield folder


def _check(path: Path, config: Mapping[str, Any]) -> None:
    before = read_json(path, "choose another folder")
    now = json.loads(json.dumps(config))
    if differences := list(_differences(before, now)):
        shown = "; ".join(differences[:4]) + ("; ..." if len(differences) > 4 else "")
        raise InputError(f"{path.parent}: holds a run of another configuration: {shown}; choose another folder")


def _differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            name = f"{where}.{key}" if where else key
            if key not in now:
                yield f"{name} was {json.dumps(before[key])}, is not given now"
            elif key not in before:
                yield f"{name} was not given, is {json.dumps(now[key])}"
            else:
                yield from _differences(before[key], now[key], name)
    elif before != now:
        yield f"{where} was {json.dumps(before)}, is {json.dumps(now)}"
