"""The real lmms-eval with the embedded model: `make test-lmms-eval`."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lmms_eval")

from typer.testing import CliRunner

from farsight import FarSight
from farsight.cli import app
from farsight.errors import InputError, SettingError, UnsupportedModelError
from farsight.lmms_eval.model import FarSightChat
from farsight_scenes import checkpoint_path

TASKS = Path(__file__).parents[2] / "examples" / "lmms_eval"
METHODS = {
    "greedy": "method=greedy",
    "farsight(sigma=0.05, rows=generated)": "method=farsight,sigma=0.05,rows=generated",
    "vcd": "method=vcd",
}
"""As farsight eval has them, and as --model_args has them."""
PICTURES, QUESTIONS = 2, 7  # there are six questions about a picture, and comparisons want two pictures
BASE = f"base=llava_hf,pretrained={checkpoint_path()},device=cpu,dtype=float32"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of farsight eval, each prompt alone, whose pictures are also the tasks'."""
    out = tmp_path_factory.mktemp("run") / "run"
    options = f"--task scenes:test --count {PICTURES} --question-count {QUESTIONS} --batch-size 1 --device cpu --json"
    arguments = ["eval", *options.split(), "--methods", ", ".join(METHODS), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (out.parent / "scenes").symlink_to(out / "pictures")
    return out


@pytest.mark.parametrize("method", METHODS)
def test_lmms_eval_gives_the_answers_and_scores_of_farsight_eval(run: Path, method: str, tmp_path: Path) -> None:
    ours = [json.loads(line) for line in (run / "answers.jsonl").read_text().splitlines()]
    expected = {
        "scenes_free": [row["text"] for row in ours if row["method"] == method and row["part"] == "free"],
        "scenes_pope_random": [row["text"] for row in ours if row["method"] == method and row["part"] == "pope_random"],
    }
    assert [len(texts) for texts in expected.values()] == [PICTURES, QUESTIONS]

    results, samples = lmms_eval(run.parent, tmp_path, METHODS[method])

    assert {task: said[: len(expected[task])] for task, said in samples.items()} == expected
    scored = json.loads((run / "results.json").read_text())["parts"]["free"]["figures"][method]
    found = results["results"]["scenes_free"]
    assert (found["chair_s,none"], found["chair_i,none"]) == (scored["chair_s"], scored["chair_i"])


def lmms_eval(folder: Path, out: Path, method: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Run the command in the folder that has the scenes; give its results and what was said, in the items' order."""
    arguments = ["--model", "farsight", "--model_args", f"{BASE},{method}", "--include_path", str(TASKS)]
    arguments += ["--tasks", "scenes_free,scenes_pope_random", "--limit", str(max(PICTURES, QUESTIONS))]
    arguments += ["--batch_size", "1", "--log_samples", "--output_path", str(out)]
    environment = {**os.environ, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    command = [sys.executable, "-m", "lmms_eval", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    written = list(out.rglob("*results.json"))
    assert len(written) == 1, done.stdout + done.stderr  # lmms-eval exits with 0 also if it failed
    samples = {}
    for task in ("scenes_free", "scenes_pope_random"):
        (file,) = out.rglob(f"*samples_{task}.jsonl")
        rows = sorted((json.loads(line) for line in file.read_text().splitlines()), key=lambda row: row["doc_id"])
        samples[task] = [_text(row["filtered_resps"]).strip() for row in rows]
    return json.loads(written[0].read_text()), samples


def _text(answer: str | list[str]) -> str:
    """What was said, which lmms-eval writes bare or as a list of one."""
    return answer if isinstance(answer, str) else answer[0]


@pytest.fixture(scope="module")
def model() -> FarSightChat:
    return FarSightChat.create_from_arg_string(f"{BASE},method=farsight,sigma=0.05", {"batch_size": 1})


def requests(folder: Path, **generation: Any) -> tuple[dict[str, Any], list[Any]]:
    """One chat request as lmms-eval makes it, and the data that it is about."""
    from lmms_eval.api.instance import Instance
    from PIL import Image

    doc = json.loads((folder / "pictures" / "objects.jsonl").read_text().splitlines()[0])
    picture = Image.open(folder / "pictures" / doc["file_name"]).convert("RGB")

    def messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
        content = [{"type": "image", "url": picture}, {"type": "text", "text": "Describe this image."}]
        return [{"role": "user", "content": content}]

    metadata = {"task": "scenes", "doc_id": 0, "repeats": 1}
    arguments = ("", messages, generation, 0, "scenes", "test")
    made = Instance(request_type="generate_until", arguments=arguments, idx=0, metadata=metadata)
    return {"scenes": {"test": [doc]}}, [made]


def test_the_arguments_of_a_request_stay_as_they_are(model: FarSightChat, run: Path) -> None:
    data, asked = requests(run, max_new_tokens=4)
    model.task_dict.update(data)
    before = copy.deepcopy(asked[0].args[2])
    assert model.generate_until(asked)[0].text
    assert asked[0].args[2] == before


def test_an_error_of_generate_is_raised_although_the_base_model_would_answer_nothing(
    model: FarSightChat, run: Path
) -> None:
    data, asked = requests(run, max_new_tokens=-5)
    model.task_dict.update(data)
    assert [answer.text for answer in model.base.generate_until(copy.deepcopy(asked))] == [""]
    with pytest.raises(ValueError, match="max_new_tokens"):
        model.generate_until(asked)
    assert "generate" not in vars(model.model)


def test_an_empty_answer_is_refused_unless_it_is_allowed(
    model: FarSightChat, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, asked = requests(run, max_new_tokens=4)
    model.task_dict.update(data)
    generate = model.model.generate

    def nothing_new(**inputs: Any) -> Any:
        return generate(**inputs)[:, : inputs["input_ids"].shape[1]]

    monkeypatch.setattr(model.model, "generate", nothing_new)
    with pytest.raises(InputError, match="1 empty answers to 1 requests, the first to item 0 of scenes"):
        model.generate_until(asked)
    monkeypatch.setattr(model, "allow_empty", True)
    assert [answer.text for answer in model.generate_until(asked)] == [""]


def test_all_state_is_the_base_models(model: FarSightChat) -> None:
    assert model.method == FarSight(sigma=0.05)
    assert model.task_dict is model.base.task_dict
    assert (model.rank, model.world_size, model.is_simple) == (0, 1, False)
    model._rank, model._world_size = 3, 4
    assert (model.base._rank, model.base._world_size, model.base.rank, model.rank) == (3, 4, 3, 3)
    model._rank, model._world_size = 0, 1


def test_given_answers_are_not_scored_under_a_method_of_decoding(model: FarSightChat) -> None:
    with pytest.raises(UnsupportedModelError, match="generate none"):
        model.loglikelihood([])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("method=farsight", "names no base"),
        ("base=lava_hf,method=farsight", "did you mean 'llava_hf'"),
        ("base=farsight,method=farsight", "no model 'farsight'"),
        (BASE, "names no method"),
        (f"{BASE},method=vcd,sigma=0.8", "method 'vcd' has no setting 'sigma'"),
        (f"{BASE},method=farsight,task_settings=none", "task_settings must be"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: str, problem: str) -> None:
    with pytest.raises(SettingError) as caught:
        FarSightChat.create_from_arg_string(arguments)
    assert problem in str(caught.value)


def test_a_task_with_settings_for_the_base_model_is_refused() -> None:
    from lmms_eval.api.task import ConfigurableMessagesTask

    from farsight.lmms_eval.task_settings import check_task_settings

    task = ConfigurableMessagesTask.__new__(ConfigurableMessagesTask)
    task._config = type("Config", (), {"task": "x", "lmms_eval_specific_kwargs": {"llava_hf": {}, "default": {}}})()
    asked = [request_of(task)]
    with pytest.raises(SettingError, match="task 'x' has lmms_eval_specific_kwargs for 'llava_hf'"):
        check_task_settings("llava_hf", asked)
    check_task_settings("qwen2_5_vl", asked)


def request_of(task: Any) -> Any:
    from lmms_eval.api.instance import Instance

    metadata = {"task": "x", "doc_id": 0, "repeats": 1}
    arguments = ("", task.doc_to_messages, {}, 0, "x", "test")
    return Instance(request_type="generate_until", arguments=arguments, idx=0, metadata=metadata)
