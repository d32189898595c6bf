"""farsight runs without the drawn world beside it; what then is missing is said in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusals import refused
from without_scenes import without_scenes as without_scenes

pytestmark = pytest.mark.usefixtures("without_scenes")

MISSING = "is of the package farsight_scenes, which cannot be imported"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(2):
        Image.new("RGB", (30, 20), (90 * number, 0, 0)).save(folder / f"{number}.png")
    return folder


def test_every_name_of_the_package_is_there() -> None:
    code = (
        "import sys; sys.modules['farsight_scenes'] = None; import farsight; "
        "print(farsight.FarSight(), [getattr(farsight, name) for name in farsight.__all__])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("FarSight("), done.stderr


def test_a_checkpoint_describes_a_picture(run: Any, model: Path, picture: Path) -> None:
    result = run("describe", picture, "--model", model, "-n", 4, "--json", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)[0]["tokens"] == 4


def test_a_folder_of_pictures_is_evaluated(run: Any, model: Path, images: Path, tmp_path: Path) -> None:
    objects = tmp_path / "objects.jsonl"
    objects.write_text("".join(json.dumps({"image_id": n, "objects": ["dog"]}) + "\n" for n in range(2)))
    result = run(
        "eval", "--model", model, "--images", images, "--objects", objects, "-n", 4, "--methods", "greedy",
        "--device", "cpu", "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["parts"]["captions"]["figures"]["greedy"]["captions"] == 2


def test_the_commands_that_are_there_are_listed(run: Any) -> None:
    listed = run("--help").stdout
    assert "describe" in listed
    assert "train" not in [line.split()[1] for line in listed.splitlines() if line.startswith("│")]


@pytest.mark.parametrize(
    ("args", "because"),
    [
        (["describe", "PICTURE"], "the model 'embedded'"),
        (["describe", "PICTURE", "--objects", "o", "--synonyms", "scenes"], "the model 'embedded'"),
        (["serve", "--device", "cpu", "--port", 0], "the model 'embedded'"),
        (["eval", "--out", "RUN"], "the task 'scenes'"),
        (["eval", "--task", "scenes:test", "--model", "MODEL", "--out", "RUN"], "the task 'scenes'"),
        (["eval", "--task", "videos:test", "--model", "MODEL", "--out", "RUN"], "the task 'videos'"),
        (["scenes", "draw", "--out", "RUN"], "the command 'scenes'"),
        (["train", "--out", "RUN"], "the command 'train'"),
    ],
    ids=lambda value: "-".join(map(str, value[:3])) if isinstance(value, list) else "",
)
def test_what_is_missing_is_said(
    run: Any, model: Path, picture: Path, tmp_path: Path, args: list[object], because: str
) -> None:
    places: dict[object, object] = {"PICTURE": picture, "MODEL": model, "RUN": tmp_path / "run"}
    refused(run(*(places.get(arg, arg) for arg in args)), f"{because} {MISSING}", "; install it, or choose another")
    assert not (tmp_path / "run").exists()


def test_other_names_of_tasks_are_still_told(run: Any, tmp_path: Path) -> None:
    refused(run("eval", "--task", "char", "--out", tmp_path / "run"), "unknown task 'char'; there are chair, pope")
