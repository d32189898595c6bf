"""``farsight scenes draw`` and ``farsight train`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusals import refused

from farsight.metrics import chair, pope
from farsight.metrics.vocabulary import read_vocabulary
from farsight_scenes import vocabulary_path


def test_pictures_are_drawn_with_files_that_the_metrics_read(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    assert run("scenes", "draw", "--split", "shifted", "--count", 3, "--side", 64, "--out", out).exit_code == 0
    pictures = sorted(out.glob("*.png"))
    assert [Image.open(picture).size for picture in pictures] == [(64, 64)] * 3
    score = chair.score(out / "captions.jsonl", out / "objects.jsonl", vocabulary=read_vocabulary(vocabulary_path()))
    assert score.chair_s == 0
    assert score.mentions > 0
    asked = [json.loads(line) for line in (out / "pope_adversarial.jsonl").read_text().splitlines()]
    right = {one["question_id"]: one["label"] for one in asked}
    assert pope.score(right, out / "pope_adversarial.jsonl").accuracy == 1


def test_videos_are_drawn_frame_by_frame(run: Any, tmp_path: Path) -> None:
    assert run("scenes", "draw", "--videos", "--count", 1, "--side", 48, "--out", tmp_path / "videos").exit_code == 0
    assert len(list((tmp_path / "videos").glob("*/*.png"))) == 8


@pytest.mark.parametrize(
    ("args", "because"),
    [
        (["scenes", "draw", "--split", "tset", "--out", "x"], "unknown split 'tset'"),
        (["scenes", "draw", "--count", "0", "--out", "x"], "count"),
        (["train", "--config", "nowhere.toml", "--out", "x"], "nowhere.toml"),
    ],
)
def test_wrong_options_are_one_line(run: Any, args: list[str], because: str) -> None:
    refused(run(*args), because)


def test_a_folder_with_files_is_left_alone(run: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    refused(run("scenes", "draw", "--count", 1, "--out", tmp_path), "not an empty folder")
    for option, value in (("--count", 10**12), ("--count", "9" * 6000), ("--start", 10**12), ("--side", 10**6)):
        refused(run("scenes", "draw", option, value, "--out", tmp_path / "new"), option.strip("-"))
