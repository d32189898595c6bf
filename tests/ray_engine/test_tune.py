"""`farsight tune --engine ray`, as it is started in a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_checkpoint import save_tiny_llava
from typer.testing import CliRunner

pytest.importorskip("ray")

from farsight.cli import app

PICTURES = 10
METHODS = "farsight(sigma=0.05),adaiat,beam(num_beams=2)"


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    images, objects = tmp_path / "images", tmp_path / "objects.jsonl"
    images.mkdir()
    for number in range(PICTURES):
        Image.new("RGB", (30, 20), (20 * number, 0, 0)).save(images / f"{number}.png")
    objects.write_text("".join(json.dumps({"image_id": n, "objects": ["dog"]}) + "\n" for n in range(PICTURES)))
    return [
        "tune", "--model", str(save_tiny_llava(tmp_path / "model")), "--images", str(images), "--objects", str(objects),
        "-n", "6", "--device", "cpu", "--methods", METHODS, "--json",
    ]  # fmt: skip


def result(command: list[str]) -> Any:
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.stderr
    return json.loads(found.stdout)


def rows(out: Path) -> list[bytes]:
    return sorted((out / "answers.jsonl").read_bytes().splitlines())


def test_the_race_on_a_cluster_is_the_race_here_and_what_the_model_refuses_is_out(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ray = result([*command, "--out", str(tmp_path / "ray"), "--engine", "ray", "--workers", "1"])
    here = result([*command, "--out", str(tmp_path / "here")])
    assert rows(tmp_path / "ray") == rows(tmp_path / "here")
    assert (ray["verdict"], ray["race"], ray["final"]) == (here["verdict"], here["race"], here["final"])
    assert "only --engine local does; measure it on other pictures with" in ray["costs"]["adaiat"]["refused"]
    assert {cost["ratio"] for cost in ray["costs"].values()} == {None}

    again = CliRunner().invoke(
        app, [*command, "--out", str(tmp_path / "ray"), "--engine", "ray", "--address", "127.0.0.1:9"]
    )
    assert again.exit_code == 0, again.stderr  # all is there: no cluster is needed
    assert json.loads(again.stdout)["race"] == ray["race"]
