"""``farsight eval``: tasks and methods in, answers, figures and a page out."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusals import refused
from tiny_video_checkpoint import save_tiny_video_model

from farsight.scenes.pope import KINDS


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(6):
        Image.new("RGB", (30, 20), (40 * number, 0, 0)).save(images / f"{number}.png")
    objects, questions = tmp_path / "objects.jsonl", tmp_path / "questions.jsonl"
    objects.write_text("".join(json.dumps({"image_id": n, "objects": ["dog"]}) + "\n" for n in range(6)))
    asked = [
        {"question_id": n, "image": f"{n}.png", "text": "A dog?", "label": "yes" if n % 2 else "no"} for n in range(6)
    ]
    questions.write_text("".join(json.dumps(one) + "\n" for one in asked))
    return {"images": images, "objects": objects, "questions": questions, "run": tmp_path / "run"}


def chair(files: dict[str, Path], model: Path) -> list[object]:
    return [
        "eval", "--task", "chair", "--model", model, "--images", files["images"], "--objects", files["objects"],
        "-n", 8, "--batch-size", 2, "--out", files["run"], "--device", "cpu",
    ]  # fmt: skip


def test_a_folder_of_pictures_is_described_and_scored(run: Any, files: dict[str, Path], model: Path) -> None:
    result = run(*chair(files, model), "--methods", "greedy,farsight(sigma=0.1),constant(value=1.1)", "--controls")
    assert result.exit_code == 0, result.stderr
    assert "CHAIR_S" in result.stdout
    assert "minus greedy" in result.stdout
    for name in ("answers.jsonl", "results.json", "report.html", "captions.png", "run.json"):
        assert (files["run"] / name).exists()
    found = json.loads((files["run"] / "results.json").read_text())
    figures = found["parts"]["captions"]["figures"]
    assert list(figures) == ["greedy", "farsight(sigma=0.1)", "constant(value=1.1)", "constant(value=0.9)"]
    assert figures["constant(value=0.9)"]["absorbed"] == pytest.approx(0.1)
    assert found["config"]["methods"]["farsight(sigma=0.1)"]["sigma"] == 0.1


def test_drawn_objects_are_a_vocabulary_by_name(run: Any, files: dict[str, Path], model: Path) -> None:
    files["objects"].write_text("".join(json.dumps({"image_id": n, "objects": ["turtle"]}) + "\n" for n in range(6)))
    # COCO has none; and there is no --skip-bad to name.
    refused(run(*chair(files, model), "--methods", "greedy"), "with --synonyms; correct it\n")
    result = run(*chair(files, model), "--methods", "greedy", "--synonyms", "scenes", "--json")
    assert result.exit_code == 0, result.stderr
    assert set(json.loads(result.stdout)["config"]["task"]["sources"]) == {
        "objects.jsonl",
        "vocabulary.toml",
        "max_new_tokens",
    }


def test_a_finished_run_only_prints_its_figures_again(run: Any, files: dict[str, Path], model: Path) -> None:
    first = run(*chair(files, model), "--json")
    answers = (files["run"] / "answers.jsonl").read_bytes()
    page = (files["run"] / "report.html").read_bytes()
    again = run(*chair(files, model), "--json")
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert (files["run"] / "answers.jsonl").read_bytes() == answers
    assert (files["run"] / "report.html").read_bytes() == page


def test_pope_questions_are_asked_and_scored(run: Any, files: dict[str, Path], model: Path) -> None:
    result = run(
        "eval", "--task", "pope", "--model", model, "--images", files["images"], "--questions", files["questions"],
        "--out", files["run"], "--json", "--count", 4,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)["parts"]["questions"]["figures"]["greedy"]
    assert figures["questions"] == 4
    assert 0 <= figures["balanced_accuracy"] <= 1


def test_a_damaged_picture_is_counted_and_the_run_goes_on(run: Any, files: dict[str, Path], model: Path) -> None:
    (files["images"] / "3.png").write_bytes(b"")
    result = run(*chair(files, model))
    assert result.exit_code == 0
    assert "captions: 1 items could not be asked and are left out: captions/3:" in result.stderr
    assert "3.png" in (files["run"] / "report.html").read_text()


def test_another_configuration_is_refused_with_the_difference(run: Any, files: dict[str, Path], model: Path) -> None:
    assert run(*chair(files, model)).exit_code == 0
    refused(run(*chair(files, model), "--methods", "greedy,farsight(sigma=0.1)"), "another configuration", "sigma")
    refused(run(*chair(files, model), "--prompt", "Say less."), "task.sources.prompt was not given", "Say less.")
    refused(run(*chair(files, model), "-n", 9), "max_new_tokens was", 'is "9"')
    refused(run(*chair(files, model), "--attn-implementation", "eager"), 'attn_implementation was null, is "eager"')


def test_videos_are_drawn_asked_and_scored(run: Any, tmp_path: Path) -> None:
    """And a model of pictures is told apart from one of videos."""
    out = tmp_path / "run"
    command = ["eval", "--task", "videos:validation", "--count", 2, "-n", 4, "--device", "cpu", "--out", out]
    result = run(*command, "--model", save_tiny_video_model(tmp_path / "models"), "--json")
    assert result.exit_code == 0, result.stderr
    parts = json.loads(result.stdout)["parts"]
    assert list(parts) == ["free", "counted", *(f"pope_{kind}" for kind in KINDS), "order", "count", "event"]
    assert parts["order"]["figures"]["greedy"]["questions"] == 2
    assert "accuracy" in parts["order"]["differences"]["farsight"]
    assert (out / "order.png").exists()
    assert len(list((out / "pictures").glob("*/*.png"))) == 16
    other = run(*command[:-1], tmp_path / "other", "--model", tmp_path / "models" / "image")
    assert other.exit_code == 2
    assert "takes no videos" in other.stderr


@pytest.mark.parametrize(
    ("args", "because"),
    [
        (["--task", "char"], "unknown task 'char'"),
        (["--task", "chair"], "needs --images and --objects"),
        (["--task", "pope"], "needs --images and --questions"),
        (["--task", "videos:tests"], "unknown task 'videos:tests'"),
        (["--methods", "farsigt"], "did you mean 'farsight'"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_options_are_one_line(run: Any, tmp_path: Path, args: list[str], because: str) -> None:
    refused(run("eval", "--out", tmp_path / "run", *args), because)


@pytest.mark.slow
def test_a_run_killed_ten_times_gives_the_same_answers(files: dict[str, Path], model: Path, tmp_path: Path) -> None:
    """By SIGKILL, after a random number of new answers each time."""
    for number in range(6, 60):
        Image.new("RGB", (30, 20), (4 * number, 0, 0)).save(files["images"] / f"{number}.png")
    files["objects"].write_text("".join(json.dumps({"image_id": n, "objects": ["dog"]}) + "\n" for n in range(60)))
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    def start(out: Path) -> subprocess.Popen[bytes]:
        arguments = [*chair({**files, "run": out}, model), "-n", 60, "--methods", "greedy,farsight"]
        command = [sys.executable, "-m", "farsight", *map(str, arguments)]
        return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)

    def answers(out: Path) -> list[bytes]:
        return (out / "answers.jsonl").read_bytes().splitlines() if (out / "answers.jsonl").exists() else []

    assert start(whole).wait() == 0
    dice, reached = random.Random(1), []
    for _ in range(10):
        process, enough = start(cut), len(answers(cut)) + dice.randint(1, 10)
        while process.poll() is None and len(answers(cut)) < enough:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        reached.append(len(answers(cut)))
    assert reached == sorted(reached)
    assert 0 < reached[0] < reached[-1] < 120
    assert start(cut).wait() == 0
    assert sorted(answers(cut)) == sorted(answers(whole))
    assert len(answers(cut)) == 120
