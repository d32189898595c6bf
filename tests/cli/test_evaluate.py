"""``farsight eval``: tasks and methods in, answers, figures and a page out."""

from __future__ import annotations

import json
import os
import random
import re
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

from farsight.evaluate.run_folder import RunFolder
from farsight_scenes.draw import draw
from farsight_scenes.pope import KINDS


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
    result = run(
        *chair(files, model), "--method", "greedy,farsight(sigma=0.1)", "--methods", "constant(value=1.1)", "--controls"
    )
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
    sources = json.loads(result.stdout)["config"]["task"]["sources"]
    assert set(sources) == {"objects", "synonyms", "max_new_tokens"}
    assert list(sources["objects"]) == ["objects"]


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
        (["--method", "greedy", "--method", "farsigt"], "did you mean 'farsight'"),
        (["--dtype", "float17"], "unknown dtype 'float17'"),
        (["--device", "abacus"], "unknown device 'abacus'"),
        (["-m", "./nowhere"], "nowhere"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--config", "methods.yaml", "--methods", "greedy"], "--methods is of no use: --config has the methods"),
        (["--json", "--summary"], "--summary is of no use"),
        (["--images", "mine"], "--images mine: what is to be asked about these pictures? Add --objects FILE"),
        (["--objects", "o.jsonl"], "task 'chair' needs --images"),
        (["--questions", "q.jsonl"], "task 'pope' needs --images"),
        (["--images", "mine", "--objects", "o.jsonl"], "mine: no such folder"),
        (["--images", "mine", "--questions", "q.jsonl"], "mine: no such folder"),
        (["--images", ".", "--objects", "o", "--questions", "q"], "--questions is of no use to the task 'chair'"),
        (["--synonyms", "missing"], "--synonyms is of no use to the task 'scenes:test': leave it out, or pass"),
        (["--task", "scenes:test", "--images", "."], "--images is of no use to the task 'scenes:test'"),
        (["--task", "videos:test", "--objects", "o"], "--objects is of no use to the task 'videos:test'"),
        (
            ["--task", "chair", "--images", ".", "--objects", "o", "--question-count", 1],
            "--question-count is of no use",
        ),
        (["--task", "pope", "--images", ".", "--questions", "q", "-p", "Hm?"], "--prompt is of no use"),
        (["--task", "pope", "--images", ".", "--questions", "q", "-n", 4], "--max-new-tokens is of no use"),
        (["--images", ".", "--questions", "q", "--count", 1, "--question-count", 1], "leave one out"),
    ],
)
def test_wrong_options_are_one_line(run: Any, tmp_path: Path, args: list[object], because: str) -> None:
    refused(run("eval", "--out", tmp_path / "run", *args), because)
    assert not (tmp_path / "run").exists() or "no such folder" in because  # nothing was drawn or begun


def test_the_task_is_told_from_the_options(run: Any, files: dict[str, Path], model: Path) -> None:
    args = ["--model", model, "--images", files["images"], "--methods", "greedy", "--json", "--out"]
    found = run("eval", *args, files["run"], "--objects", files["objects"], "-n", 2)
    assert json.loads(found.stdout)["config"]["task"]["name"] == "chair"
    found = run("eval", *args, files["run"].with_name("other"), "--questions", files["questions"])
    assert json.loads(found.stdout)["config"]["task"]["name"] == "pope"
    refused(run(*chair(files, model), "--synonyms", "missing"), "missing: cannot be read")


def in_folders(files: dict[str, Path], kind: str, contents: dict[str, str]) -> list[object]:
    """Files of one name in several folders, as options."""
    paths = [files["images"].parent / folder / f"{kind}.jsonl" for folder in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.parent.mkdir()
        path.write_text(content)
    return [part for path in paths for part in (f"--{kind}", path)]


def test_files_of_one_name_from_two_folders_are_two_files(run: Any, files: dict[str, Path], model: Path) -> None:
    """Questions with the same identifiers too; each is a part with scores and a fingerprint of its own."""
    asked = files["questions"].read_text()
    turned = asked.replace('"yes"', '"?"').replace('"no"', '"yes"').replace('"?"', '"no"')
    given = in_folders(files, "questions", {"coco": asked, "gqa": turned})
    args = ["eval", "--model", model, "--images", files["images"], "--out", files["run"], "--json", *given]
    result = run(*args)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert list(found["parts"]) == ["coco/questions", "gqa/questions"]
    right = [part["figures"]["greedy"]["accuracy"] for part in found["parts"].values()]
    assert sum(right) == 1
    assert list(found["config"]["task"]["sources"]["questions"]) == list(found["parts"])
    assert (files["run"] / "coco%2Fquestions.png").exists()
    for path in map(Path, map(str, given[1::2])):
        before = path.read_text()
        path.write_text(before.replace('"yes"', '"YES"', 1))
        refused(run(*args), f"task.sources.questions.{path.parent.name}/questions was")
        path.write_text(before)
    refused(run(*args, "--questions", given[1]), "the same file is given twice")


def test_objects_of_one_name_from_two_folders_are_two_files(run: Any, files: dict[str, Path], model: Path) -> None:
    rows = files["objects"].read_text()
    given = in_folders(files, "objects", {"one": rows, "two": rows.replace("dog", "cat")})
    args = ["eval", "--model", model, "--images", files["images"], "-n", 2, "--out", files["run"], *given]
    assert run(*args).exit_code == 0
    Path(str(given[3])).write_text(rows.replace("dog", "bus"))
    refused(run(*args), "task.sources.objects.two/objects was")
    assert len(json.loads((files["run"] / "run.json").read_text())["task"]["sources"]["objects"]) == 2


def test_a_picture_that_was_exchanged_is_named(run: Any, files: dict[str, Path], model: Path) -> None:
    assert run(*chair(files, model)).exit_code == 0
    before = (files["images"] / "3.png").read_bytes()
    Image.new("RGB", (30, 20), "white").save(files["images"] / "3.png")
    refused(run(*chair(files, model)), "pictures.3.png was")
    (files["images"] / "3.png").unlink()
    refused(run(*chair(files, model)), "pictures.3.png was")
    (files["images"] / "3.png").write_bytes(before)
    assert run(*chair(files, model)).exit_code == 0


@pytest.mark.parametrize("kept", [0.0, 0.2, 0.6, 0.95])
def test_a_broken_and_a_missing_picture_are_named(run: Any, files: dict[str, Path], model: Path, kept: float) -> None:
    objects = files["objects"].read_text().splitlines(keepends=True)
    files["objects"].write_text("".join(objects[:2]) + json.dumps({"image_id": "gone", "objects": []}) + "\n")
    noise = Image.frombytes("RGB", (64, 64), random.Random(0).randbytes(64 * 64 * 3))
    noise.save(files["images"] / "1.png")
    data = (files["images"] / "1.png").read_bytes()
    (files["images"] / "1.png").write_bytes(data[: int(kept * len(data))])
    result = run(*chair(files, model))
    assert result.exit_code == 2
    said = result.stderr.splitlines()[-1]
    assert said.startswith("error: captions: 1 of 2 could not be asked, and methods are compared on at least 2")
    assert "captions/1: picture '" in said
    assert "1.png' is" in said
    assert said.endswith("not in the folder: 'gone'")


def test_pictures_that_were_drawn_for_another_run_are_not_asked_about(run: Any, model: Path, tmp_path: Path) -> None:
    """As when a run was killed after it had drawn and before it had begun."""
    draw("test", 2, tmp_path / "run" / "pictures")
    args = ["eval", "--model", model, "-n", 2, "--question-count", 2, "--out", tmp_path / "run", "--methods", "greedy"]
    refused(run(*args, "--count", 3), "holds 2 other scenes than the 3 of scenes:test")
    refused(run(*args, "--count", 2, "--task", "scenes:shifted"), "holds 2 other scenes than the 2 of scenes:shifted")
    (tmp_path / "run" / ".pictures.abcd1234").mkdir()
    (tmp_path / "run" / ".run.json.0123abcd.tmp").touch()
    assert run(*args, "--count", 2).exit_code == 0


def test_stopping_says_that_the_same_command_goes_on(
    run: Any, files: dict[str, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as pressed:
        pressed.setattr(RunFolder, "append", stop)
        result = run(*chair(files, model))
    assert result.exit_code == 130
    assert "the same command goes on with it" in result.stderr
    assert run(*chair(files, model)).exit_code == 0


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


@pytest.mark.parametrize("method", ["plausible", "farsight+plausible(beta=0.5)"])
def test_a_method_that_changes_no_greedy_answer_needs_a_temperature(
    run: Any, files: dict[str, Path], model: Path, method: str
) -> None:
    refused(run(*chair(files, model), "--methods", f"greedy,{method}"), "changes no greedy answer", "--temperature 1")


@pytest.mark.parametrize("method", ["beam", "farsight+beam", "opera"])
def test_a_temperature_is_refused_for_what_searches(run: Any, files: dict[str, Path], model: Path, method: str) -> None:
    refused(
        run(*chair(files, model), "--methods", f"greedy,{method}", "--temperature", 0.7), "searches and draws nothing"
    )


def test_the_verdict_comes_first_with_the_time_of_each_method(run: Any, files: dict[str, Path], model: Path) -> None:
    result = run(*chair(files, model), "--methods", "greedy,constant(value=1)")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("captions: CHAIR_I ")
    assert lines[0].endswith(" with greedy (lower is better).")
    assert lines[1] == "  Nothing changes: constant(value=1)."
    assert re.fullmatch(r"Time per token over greedy: constant\(value=1\) x\d+\.\d\d\.", lines[2])
    page = (files["run"] / "report.html").read_text(encoding="utf-8")
    assert lines[1].strip() in page
    assert lines[2] in page
