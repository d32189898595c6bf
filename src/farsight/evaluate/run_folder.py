"""The folder of a run: killed at any moment and started again, nothing is lost and nothing is done twice.

``run.json`` says what the run is, ``answers.jsonl`` has one row for each method and item, appended as they come. A row
is written whole before the next begins; a last line that a kill cut off is dropped when the run goes on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from farsight import files
from farsight.errors import FarSightError, InputError
from farsight.evaluate.shapes import check
from farsight.judging.judged import FILES as JUDGED

CONFIG = "run.json"
PICTURES = "pictures"
"""Scenes are drawn there before the run begins."""

Key = tuple[str, str]
"""A method's label and an item's identifier."""

ROW = {
    "method": str,
    "item": str,
    "text": str,
    "tokens": int,
    "ended": bool,
    "absorbed": (float, None),
    "failed": (str, None),
}
"""What a row of answers has to have."""
_LEFT_OVER = re.compile(rf"\.{PICTURES}\.\w{{8}}|\..+\.[0-9a-f]{{8}}\.tmp")
"""What a kill leaves of pictures that were drawn, and of files that were written."""


class RunFolder:
    """A folder that this process alone writes to; made by `claimed`."""

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

    def begin(self, config: Mapping[str, Any]) -> None:
        """Begin a run, or go on with the one that is there.

        Parameters
        ----------
        config
            All that decides the answers.

        Raises
        ------
        InputError
            If the folder holds another configuration (the message gives the difference), or a file is damaged.
        """
        file = self.path / CONFIG
        if file.exists():
            _compare(file, config)
        else:
            files.write(file, [json.dumps(config, indent=2, sort_keys=True).encode()])
        self._load()

    def _load(self) -> None:
        if not self.answers.exists():
            return
        data = files.read_bytes(self.answers, files.MOST_BYTES)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.answers, whole)
        for number, line in enumerate(data[:whole].splitlines(), start=1):
            remedy = "delete this line to have it answered again"
            with files.reading(f"{self.answers}:{number}", "an answer", remedy):
                row = files.decode_json(line.decode())
                check(row, ROW)
                if (row["method"], row["item"]) in self.rows:
                    raise ValueError(f"{row['item']} is answered before")
                self._remember([row])

    def _remember(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            self.rows[row["method"], row["item"]] = row


def from_folder(folder: Path, path: Path) -> str:
    """Name a picture from the run folder if it is in there, so that this can be moved; else by where it is."""
    shown, home = files.real_path(path), files.real_path(folder)
    return str(shown.relative_to(home) if shown.is_relative_to(home) else shown)


@contextmanager
def opened(path: Path, config: Mapping[str, Any]) -> Iterator[RunFolder]:
    """Open a run folder, new or to go on with: `claimed` and `RunFolder.begin`."""
    with claimed(path) as folder:
        folder.begin(config)
        yield folder


@contextmanager
def claimed(path: Path) -> Iterator[RunFolder]:
    """Have a run folder for this process alone, from before anything is made in it.

    Parameters
    ----------
    path
        The folder; made if it is not there. What a killed process has left half done is cleared away.

    Raises
    ------
    InputError
        If another process has it, if it is no run folder but has files in it (those of judging may be), or if it cannot
        be written.
    """
    lock, new = FileLock(path / "run.lock"), not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{path}: another run is writing to this folder; wait for it, or choose another") from None
    except (OSError, ValueError) as error:
        raise _not_there(path, error) from error
    with lock:
        try:
            _clear(path)
        except OSError as error:
            raise _not_there(path, error) from error
        try:
            yield RunFolder(path)
        except FarSightError:
            if {one.name for one in path.iterdir()} <= {"run.lock", PICTURES, CONFIG}:
                (path / CONFIG).unlink(missing_ok=True)  # what failed before its first answer holds no other to it
            if new and {one.name for one in path.iterdir()} <= {"run.lock"}:
                shutil.rmtree(path)
            raise


def _not_there(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: no run can be kept there ({getattr(error, 'strerror', None) or error})")


def _clear(path: Path) -> None:
    """Remove what a kill left behind, from a folder that is a run's."""
    left = [one for one in path.iterdir() if _LEFT_OVER.fullmatch(one.name)]
    judged = {name for file in JUDGED for name in (file, f".{file}.lock")}
    known = {"run.lock", PICTURES, *judged, *(one.name for one in left)}
    strange = sorted(one.name for one in path.iterdir() if one.name not in known)
    if strange and not (path / CONFIG).exists():
        raise InputError(f"{path}: has files ({strange[0]}) but no {CONFIG}; choose a new or empty folder")
    for one in left:
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink()


def _compare(path: Path, config: Mapping[str, Any]) -> None:
    before = files.read_json(path, "choose another folder")
    if not isinstance(before, dict):
        raise InputError(f"{path}: is not a run's configuration; choose another folder")
    now = json.loads(json.dumps(config))
    if differences := list(_differences(before, now)):
        shown = "; ".join(differences[:4]) + ("; ..." if len(differences) > 4 else "")
        raise InputError(f"{path.parent}: holds a run of another configuration: {shown}; choose another folder")


def _differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    if where.startswith("methods.") and _of_files(before) != _of_files(now):
        yield f"the file of the method '{where.removeprefix('methods.')}' has changed since, or is another"
    elif isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            name = f"{where}.{key}" if where else key
            if key not in now:
                yield f"{name} was {_shown(before[key])}, is not given now"
            elif key not in before:
                yield f"{name} was not given, is {_shown(now[key])}"
            else:
                yield from _differences(before[key], now[key], name)
    elif json.dumps(before, sort_keys=True) != json.dumps(now, sort_keys=True):
        yield f"{where} was {_shown(before)}, is {_shown(now)}"


def _of_files(settings: Any) -> list[str]:
    """Fingerprints of the files that the parts of a method were read from, where they were."""
    parts = settings.get("methods", [settings]) if isinstance(settings, dict) else []
    return [part["source"] for part in parts if "source" in part]


def _shown(value: Any, most: int = 120) -> str:
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}..."
