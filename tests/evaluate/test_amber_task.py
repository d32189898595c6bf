"""AMBER's queries asked about pictures of its names, scored as `farsight amber` scores the same answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusals import refused
from tiny_checkpoint import save_tiny_llava
from typer.testing import CliRunner

from farsight.cli import app
from farsight.evaluate.amber_task import PARTS, responses
from farsight.evaluate.named_tasks import TaskOptions, make_task
from farsight.evaluate.sums import figures, sums
from farsight.metrics.amber import score

OWN = {
    "relation.json": {"dog": ["puppy"], "sky": [], "cat": []},
    "annotations.json": [
        {"id": 1, "type": "generative", "truth": ["dog", "sky"], "hallu": ["cat"]},
        {"id": 2, "type": "generative", "truth": ["sky"], "hallu": ["dog"]},
        {"id": 1005, "type": "discriminative-attribute-state", "truth": "yes"},
        {"id": 1006, "type": "discriminative-hallucination", "truth": "no"},
        {"id": 1007, "type": "relation", "truth": "no"},
    ],
    "query_generative.json": [{"id": n, "image": f"AMBER_{n}.jpg", "query": "Describe this image."} for n in (1, 2)],
    "query_discriminative.json": [
        {"id": 1005, "image": "AMBER_1.jpg", "query": "Is the sky sunny in this image?"},
        {"id": 1006, "image": "AMBER_1.jpg", "query": "Is there a cat in this image?"},
        {"id": 1007, "image": "AMBER_2.jpg", "query": "Is there direct contact between the dog and the sky?"},
    ],
}
"""A folder of AMBER's form, made up by hand."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, content in OWN.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "safe_words.txt").write_text("sign\n")
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return pictures(tmp_path / "images")


def pictures(folder: Path, count: int = 2) -> Path:
    folder.mkdir()
    for number in range(1, count + 1):
        Image.new("RGB", (20, 20), (60 * number, 0, 0)).save(folder / f"AMBER_{number}.jpg")
    return folder


def options(data: Path, images: Path, **more: Any) -> TaskOptions:
    return TaskOptions(images=images, questions=(data,), **more)


def test_answers_get_the_figures_that_the_metric_gives_them(data: Path, images: Path, tmp_path: Path) -> None:
    task = make_task("amber", options(data, images), tmp_path / "none")
    said = {
        "generative/1": "A dog, a cat and the sky.", "generative/2": "The sky.", "discriminative/1005": "Yes",
        "discriminative/1006": "No", "discriminative/1007": "Yes",
    }  # fmt: skip
    scored = score({name.partition("/")[2]: text for name, text in said.items()}, data)
    assert scored.generative is not None
    assert scored.discriminative is not None
    for part, items in task.parts.items():
        found = figures(sums(items[0].kind, items, said))
        expected = scored.generative if part == "generative" else scored.discriminative
        assert {name: 100 * value for name, value in found.items()} == pytest.approx(
            {name: expected.figure(name) for name in found}
        )
    assert figures(sums("amber_description", task.parts["generative"], said))["chair"] == 1 / 4


def test_a_run_is_asked_and_read_by_farsight_amber(data: Path, images: Path, tmp_path: Path) -> None:
    command = ["eval", "--task", "amber", "--questions", data, "--images", images, "--max-new-tokens", 8]
    command += ["--model", save_tiny_llava(tmp_path / "model"), "--device", "cpu", "--out", tmp_path / "run"]
    result = CliRunner().invoke(app, [*map(str, command), "--methods", "greedy,farsight", "--json"])
    assert result.exit_code == 0, result.stderr
    parts = json.loads(result.stdout)["parts"]
    assert tuple(parts) == PARTS
    assert {label: len(rows) for label, rows in responses(tmp_path / "run").items()} == {"greedy": 5, "farsight": 5}
    with (tmp_path / "run" / "answers.jsonl").open("a") as file:
        file.write('{"method": "greedy", "item": "generative/1", "te')  # as a kill leaves it
    assert {label: len(rows) for label, rows in responses(tmp_path / "run").items()} == {"greedy": 5, "farsight": 5}
    again = CliRunner().invoke(app, ["amber", str(tmp_path / "run"), "--data", str(data), "--json"])
    assert again.exit_code == 0, again.stderr
    found = json.loads(again.stdout)
    assert list(found["files"]) == ["greedy", "farsight"]
    for part in PARTS:
        for name in ("chair", "f1"):
            if name in parts[part]["figures"]["greedy"]:
                expected = pytest.approx(found["files"]["greedy"][part][name])
                assert 100 * parts[part]["figures"]["greedy"][name] == expected


@pytest.mark.parametrize(("name", "kept"), [("amber", 5), ("amber:generative", 2), ("amber:discriminative", 3)])
def test_a_part_can_be_asked_alone(data: Path, images: Path, tmp_path: Path, name: str, kept: int) -> None:
    assert len(make_task(name, options(data, images), tmp_path / "none").items) == kept


def test_pictures_that_are_missing_are_left_out_and_named(data: Path, tmp_path: Path) -> None:
    task = make_task("amber", options(data, pictures(tmp_path / "one", 1)), tmp_path / "none")
    assert task.missing == ("AMBER_2.jpg",)
    assert [item.item_id for item in task.items] == ["generative/1", "discriminative/1005", "discriminative/1006"]


@pytest.mark.parametrize(
    ("drop", "message"),
    [("query_generative.json", "has neither query_all.json nor"), ("annotations.json", "annotations.json")],
)
def test_a_folder_without_a_file_is_refused(data: Path, images: Path, drop: str, message: str) -> None:
    (data / drop).unlink()
    command = ["eval", "--task", "amber", "--questions", data, "--images", images, "--out", data / "run"]
    refused(CliRunner().invoke(app, list(map(str, command))), message)


def test_what_is_no_folder_of_data_is_refused(images: Path, tmp_path: Path) -> None:
    command = ["eval", "--task", "amber", "--questions", "a.json", "--images", images, "--out", tmp_path / "run"]
    refused(CliRunner().invoke(app, list(map(str, command))), "the folder 'data' of the AMBER repository")


def test_ambers_own_data_gives_all_queries_of_the_pictures_that_are_there(shared_data: Path, tmp_path: Path) -> None:
    task = make_task("amber", options(shared_data / "amber", pictures(tmp_path / "images")), tmp_path / "none")
    assert len(task.missing) == 1002
    assert [item.image_id for item in task.parts["generative"]] == ["AMBER_1.jpg", "AMBER_2.jpg"]
    assert task.parts["discriminative"][0].prompt == "Is the sky sunny in this image?"
