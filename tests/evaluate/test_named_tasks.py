"""A task of another package is asked as ours are; the documentation's example is such a package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from tiny_checkpoint import save_tiny_llava
from typer.testing import CliRunner

from farsight.cli import app
from farsight.errors import SettingError
from farsight.evaluate.named_tasks import TASKS, NamedTask, TaskOptions, choose_task
from farsight_scenes import SPLITS

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example, installed as pip would."""
    [code] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    [points] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    about = tmp_path / "counting-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        points.replace('[project.entry-points."farsight.tasks"]', "[farsight.tasks]").replace('"', "")
    )
    (tmp_path / "counting.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("counting")
def test_the_example_of_the_documentation_is_asked_and_scored(tmp_path: Path) -> None:
    images, objects = tmp_path / "images", tmp_path / "objects.jsonl"
    images.mkdir()
    for number in range(3):
        Image.new("RGB", (20, 20), (80 * number, 0, 0)).save(images / f"{number}.png")
    objects.write_text(
        "".join(json.dumps({"image_id": f"{n}.png", "objects": ["dog", "cat"][:n]}) + "\n" for n in range(3))
    )
    command = ["eval", "--task", "counting", "--images", images, "--objects", objects, "--out", tmp_path / "run"]
    how = [
        "--model",
        save_tiny_llava(tmp_path / "model"),
        "--device",
        "cpu",
        "--methods",
        "greedy",
        "--count",
        2,
        "--json",
    ]
    result = CliRunner().invoke(app, [str(word) for word in (*command, *how)])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["config"]["task"]["name"] == "counting"
    assert found["parts"]["count"]["figures"]["greedy"]["questions"] == 2
    answers = [json.loads(line) for line in (tmp_path / "run" / "answers.jsonl").read_text().splitlines()]
    assert {answer["item"] for answer in answers} == {"count/0.png", "count/1.png"}


@pytest.mark.usefixtures("counting")
def test_what_another_task_needs_is_told_with_its_name() -> None:
    with pytest.raises(SettingError, match=r"--synonyms is of no use to the task 'counting'.* --task chair"):
        choose_task("counting", TaskOptions(synonyms=Path("words.txt")))
    with pytest.raises(SettingError, match="task 'counting' needs --images and --objects"):
        choose_task("counting", TaskOptions(images=Path()))
    with pytest.raises(SettingError, match=r"unknown task 'counting:test'; there are .*, pope, .*counting"):
        choose_task("counting:test", TaskOptions())


def test_drawn_pictures_have_a_task_for_every_split_but_that_of_training() -> None:
    for name in ("scenes", "videos"):
        task = TASKS.find(name)
        assert task is not None
        assert sorted(task.splits) == sorted(set(SPLITS) - {"train"})
        assert task.names(name)[0] == f"{name}:test"


def test_a_task_may_have_a_name_with_and_without_a_split() -> None:
    task = NamedTask(make=lambda name, options, folder: pytest.fail(name), uses=(), splits=("", "chat"))
    assert task.names("lists") == ("lists", "lists:chat")
