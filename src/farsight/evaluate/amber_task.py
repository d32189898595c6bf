"""The task ``amber``: AMBER's queries, asked about its pictures, and the answers of such a run as AMBER has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farsight.errors import InputError, SettingError
from farsight.evaluate.fingerprints import fingerprints
from farsight.evaluate.named_tasks import NamedTask, TaskOptions
from farsight.evaluate.tasks import CAPTION_TOKENS, QUESTION_TOKENS, Item, Task
from farsight.files import decode_json, is_torn, json_lines, opened, read_json, reading
from farsight.images import find_images
from farsight.metrics.amber.data import REMEDY, Amber, read_amber
from farsight.metrics.records import Row
from farsight.metrics.vocabulary import coco

PARTS = ("generative", "discriminative")
SILENT = "..."
"""What an empty answer is scored as: it names nothing, and says neither yes nor no."""
_TRUTH = ("annotations.json", "relation.json", "safe_words.txt")


def _queries(folder: Path) -> list[Path]:
    """The files of queries of both parts: AMBER has had them beside the annotations and in a folder of their own."""
    places = [folder, folder / "query"]
    for names in (("query_all.json",), tuple(f"query_{part}.json" for part in PARTS)):
        for place in places:
            if all((place / name).is_file() for name in names):
                return [place / name for name in names]
    raise InputError(
        f"{folder} has neither query_all.json nor {' and '.join(f'query_{part}.json' for part in PARTS)}: {REMEDY}"
    )


def _read_queries(path: Path) -> list[tuple[int, str, str]]:
    """The id, the picture and the words of each query."""
    data = read_json(path, REMEDY)
    with reading(path, "AMBER's file of queries", REMEDY):
        rows = [Row("", row) for row in data]
        return [(int(row.identifier("id")), row.text("image"), row.text("query")) for row in rows]


def _item(amber: Amber, number: int, image: str, query: str, path: Path, tokens: int) -> Item:
    part = PARTS[number not in amber.scenes]
    return Item(
        item_id=f"{part}/{number}",
        part=part,
        kind="amber_description" if part == PARTS[0] else "amber_answer",
        image_id=image,
        path=path,
        prompt=query,
        max_new_tokens=tokens if part == PARTS[0] else QUESTION_TOKENS,
        truth={"id": number, "amber": amber},
    )


def _check(options: TaskOptions) -> None:
    if len(options.questions) != 1 or not options.questions[0].is_dir():
        raise SettingError("task 'amber' needs one --questions: the folder 'data' of the AMBER repository")


def _make(name: str, options: TaskOptions, folder: Path) -> Task:
    assert options.images is not None
    [data] = options.questions
    amber, there, files = read_amber(data), find_images(options.images), _queries(data)
    wanted = name.partition(":")[2]
    asked = [query for file in files for query in _read_queries(file)]
    if unknown := [number for number, _, _ in asked if number not in amber.scenes and number not in amber.questions]:
        raise InputError(f"{data}: query {unknown[0]} is not in annotations.json; take both from the same version")
    pictures = list(dict.fromkeys(image for _, image, _ in asked))
    chosen = set([image for image in pictures if image in there][: options.count])
    if not chosen:
        raise InputError(f"{options.images}: has none of AMBER's {len(pictures)} pictures, such as {pictures[0]}")
    items = [
        _item(amber, *query, there[query[1]], options.max_new_tokens or CAPTION_TOKENS)
        for query in asked
        if query[1] in chosen
    ]
    parts = {part: [item for item in items if item.part == part] for part in PARTS if wanted in ("", part)}
    if PARTS[1] in parts:
        parts[PARTS[1]] = parts[PARTS[1]][: options.question_count]
    return Task(
        name=name,
        items=tuple(item for part in parts.values() for item in part),
        vocabulary=coco(),
        sources=options.asked | {"questions": fingerprints([*files, *(data / file for file in _TRUTH)])},
        missing=tuple(image for image in pictures if image not in there),
    )


AMBER = NamedTask(
    make=_make,
    uses=("images", "questions", "max_new_tokens", "count", "question_count"),
    needs=("images", "questions"),
    check=_check,
    splits=("", *PARTS),
)


def responses(run: Path) -> dict[str, list[Mapping[str, Any]]]:
    """Give the answers of a run of this task as AMBER's files have them, by method.

    Raises
    ------
    InputError
        If the folder has no answers, or they are those of another task.
    """
    path, found = run / "answers.jsonl", dict[str, list[Mapping[str, Any]]]()
    if not path.is_file():
        raise InputError(f"{run}: has no answers.jsonl; give the --out of a 'farsight eval --task amber'")
    with opened(path) as file, reading(path, "a run's answers", "start the same 'farsight eval' again"):
        for _, line in json_lines(file):
            if is_torn(line):
                continue
            row = decode_json(line.decode())
            part, _, number = row["item"].partition("/")
            if part not in PARTS or not number.isdecimal():
                raise ValueError(f"'{row['item']}' is not of the task 'amber'")
            if row["failed"] is None:
                text = row["text"].strip() or SILENT
                found.setdefault(row["method"], []).append({"id": int(number), "response": text})
    if not found:
        raise InputError(f"{path}: has no answers yet; start the same 'farsight eval' again")
    return found
