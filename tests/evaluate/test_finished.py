"""A finished run is read again as it was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farsight.errors import InputError
from farsight.evaluate.finished import DETAILS, detail_rows, read_run
from farsight.evaluate.page import differences_table, figures_table, headline
from farsight.evaluate.run_folder import RunFolder
from farsight.evaluate.scores import PartScores, score_run
from farsight.evaluate.tasks import Item, Task
from farsight.files import write_lines
from farsight.metrics.vocabulary import Vocabulary

VOCABULARY = Vocabulary(name="test", objects={"dog": [], "cat": [], "car": []})
SAID = {
    "greedy": ["A dog and a\u2028cat.", "A cat.", "A car, a dog."],
    "other": ["A dog.", "A cat.", "A cat and a car."],
}


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, list[PartScores]]:
    items = [
        Item(
            item_id=f"captions/{number}", part="captions", kind="caption", image_id=str(number), prompt="?",
            path=tmp_path / "pictures" / f"{number}.png", max_new_tokens=8, truth={"objects": [there]},
        )
        for number, there in enumerate(["dog", "cat", "car"])
    ]  # fmt: skip
    task = Task(name="chair", items=tuple(items), vocabulary=VOCABULARY, sources={})
    folder = RunFolder(tmp_path)
    about = {"absorbed": None, "ended": True, "tokens": 3, "failed": None}
    folder.append(
        about | {"method": label, "item": f"captions/{n}", "text": text}
        for label, texts in SAID.items()
        for n, text in enumerate(texts)
    )
    parts = score_run(task, list(SAID), folder.rows)
    config = {"task": {"name": "chair"}, "model": "m", "methods": {label: {} for label in SAID}}
    (tmp_path / "run.json").write_text(json.dumps(config))
    results = {"config": config, "parts": {part.part: part.record() for part in parts}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    write_lines(tmp_path / DETAILS, detail_rows(task, parts, tmp_path))
    return tmp_path, parts


def test_figures_differences_and_captions_come_back(run: tuple[Path, list[PartScores]]) -> None:
    folder, [written] = run
    found = read_run(folder)
    [part] = found.parts
    assert part.figures == written.figures
    assert part.differences == written.differences
    assert (found.title, list(found.methods)) == ("chair: m", ["greedy", "other"])
    items = found.items["captions"]
    assert [item.captions["greedy"].text for item in items] == SAID["greedy"]
    assert [set(item.captions["greedy"].false) for item in items] == [{"cat"}, set(), {"dog"}]
    assert items[0].path == folder / "pictures" / "0.png"
    text, mentions = items[2].captions["other"].text, items[2].captions["other"].mentions
    assert [(name, text[start:end]) for name, start, end in mentions] == [("cat", "cat"), ("car", "car")]


def test_a_run_from_before_details_were_written_has_no_items(run: tuple[Path, list[PartScores]]) -> None:
    folder, _ = run
    (folder / DETAILS).unlink()
    assert read_run(folder).items == {}


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("run.json", None, "is no run folder"),
        ("results.json", None, "the run is not finished"),
        ("results.json", "{", "results.json: is not JSON"),
        ("results.json", "[]", "results.json: is not a run's results"),
        (DETAILS, '{"part": 1}\n', "details.jsonl: is not a run's details"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(
    run: tuple[Path, list[PartScores]], file: str, content: str | None, said: str
) -> None:
    folder, _ = run
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(InputError, match=said):
        read_run(folder)


def edits(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every place in a document, with other values for it; one of each list."""
    for other in (None, -1.5, True, "words", [], {}, float("nan")):
        if path:
            yield path, other
    inner = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for key, one in inner:
        yield from edits(one, (*path, key))


def edited(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    value = json.loads(json.dumps(value))
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = other
    return value


def test_whatever_is_edited_by_hand_is_read_or_refused_in_one_line(run: tuple[Path, list[PartScores]]) -> None:
    """And what is read can be shown."""
    folder, _ = run
    results = json.loads((folder / "results.json").read_text())
    details = [json.loads(line) for line in (folder / DETAILS).read_text().split("\n")[:-1]]
    tried = [
        *(("results.json", json.dumps(edited(results, *one))) for one in edits(results)),
        *(
            (DETAILS, "".join(f"{json.dumps(row)}\n" for row in (edited(details[0], *one), *details[1:])))
            for one in edits(details[0])
        ),
    ]
    refused = []
    for file, content in tried:
        before = (folder / file).read_bytes()
        (folder / file).write_text(content)
        try:
            found = read_run(folder)
        except InputError as error:
            refused.append((file, str(error)))
        else:
            for part in found.parts:
                figures_table(part)
                headline(part)
                differences_table(part, found.methods[0])
        (folder / file).write_bytes(before)
    assert len(tried) > 400
    assert len(refused) > len(tried) / 2
    assert all(file in said and "\n" not in said for file, said in refused)
    read_run(folder)
