"""``farsight tune``: a model and pictures in, one sentence and a method out."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusals import refused
from tiny_checkpoint import save_tiny_llama

from farsight.evaluate.named_tasks import TaskOptions
from farsight.evaluate.plan import Plan
from farsight.method import Plain
from farsight.methods.constant_gate import ConstantGate
from farsight.methods.grammar import load_method, parse_method
from farsight.tune import candidates
from farsight.tune.asked import make
from farsight.tune.measured import MEASURED
from farsight.tune.method_file import NAME, write_method
from farsight.tune.next_steps import after_verdict
from farsight.tune.race import halves

LABEL = "constant(value=per head, rows=generated)"

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
    costs |= {label: cost | {"ratios": [9.0] * 5} for label, cost in costs.items() if label != "constant(value=0.2)"}
    (files["out"] / "costs.json").write_text(json.dumps(costs))
    result = run(*command(files, model, "--objects", files["objects"], "--budget", 8, "--json"))
    found = json.loads(result.stdout)
    assert list(found["race"][0]["methods"]) == ["constant(value=0.2)"]
    assert found["costs"]["beam(num_beams=2)"]["ratio"] == 9.0


def test_a_plan_asks_and_writes_nothing_and_needs_no_folder(run: Any, files: dict[str, Path], model: Path) -> None:
    given = command(files, model, "--objects", files["objects"], "--plan")
    where = given.index("--out")
    for one in (given, given[:where] + given[where + 2 :]):
        result = run(*one)
        assert result.exit_code == 0, result.stderr
        assert "At most 35 answers: 35 captions; about" in result.stdout
        assert "captions each" in result.stdout
        assert "the winner against greedy" in result.stdout
        assert not files["out"].exists()


def test_a_plan_with_a_detector_loads_none(run: Any, files: dict[str, Path], model: Path) -> None:
    result = run(*command(files, model, "--judge", "no/such-detector", "--plan"))
    assert result.exit_code == 0, result.stderr
    assert "At most 35 answers: 35 captions; about" in result.stdout


def test_without_any_truth_nothing_is_called_better(run: Any, files: dict[str, Path], model: Path) -> None:
    result = run(*command(files, model))
    assert result.exit_code == 0, result.stderr
    assert "nothing here says which method is better" in result.stdout
    assert f"farsight judge {files['out']}" in result.stdout
    assert "asking all, 5 methods" in result.stderr
    [_, again] = json.loads((files["out"] / "verdict.json").read_text())["next"]
    assert run(*shlex.split(again["command"])[1:]).stdout == result.stdout
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


def by_default(files: dict[str, Path], model: Path, *more: object) -> list[object]:
    given = command(files, model, *more)
    where = given.index("--methods")
    return [*given[:where], *given[where + 2 :]]


def test_by_default_a_gate_of_each_head_races_too_and_is_measured_once(
    run: Any, files: dict[str, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "CANDIDATES", ("constant",))
    given = by_default(files, model, "--objects", files["objects"], "--json")
    where = given.index("--out")
    planned = run(*given[:where], *given[where + 2 :], "--plan")
    assert json.loads(planned.stdout)["stages"][0]["methods"] == 4  # plain, the constant, and both that are measured
    first = run(*given)
    assert first.exit_code == 0, first.stderr
    costs = json.loads(first.stdout)["costs"]
    assert list(costs) == ["constant", LABEL, "adaiat"]
    assert "name no true object" in costs["adaiat"]["refused"]  # a random model
    assert "farsight calibrate --for adaiat" in costs["adaiat"]["refused"]
    gate = load_method(files["out"] / "per_head.yaml")
    assert isinstance(gate, ConstantGate)
    assert json.loads(first.stdout)["config"]["methods"][LABEL]["value"] == [list(layer) for layer in gate.value]
    assert json.loads(run(*given).stdout) == json.loads(first.stdout)


def test_a_damaged_measurement_is_refused_and_measured_again_when_it_is_deleted(
    run: Any, files: dict[str, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "CANDIDATES", ("constant",))
    given = by_default(files, model, "--objects", files["objects"], "--json")
    first, file = run(*given), files["out"] / "per_head.yaml"
    kept = file.read_bytes()
    file.write_text("method: beam")
    damaged = run(*given)
    assert damaged.exit_code == 2
    assert "0:00" not in damaged.stderr  # of a bar, where there is no terminal
    assert f"error: {file}: has no constant gate; or delete {file} to have it measured again" in damaged.stderr
    file.unlink()
    assert json.loads(run(*given).stdout) == json.loads(first.stdout)
    assert file.read_bytes() == kept


def test_it_goes_on_when_it_was_stopped_while_it_measured(
    run: Any, files: dict[str, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(candidates, "CANDIDATES", ("constant",))
    given = by_default(files, model, "--objects", files["objects"], "--json")
    with monkeypatch.context() as patched:
        patched.setitem(MEASURED, "adaiat", replace(MEASURED["adaiat"], measure=stopped))
        assert run(*given).exit_code != 0
    kept = (files["out"] / "per_head.yaml").stat().st_mtime_ns
    again = run(*given)
    assert again.exit_code == 0, again.stderr
    assert (files["out"] / "per_head.yaml").stat().st_mtime_ns == kept


def test_pictures_of_which_nothing_is_known_are_no_measure_for_adaiat(
    run: Any, files: dict[str, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "CANDIDATES", ("constant",))
    given = by_default(files, model)
    where = given.index("--out")
    for asked in ([*given[:where], *given[where + 2 :], "--plan"], given, given):
        result = run(*asked)
        assert result.exit_code == 0, result.stderr
        assert "adaiat is out: it has to be measured first, where it is annotated what is in the pictures" in (
            " ".join(result.stderr.split())
        )


def test_adaiat_is_measured_on_lists_of_objects_too(run: Any, tmp_path: Path) -> None:
    objects = tmp_path / "objects.jsonl"
    names = ["dog", "cat", "bed", "car", "bus", "tv", "cup", "fork"]
    rows = [{"image_id": n, "objects": names[n % 5 : n % 5 + 3 + n // 5]} for n in range(8)]
    objects.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    model = save_tiny_llama(tmp_path / "model")
    result = run(
        "tune", "--model", model, "--task", "lists", "--objects", objects, "-n", 6, "--device", "cpu", "--methods",
        "adaiat", "--out", tmp_path / "tuned", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    reason = json.loads(result.stdout)["costs"]["adaiat"]["refused"]
    assert "the answers about 4 pictures name no true object" in reason  # a random model


def test_adaiat_races_with_what_was_measured_of_it(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    given = [
        "tune", "--task", "scenes:shifted", "--count", 8, "--question-count", 12, "-n", 40, "--device", "cpu",
        "--methods", "adaiat", "--out", out, "--json",
    ]  # fmt: skip
    first = run(*given)
    assert first.exit_code == 0, first.stderr
    found, kept = json.loads(first.stdout), json.loads((out / "adaiat.json").read_text())
    assert found["config"]["methods"]["adaiat"]["true_rows"] == kept["true_rows"]
    assert found["costs"]["adaiat"]["ratio"] > 0
    assert list(found["race"][0]["methods"]) == ["adaiat"]
    assert json.loads(run(*given).stdout) == found
    picture = next((out / "pictures").glob("*.png"))
    described = run("describe", picture, "-n", 4, "--device", "cpu", "--method", f"adaiat(load={out / 'adaiat.json'})")
    assert described.exit_code == 0, described.stderr


def test_each_command_that_it_prints_works_as_it_is_printed(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "my tuned"
    result = run(
        "tune", "--task", "scenes:test", "--count", 8, "--question-count", 7, "-n", 4, "--device", "cpu", "--methods",
        "constant(value=0.2)", "--methods", "flb", "--budget", 90, "--out", out, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    steps = {step["to"]: step["command"] for step in json.loads(result.stdout)["next"]}
    assert len(steps) == 3  # four tokens are too few to win by
    for printed in steps.values():
        name, *rest = shlex.split(printed)
        assert name == "farsight"
        assert (again := run(*rest)).exit_code == 0, again.stderr
    assert len(asked_about(tmp_path / "my tuned-more")) == 16


def asked_about(out: Path) -> set[str]:
    return {path.name for path in (out / "pictures").glob("*.png")}


def test_what_measures_on_other_pictures_asks_others(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    options = TaskOptions(count=3, question_count=7)
    made = make("scenes:test", options, [], out / "pictures")
    plan = Plan(model="embedded", task=made, methods={"greedy": Plain()})
    write_method(out / NAME, ConstantGate(value=0.2))
    given = {"task": "scenes:test", "count": 3, "question_count": 7, "max_new_tokens": 4, "device": "cpu", "out": out}
    steps = dict(after_verdict(out, plan, given, turn_on=True, forms={}))
    result = run(*shlex.split(steps["measure it on other pictures"])[1:])
    assert result.exit_code == 0, result.stderr
    others = asked_about(Path(f"{out}-eval"))
    assert len(others) == 3
    assert not others & asked_about(out)
    described = run(*shlex.split(steps["see what it changes"])[1:], "-n", 4)
    assert described.exit_code == 0, described.stderr


def test_what_is_refused_before_anything_is_asked_leaves_no_folder(
    run: Any, files: dict[str, Path], model: Path
) -> None:
    refused(run(*command(files | {"images": files["images"] / "typo"}, model)), "typo")
    assert not files["out"].exists()


def test_objects_of_other_pictures_are_refused_with_what_to_do(run: Any, files: dict[str, Path], model: Path) -> None:
    files["objects"].write_text(json.dumps({"image_id": "beach", "objects": ["dog"]}))
    refused(run(*command(files, model, "--objects", files["objects"])), "such as 'beach'; give the folder that has")


def test_too_few_pictures_are_refused(run: Any, files: dict[str, Path], model: Path) -> None:
    refused(run(*command(files, model, "--objects", files["objects"], "--count", 5)), "at least 8")


def test_pictures_that_cannot_be_read_are_named(run: Any, files: dict[str, Path], model: Path) -> None:
    damaged = halves(range(10), 0)[0][0]
    (files["images"] / f"{damaged}.png").write_bytes(b"no picture")
    for more in ([], ["--objects", files["objects"]]):
        files["out"] = files["out"].with_name(f"tuned{len(more)}")
        result = run(*command(files, model, *more))
        assert result.exit_code == 0, result.stderr
        told = "Left out, since plain decoding could not be asked: 1 item; the first is captions/"
        assert told in " ".join(result.stderr.split())
        assert told in (files["out"] / "report.html").read_text()
        found = json.loads((files["out"] / "verdict.json").read_text())
        assert [item.removesuffix(".png") for item in found["failed"]] == [f"captions/{damaged}"]
        assert found["answers"]["captions"] % 4 == 0  # of the four pictures that could be read


def test_where_nothing_can_be_read_it_is_refused(run: Any, files: dict[str, Path], model: Path) -> None:
    for picture in files["images"].iterdir():
        picture.write_bytes(b"no picture")
    for more in ([], ["--objects", files["objects"]]):
        files["out"] = files["out"].with_name(f"tuned{len(more)}")
        result = run(*command(files, model, *more))
        said = " ".join(result.stderr.split())
        assert (result.exit_code, result.stdout) == (2, "")
        assert "error: 0 of 5 pictures of one half could be asked about, and 4 are the least" in said
        assert "Give others, with another --out" in said


def test_without_a_folder_or_a_plan_it_asks_for_one(run: Any) -> None:
    refused(run("tune", "--task", "scenes:test"), "Pass --out TUNED")


def test_without_pictures_or_a_task_it_asks_for_them(run: Any, tmp_path: Path) -> None:
    refused(run("tune", "--out", tmp_path / "tuned"), "Pass --images DIR")
