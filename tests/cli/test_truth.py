"""What a description makes up is marked where it is known what is in the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from farsight.cli.comparison import mark_objects
from farsight.cli.truth import read_truth
from farsight.metrics.vocabulary import coco

TEXT = "A dog and two cats near a bench."


def test_objects_that_are_there_are_green_and_others_red() -> None:
    marked = mark_objects(TEXT, coco().mentions(TEXT), {"dog"}, colour=True)
    assert marked.plain == TEXT
    styles = [(marked.plain[span.start : span.end], str(span.style)) for span in marked.spans]
    assert styles == [("dog", "bold green"), ("cats", "bold red"), ("bench", "bold red")]


def test_without_colour_false_objects_are_between_marks() -> None:
    marked = mark_objects(TEXT, coco().mentions(TEXT), {"dog", "bench"}, colour=False)
    assert marked.plain == "A dog and two [not there: cats] near a bench."


def test_pictures_are_known_by_file_name_or_stem(tmp_path: Path) -> None:
    file = tmp_path / "objects.jsonl"
    file.write_text('{"image_id": "a.png", "objects": ["dog"]}\n{"image_id": "b", "objects": ["cat"]}\n')
    truth = read_truth(file, None)
    assert truth.present(Path("x/a.png")) == {"dog"}
    assert truth.present(Path("b.jpg")) == {"cat"}
    assert truth.present(Path("c.png")) is None
    assert truth.record(Path("b.png"), TEXT) == {"named": ["cat"], "hallucinated": ["dog", "bench"], "missed": []}
    assert truth.record(Path("c.png"), TEXT) == {}


@pytest.mark.parametrize("columns", [80, 160])
def test_descriptions_are_compared_with_the_truth(
    run: Any, model: Path, picture: Path, tmp_path: Path, columns: int
) -> None:
    objects = tmp_path / "objects.jsonl"
    objects.write_text(json.dumps({"image_id": picture.name, "objects": ["dog"]}))
    args = ["describe", picture, "--model", model, "-n", 4, "--objects", objects]
    result = run(*args, "--compare", columns=columns)
    assert result.exit_code == 0
    assert "Not in the picture: [not there: word]." in result.stdout
    [record] = json.loads(run(*args, "--json").stdout)
    assert record["missed"] == ["dog"]


def test_the_scenes_have_a_vocabulary_by_name(run: Any, model: Path, picture: Path, tmp_path: Path) -> None:
    objects = tmp_path / "objects.jsonl"
    objects.write_text(json.dumps({"image_id": picture.name, "objects": ["teapot"]}))
    args = ["describe", picture, "--model", model, "-n", 2, "--objects", objects]
    assert run(*args, "--synonyms", "scenes", "--json").exit_code == 0
    refused(run(*args, "--json"), "'teapot' is no object of the vocabulary COCO")
