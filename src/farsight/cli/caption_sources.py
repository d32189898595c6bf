"""What the commands that score captions are given: rows, what ``describe --json`` wrote, or folders of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farsight.cli.terminal import note
from farsight.cli.truth import SCENES, vocabulary_file
from farsight.errors import FarSightError, InputError, SettingError
from farsight.files import json_lines, opened, read_json, reading, short_names
from farsight.files.documents import decode_json

_DRAWN = ("scenes:", "videos:")
"""How tasks begin whose objects are those of the drawn world."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """Captions by one name.

    Parameters
    ----------
    captions
        Rows, or the file that has them.
    objects
        What is in the pictures, by picture, where it stands beside the captions.
    synonyms
        The vocabulary that goes with it; None for COCO's.
    own_vocabulary
        Whether it was scored by a vocabulary that is neither, which has to be given again.
    """

    captions: Path | Sequence[Mapping[str, Any]]
    objects: Mapping[str, Sequence[str]]
    synonyms: str | None = None
    own_vocabulary: bool = False


def read_said(paths: Sequence[Path], part: str | None = None) -> dict[str, Said]:
    """Give captions by name: one for each file, one for each method of a run and of what ``describe --json`` wrote.

    Parameters
    ----------
    paths
        Files, or folders of runs.
    part
        Of the runs; their first that has captions if None, and what others there are is said on stderr.

    Raises
    ------
    InputError
        If a folder is no finished run or has no such part, or its files are damaged.
    SettingError
        If there is a part and no run.
    """
    if part is not None and not any(path.is_dir() for path in paths):
        raise SettingError(f"--part '{part}' is of a RUN, and none is given; leave it out")
    said: dict[str, Said] = {}
    for name, path in zip(short_names(paths), paths, strict=True):
        of_path = _of_run(path, part) if path.is_dir() else _of_description(path)
        if of_path is None:
            said[name] = Said(captions=path, objects={})
        elif len(paths) == 1:
            said |= of_path
        else:
            said |= {name if len(of_path) == 1 else f"{name} {label}": one for label, one in of_path.items()}
    return said


def _of_run(folder: Path, wanted: str | None) -> dict[str, Said]:
    from farsight.evaluate.finished import DETAILS, check_finished

    check_finished(folder, DETAILS)
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    again = "start the same 'farsight eval' again"
    with opened(folder / DETAILS) as file, reading(folder / DETAILS, "a run's details", again):
        for _, line in json_lines(file):
            row = decode_json(line.decode())
            rows.setdefault(row["part"], {}).setdefault(row["method"], []).append(row)
    if not rows:
        raise InputError(f"{folder}: the run asked for no captions; there is nothing to score")
    results = read_json(folder / "results.json", again)
    with reading(folder / "results.json", "a run's results", again):
        task = results["config"]["task"]
        own = task.get("sources", {}).get("synonyms")
        drawn = str(task["name"]).startswith(_DRAWN) or (own is not None and own == _drawn_vocabulary())
    if wanted is not None and wanted not in rows:
        raise InputError(f"{folder}: has no captions of a part '{wanted}'; choose --part {' or '.join(rows)}")
    part = wanted or next(iter(rows))
    if wanted is None and (others := [other for other in rows if other != part]):
        note(f"{folder}: the captions of '{part}'; for the others --part {' or '.join(others)}")
    return {
        label: Said(
            captions=of_method,
            objects={row["image_id"]: row["objects"] for row in of_method},
            synonyms=SCENES if drawn else None,
            own_vocabulary=own is not None and not drawn,
        )
        for label, of_method in rows[part].items()
    }


def _drawn_vocabulary() -> str | None:
    """The fingerprint of the drawn objects' vocabulary; None if this is not installed."""
    from farsight.evaluate.fingerprints import fingerprint

    try:
        file = vocabulary_file(SCENES)
    except FarSightError:
        return None
    return None if file is None else fingerprint(file)


def _of_description(path: Path) -> dict[str, Said] | None:
    """What `farsight describe --json` wrote, by method; None of any other file."""
    if path.suffix != ".json" or not path.is_file():
        return None
    rows = read_json(path)
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        return None
    if not all(isinstance(row.get("method"), dict) and isinstance(row.get("image"), str) for row in rows):
        return None
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(str(row.get("label") or row["method"].get("name")), []).append(row)
    return {
        name: Said(
            captions=of_method,
            objects={row["image"]: [*row["named"], *row["missed"]] for row in of_method if "missed" in row},
        )
        for name, of_method in found.items()
    }
