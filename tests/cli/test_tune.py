"""``farsight tune``: a model and pictures in, one sentence and a method out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusals import refused

from farsight.methods.constant_gate import ConstantGate
from farsight.methods.grammar import load_method, parse_method
from farsight.tune import candidates
from farsight.tune.gates import LABEL

METHODS = "greedy,farsight(sigma=0.05, rows=generated),constant(value=0.2),avisc(alpha=0.5),beam(num_beams=2)"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(10):
        Image.new("RGB", (30, 20), (20 * number, 0, 0)).save(images / f"{number}.png")
    objects = tmp_path / "objects.jsonl"
    objects.write_text("".join(json.dumps({"image_id": n, "objects": ["dog"]}) + "\n" for n in range(10)))
    return {"images": images, "objects": objects, "out": tmp_path / "tuned"}


def command(files: dict[str, Path], model: Path, *more: object) -> list[object]:
    return [
        "tune", "--model", model, "--images", files["images"], "-n", 6, "--device", "cpu", "--methods", METHODS,
        "--out", files["out"], *more,
    ]  # fmt: skip


def test_it_ends_with_a_sentence_and_a_method_that_every_face_takes(
    run: Any, files: dict[str, Path], model: Path
) -> None:
    result = run(*command(files, model, "--objects", files["objects"]))
    assert result.exit_code == 0, result.stderr
    verdict = json.loads((files["out"] / "verdict.json").read_text())
    assert result.stdout.startswith(f"{verdict['verdict']}\n")
    assert verdict["turn_on"] is False  # a random model names nothing
    assert parse_method(f"@{files['out'] / 'method.yaml'}") == parse_method("plain")
    rows = [json.loads(line) for line in (files["out"] / "answers.jsonl").read_text().splitlines()]
    assert {row["method"] for row in rows} <= {"greedy", *verdict["costs"]}
    described = run(
        "describe", files["images"] / "1.png", "-m", model, "-n", 2, "--method", f"@{files['out']}/method.yaml"
    )
    assert described.exit_code == 0, described.stderr


def test_a_second_call_asks_nothing_again(run: Any, files: dict[str, Path], model: Path) -> None:
    first = run(*command(files, model, "--objects", files["objects"], "--json"))
    assert first.exit_code == 0, first.stderr
    kept = {name: (files["out"] / name).read_bytes() for name in ("answers.jsonl", "costs.json", "verdict.json")}
    again = run(*command(files, model, "--objects", files["objects"], "--json"))
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert {name: (files["out"] / name).read_bytes() for name in kept} == kept


def test_it_goes_on_where_it_was_stopped(run: Any, files: dict[str, Path], model: Path) -> None:
    whole = run(*command(files, model, "--objects", files["objects"], "--json"))
    path = files["out"] / "answers.jsonl"
    answers = path.read_bytes()
    path.write_bytes(answers[: len(answers) // 2])  # in the middle of a line
    again = run(*command(files, model, "--objects", files["objects"], "--json"))
    assert json.loads(again.stdout) == json.loads(whole.stdout)
    assert sorted(path.read_bytes().splitlines()) == sorted(answers.splitlines())


def test_what_is_over_the_budget_does_not_race(run: Any, files: dict[str, Path], model: Path) -> None:
    run(*command(files, model, "--objects", files["objects"]))
    costs = json.loads((files["out"] / "costs.json").read_text())
    costs |= {label: cost | {"ratio": 9.0} for label, cost in costs.items() if label != "constant(value=0.2)"}
    (files["out"] / "costs.json").write_text(json.dumps(costs))
    result = run(*command(files, model, "--objects", files["objects"], "--budget", 8, "--json"))
    found = json.loads(result.stdout)
    assert list(found["race"][0]["methods"]) == ["constant(value=0.2)"]
    assert found["costs"]["beam(num_beams=2)"]["ratio"] == 9.0


def test_a_plan_asks_and_writes_nothing_and_needs_no_folder(run: Any, files: dict[str, Path], model: Path) -> None:
    given = command(files, model, "--objects", files["objects"], "--plan")
    where = given.index("--out")
    result = run(*given[:where], *given[where + 2 :])
    assert result.exit_code == 0, result.stderr
    assert "At most 35 answers: 35 captions; about" in result.stdout
    assert "captions each" in result.stdout
    assert run(*given).exit_code == 0
    assert "the winner against greedy" in result.stdout
    assert not files["out"].exists()


def test_without_any_truth_nothing_is_called_better(run: Any, files: dict[str, Path], model: Path) -> None:
    result = run(*command(files, model))
    assert result.exit_code == 0, result.stderr
    assert "nothing here says which method is better" in result.stdout
    assert f"farsight judge {files['out']}" in result.stdout
    assert not (files["out"] / "method.yaml").exists()
    rows = [json.loads(line) for line in (files["out"] / "answers.jsonl").read_text().splitlines()]
    assert len({row["item"] for row in rows}) == 5  # the other half is for the winner


@pytest.mark.parametrize(
    ("more", "because"),
    [
        (["--budget", "0"], "--budget"),
        (["--guard", "recal=1"], "there is no such guard"),
        (["--budget", "1.1", "--engine", "ray"], "leave --budget out"),
        (["--question-count", "3"], "--question-count is of no use"),
        (["--methods", "greedy"], "add what is to race"),
        (["--prompt", " "], "--prompt is empty"),
        (["--task", "pope"], "'pope'"),
    ],
)
def test_what_cannot_be_is_refused(
    run: Any, files: dict[str, Path], model: Path, more: list[str], because: str
) -> None:
    asked = command(files, model, *more)
    if "--methods" in more:  # instead of those of the other tests, which more would be added to
        del asked[asked.index(METHODS) - 1 : asked.index(METHODS) + 1]
    refused(run(*asked), because)


def test_by_default_a_gate_of_each_head_races_too_and_is_measured_once(
    run: Any, files: dict[str, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "CANDIDATES", ("constant",))
    given = command(files, model, "--objects", files["objects"], "--json")
    where = given.index("--methods")
    given = [*given[:where], *given[where + 2 :]]
    planned = run(*given, "--plan")
    assert json.loads(planned.stdout)["stages"][0]["methods"] == 3
    first = run(*given)
    assert first.exit_code == 0, first.stderr
    assert list(json.loads(first.stdout)["costs"]) == ["constant", LABEL]
    gate = load_method(files["out"] / "per_head.yaml")
    assert isinstance(gate, ConstantGate)
    assert json.loads(first.stdout)["config"]["methods"][LABEL]["value"] == [list(layer) for layer in gate.value]
    assert json.loads(run(*given).stdout) == json.loads(first.stdout)


def test_too_few_pictures_are_refused(run: Any, files: dict[str, Path], model: Path) -> None:
    refused(run(*command(files, model, "--objects", files["objects"], "--count", 5)), "at least 8")


def test_without_a_folder_or_a_plan_it_asks_for_one(run: Any) -> None:
    refused(run("tune", "--task", "scenes:test"), "Pass --out TUNED")


def test_without_pictures_or_a_task_it_asks_for_them(run: Any, tmp_path: Path) -> None:
    refused(run("tune", "--out", tmp_path / "tuned"), "Pass --images DIR")
