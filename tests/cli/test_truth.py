"""What a description makes up is marked where it is known what is in the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from farsight.cli.comparison import mark_objects
from farsight.cli.truth import read_truth
from farsight.evaluate.tasks import caption_items
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


def test_pictures_are_known_by_their_number_in_coco_unless_that_names_another(tmp_path: Path) -> None:
    """As in farsight eval: an exact name goes first, of pictures and of rows."""
    file, coco_name = tmp_path / "objects.jsonl", "COCO_val2014_000000000001.jpg"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / coco_name).touch()
    file.write_text('{"image_id": 1, "objects": ["dog"]}\n{"image_id": "c.png", "objects": ["cat"]}\n')
    assert read_truth(file, None).present(pictures / coco_name) == {"dog"}
    (pictures / "1.png").touch()
    assert read_truth(file, None).present(pictures / coco_name) is None
    assert read_truth(file, None).present(pictures / "1.png") == {"dog"}
    file.write_text(file.read_text() + '{"image_id": "1.png", "objects": ["bus"]}\n')
    assert read_truth(file, None).present(pictures / "1.png") == {"bus"}
    [item] = caption_items(pictures, file, coco())
    assert (item.path.name, item.truth) == ("1.png", {"objects": ["bus"]})


def test_objects_that_are_about_none_of_the_pictures_are_refused(
    run: Any, model: Path, picture: Path, tmp_path: Path
) -> None:
    objects = tmp_path / "objects.jsonl"
    objects.write_text(json.dumps({"image_id": "other.png", "objects": ["dog"]}))
    args = [picture, "--model", model, "-n", 2, "--objects", objects]
    refused(run("describe", *args), "objects.jsonl: has no row of 'red.png'; its rows are of 'other.png'")
    refused(run("diagnose", *args, "--out", tmp_path / "out"), "has no row of 'red.png'")


@pytest.mark.parametrize("columns", [80, 160])
def test_descriptions_are_compared_with_the_truth(
    run: Any, model: Path, picture: Path, tmp_path: Path, columns: int
) -> None:
    objects = tmp_path / "objects.jsonl"
    objects.write_text(json.dumps({"image_id": picture.name, "objects": ["dog"]}))
    args = ["describe", picture, "--model", model, "-n", 4, "--objects", objects]
    result = run(*args, "--compare", columns=columns)
    assert result.exit_code == 0
    assert "[not there: ...] marks an object that is not in the picture." in result.stdout
    [record] = json.loads(run(*args, "--json").stdout)
    assert record["missed"] == ["dog"]


def test_the_scenes_have_a_vocabulary_by_name(run: Any, model: Path, picture: Path, tmp_path: Path) -> None:
    objects = tmp_path / "objects.jsonl"
    objects.write_text(json.dumps({"image_id": picture.name, "objects": ["teapot"]}))
    args = ["describe", picture, "--model", model, "-n", 2, "--objects", objects]
    assert run(*args, "--synonyms", "scenes", "--json").exit_code == 0
    refused(run(*args, "--json"), "'teapot' is no object of the vocabulary COCO")


def test_what_is_made_up_is_marked_without_another_method_beside_it(run: Any) -> None:
    examples = Path(__file__).parents[2] / "examples"
    objects = ["--objects", examples / "objects.jsonl", "--synonyms", "scenes"]
    result = run("describe", examples / "kitchen.png", *objects, "--method", "greedy", "-n", 80)
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stdout.split())
    assert "There is a yellow [not there: boat] on the left." in said
    assert "a red teapot at the bottom right" in said
    assert said.endswith("[not there: ...] marks an object that is not in the picture.")
