"""The embedded model answers a run through our own server as it answers in the run's own process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_server import Serve
from typer.testing import CliRunner

from farsight import FarSight
from farsight.cli import app
from farsight.inputs.named_models import EMBEDDED, load
from farsight_scenes import sample_scene
from farsight_scenes.render import render

pytest.importorskip("openai", reason="pip install openai")

METHOD = FarSight(profile=1.0, horizon=400, rows="generated")


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    images, objects = tmp_path / "images", tmp_path / "objects.jsonl"
    images.mkdir()
    for number in range(3):
        render(sample_scene("test", number)).save(images / f"{number}.png")
    objects.write_text("".join(json.dumps({"image_id": n, "objects": ["dog"]}) + "\n" for n in range(3)))
    methods = "greedy,farsight(profile=1.0, horizon=400, rows=generated)"
    return [
        "eval", "--task", "chair", "--images", str(images), "--objects", str(objects), "-n", "72",
        "-p", "Describe this image in detail.", "--batch-size", "3", "--methods", methods,
    ]  # fmt: skip


def rows(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    return {(row["method"], row["item"]): {**row, "absorbed": None} for row in found}


def test_answers_are_those_of_the_local_engine(serve: Serve, command: list[str], tmp_path: Path) -> None:
    """Every text, its number of tokens and whether it ended; a request of one method is not answered with the other."""
    with serve(load(EMBEDDED, "cpu", None, None), METHOD) as server:
        remote = [*command, "--engine", "openai", "--base-url", server.url, "--out", str(tmp_path / "remote")]
        made = CliRunner().invoke(app, remote)
    assert made.exit_code == 0, made.stderr
    local = CliRunner().invoke(app, [*command, "--device", "cpu", "--out", str(tmp_path / "local")])
    assert local.exit_code == 0, local.stderr
    found = rows(tmp_path / "remote")
    assert found == rows(tmp_path / "local")
    texts = {method: [row["text"] for (by, _), row in found.items() if by == method] for method, _ in found}
    greedy, ours = texts.values()
    assert greedy != ours
    assert {row["ended"] for row in found.values()} == {True, False}
