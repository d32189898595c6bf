"""A finished run, read again from its folder: figures, differences, and what every method said about every picture.

``results.json`` has the figures, ``details.jsonl`` one row for each method and caption with its objects, true and
false, so that nothing has to be scored again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from farsight.errors import InputError
from farsight.evaluate.page import COLUMNS, DIFFERENCES
from farsight.evaluate.plan import commit
from farsight.evaluate.run_folder import from_folder
from farsight.evaluate.scores import PartScores
from farsight.evaluate.shapes import check
from farsight.evaluate.tasks import Task
from farsight.evaluate.times import times_over_first
from farsight.evaluate.verdicts import HEADLINES
from farsight.files import decode_json, json_lines, opened, read_json, reading, write, write_lines
from farsight.metrics.paired import Difference

RESULTS_FILE = "results.json"
DETAILS = "details.jsonl"
AGAIN = "start the same 'farsight eval' again"
_DIFFERENCE = {
    "name": str, "baseline": float, "other": float, "low": float, "high": float, "p": float, "items": int
}  # fmt: skip
RESULTS = {
    "config": {"methods": {str: {}}, "task": {"name": str}, "model": str},
    "parts": {
        str: {
            "kind": tuple(COLUMNS),
            "figures": {str: {str: (float, None)}},
            "differences": {str: {str: _DIFFERENCE}},
            "failed": {str: str},
        }
    },
}
"""What ``results.json`` has to have."""
DETAIL = {
    "part": str, "method": str, "image_id": str, "picture": (str, None), "caption": str,
    "mentions": [{"object": str, "start": int, "end": int}], "hallucinated": [{"object": str}],
}  # fmt: skip
"""What a row of `DETAILS` has to have."""


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What one method said about one picture."""

    text: str
    mentions: tuple[tuple[str, int, int], ...]
    """Object, and where its name begins and ends in the text."""
    false: frozenset[str]
    """Objects that it names and that are not in the picture."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One picture or video of a part, with all methods' captions."""

    image_id: str
    path: Path | None
    """None of what was asked without a picture."""
    captions: Mapping[str, Caption]
    """By method, in the order of the run."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """What the folder of a finished run holds."""

    name: str
    title: str
    task: str
    model: str
    methods: Sequence[str]
    parts: Sequence[PartScores]
    """With figures and differences; captions and answers are in ``items``."""
    items: Mapping[str, Sequence[Shown]]
    """Pictures of each part that asks for captions; empty for a run from before details were written."""
    times: Mapping[str, float] = field(default_factory=dict)
    """Time per token of each method over the first's; empty if it was not measured."""


def detail_rows(task: Task, parts: Sequence[PartScores], folder: Path) -> Iterator[str]:
    """Write a row for each caption of a run: part, method, picture, and what `CaptionScore.record` has.

    Pictures in the run folder are named from there, so that it can be moved.
    """
    paths = {(item.part, item.image_id): item.path for item in task.items}
    for part in parts:
        for label, score in part.captions.items():
            for one in score.captions:
                path = paths[part.part, one.caption.image_id]
                about = {"part": part.part, "method": label, "picture": path and from_folder(folder, path)}
                yield json.dumps(about | one.record(), ensure_ascii=False, allow_nan=False)


def write_results(config: Mapping[str, Any], task: Task, parts: Sequence[PartScores], folder: Path) -> dict[str, Any]:
    """Write what `read_run` reads: the figures of a run with what decided them, and its captions with their objects.

    Returns
    -------
    What ``results.json`` has.
    """
    results = {"config": dict(config) | commit(), "parts": {part.part: part.record() for part in parts}}
    write(folder / RESULTS_FILE, [json.dumps(results, indent=2, allow_nan=False).encode()])
    write_lines(folder / DETAILS, detail_rows(task, parts, folder))
    return results


def check_finished(folder: Path, file: str) -> None:
    """See that a folder is that of a finished run, with this file.

    Raises
    ------
    InputError
        If it is not; the message says what to do.
    """
    run = folder / "run.json"
    if not run.is_file():
        raise InputError(f"{folder}: is no run folder, there is no run.json; give the --out of a 'farsight eval'")
    if (folder / file).is_file():
        return
    if "tune" in read_json(run, AGAIN):
        raise InputError(
            f"{folder}: 'farsight tune' has no winner there that was compared on annotated pictures, so that there is "
            "nothing to read; its report.html has what there is, and 'farsight judge' the figures of what was judged"
        )
    raise InputError(f"{folder}: the run is not finished, there is no {file}; {AGAIN}")


def read_run(folder: Path) -> FinishedRun:
    """Read the folder of a finished run.

    Raises
    ------
    InputError
        If it is no such folder, the run is not finished, or a file is damaged.
    """
    path = folder / RESULTS_FILE
    check_finished(folder, RESULTS_FILE)
    results = read_json(path, AGAIN)
    with reading(path, "a run's results", AGAIN):
        check(results, RESULTS)
        config = results["config"]
        methods = list(config["methods"])
        parts = [_part(name, found, methods) for name, found in results["parts"].items()]
        if not (methods and parts):
            raise ValueError("it has no methods or no parts")
        task, model = config["task"]["name"], config["model"]
    items, title = _items(folder, methods), f"{task}: {model}"
    return FinishedRun(
        name=folder.name,
        title=title,
        task=task,
        model=model,
        methods=methods,
        parts=parts,
        items=items,
        times=times_over_first(folder, methods),
    )


def _part(name: str, found: Mapping[str, Any], methods: Sequence[str]) -> PartScores:
    kind, figures, differences = found["kind"], found["figures"], found["differences"]
    main = HEADLINES[kind][0]
    if set(figures) != set(methods) or not all(main in one for one in figures.values()):
        raise ValueError(f"{name} has not the {main} of each method")
    wanted = DIFFERENCES[kind].keys()
    if set(differences) != set(methods[1:]) or not all(wanted <= one.keys() for one in differences.values()):
        raise ValueError(f"{name} has not all differences of each method to the first")
    known = {field.name for field in fields_of(Difference)}
    made = {
        label: {
            figure: Difference(**{key: value for key, value in one.items() if key in known})
            for figure, one in differences[label].items()
        }
        for label in methods[1:]
    }
    return PartScores(
        part=name,
        kind=kind,
        captions={},
        answers={},
        figures={label: figures[label] for label in methods},
        differences=made,
        failed=found["failed"],
    )


def _items(folder: Path, methods: Sequence[str]) -> dict[str, list[Shown]]:
    path = folder / DETAILS
    if not path.is_file():
        return {}
    found: dict[tuple[str, str], dict[str, Caption]] = {}
    pictures: dict[tuple[str, str], Path | None] = {}
    with opened(path) as file, reading(path, "a run's details", AGAIN):
        for _, line in json_lines(file):
            row = decode_json(line.decode())
            check(row, DETAIL)
            key = row["part"], row["image_id"]
            pictures[key] = row["picture"] and folder / row["picture"]
            found.setdefault(key, {})[row["method"]] = Caption(
                text=row["caption"],
                mentions=tuple((one["object"], one["start"], one["end"]) for one in row["mentions"]),
                false=frozenset(one["object"] for one in row["hallucinated"]),
            )
    items: dict[str, list[Shown]] = {}
    for (part, image_id), captions in found.items():
        ordered = {label: captions[label] for label in methods if label in captions}
        items.setdefault(part, []).append(Shown(image_id=image_id, path=pictures[part, image_id], captions=ordered))
    return items
