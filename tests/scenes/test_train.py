"""A run is known by its plan: it repeats, it goes on after a kill, and it refuses another plan's folder."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from farsight.errors import InputError
from farsight_scenes import progress
from farsight_scenes import train as training
from farsight_scenes.plan import Plan, Sizes, Stage, default_plan_path, differences, read_plan
from farsight_scenes.progress import Position, rate_at, rows_of
from farsight_scenes.train import train
from farsight_scenes.views import Views, _block
from farsight_scenes.world import Split

SMALL = Plan(
    scenes=16,
    false_share=0.3,
    snowball=0.7,
    save_every=2,
    sizes=Sizes(
        vision_width=16,
        vision_layers=1,
        vision_heads=1,
        language_width=24,
        language_layers=1,
        language_heads=1,
        vocabulary=400,
    ),
    tower=Stage(name="tower", steps=3, batch=4, rate=1e-3),
    projector=Stage(name="projector", steps=3, batch=4, rate=1e-3),
    language=(
        Stage(name="reading", steps=3, batch=4, rate=1e-3, lessons={"list": 1.0}),
        Stage(name="describing", steps=5, batch=4, rate=1e-3, lessons={"counted": 1.0, "imagined": 1.0}),
    ),
)


class PowerCutError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Iterator[None]:
    """Draw here: a pool costs seconds, and what it draws is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "make_views", lambda split, count: _views(split, min(count, 16)))
        yield


def _views(split: Split, count: int) -> Views:
    pixels, patches = _block(split, 0, count)
    return Views(pixels=pixels, patches=patches)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(SMALL, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("saves", [1, 2, 3, 5, 7])
def test_a_killed_run_goes_on_to_the_same_model(
    saves: int, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = progress.Run._save
    count = 0

    def save_then_die(run: progress.Run, *arguments: object) -> None:
        nonlocal count
        kept(run, *arguments)  # type: ignore[arg-type]
        count += 1
        if count == saves:
            raise PowerCutError

    monkeypatch.setattr(progress.Run, "_save", save_then_die)
    with pytest.raises(PowerCutError):
        train(SMALL, tmp_path)
    monkeypatch.setattr(progress.Run, "_save", kept)
    again = load_file(train(SMALL, tmp_path) / "model.safetensors")
    for name, value in load_file(finished / "model.safetensors").items():
        assert torch.equal(value, again[name]), name


def test_a_folder_of_another_plan_is_refused_with_the_difference(finished: Path) -> None:
    other = replace(SMALL, seed=1, tower=replace(SMALL.tower, steps=9))
    with pytest.raises(InputError, match=r"\(seed is 1, was 0; tower.steps is 9, was 3\): choose another folder"):
        train(other, finished.parent)


def test_the_result_is_a_checkpoint_without_pickles(finished: Path) -> None:
    assert {path.suffix for path in finished.parent.rglob("*.*")} <= {".safetensors", ".json", ".jinja", ".lock"}
    model = AutoModelForImageTextToText.from_pretrained(finished)
    processor = AutoProcessor.from_pretrained(finished)
    assert model.dtype == torch.float16
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert len(processor.tokenizer) == 400


def test_a_finished_run_trains_nothing_more(finished: Path) -> None:
    before = (finished / "model.safetensors").read_bytes()
    assert progress.position(finished.parent, SMALL) == Position(3, 5)
    train(SMALL, finished.parent)
    assert (finished / "model.safetensors").read_bytes() == before


def test_every_epoch_sees_every_picture_once_in_an_order_of_its_own() -> None:
    stage = SMALL.tower
    epochs = [torch.cat([rows_of(SMALL, stage, 4 * epoch + step) for step in range(4)]) for epoch in range(2)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(16))
    assert epochs[0].tolist() != epochs[1].tolist()


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_at(step, 200) for step in range(200)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(rates[9], abs=0.01)
    assert rates[-1] < 0.04
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


def test_the_plan_that_ships_can_be_read() -> None:
    plan = read_plan(default_plan_path())
    assert plan.seed == 0
    assert sum(plan.language[-1].lessons.values()) == pytest.approx(1)
    assert plan.language[-1].lessons["imagined"] == pytest.approx(0.06)
    assert differences(plan, asdict(plan)) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("seed = 0", "seed ="), "is not valid TOML"),
        (("seed = 0", "sede = 0"), "unexpected keyword argument 'sede'"),
        (("[tower]", "[towre]"), "no table 'tower'"),
        (("list = 0.25", "lists = 0.25"), "no lesson 'lists'"),
        (("steps = 300", "steps = 0"), "plan.toml: stage projector: steps must be a whole number from 1"),
        (("steps = 300", 'steps = "x"'), "stage projector: steps must be a whole number"),
        (("decay = 0.5", "decay = -1"), "stage polishing: decay must be a finite number >= 0, got -1"),
        (("false_share = 0.7", "false_share = 7"), "stage polishing: false_share must be a number from 0 to 1, got 7"),
        (("scenes = 16000", "scenes = 10"), "number of pictures or videos must be a whole number from 128"),
        (('name = "reading"', 'name = "tower"'), "two stages of the training plan have one name"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_line(change: tuple[str, str], complaint: str, tmp_path: Path) -> None:
    text = default_plan_path().read_text(encoding="utf-8")
    assert change[0] in text
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(InputError, match=complaint) as caught:
        read_plan(path)
    assert "\n" not in str(caught.value)


def test_a_missing_plan_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "farsight_scenes.train", "--config", "none.toml", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]  # libraries may log before
    assert said.startswith("error: none.toml: cannot be read")
    assert "Traceback" not in done.stderr


def test_muon_trains_the_matrices_in_the_layers_but_not_the_gentle_ones() -> None:
    names = ("embed.weight", "layers.0.q_proj.weight", "layers.0.v_proj.weight", "layers.0.norm.weight")
    shapes = ((6, 4), (4, 4), (4, 4), (4,))
    parameters = {name: torch.nn.Parameter(torch.ones(shape)) for name, shape in zip(names, shapes, strict=True)}
    optimizer = progress.Optimizer(parameters, replace(SMALL.language[0], decay=0.5), gentle=("q_proj",))
    trained = {
        name: (type(part).__name__, group["weight_decay"])
        for part, _ in optimizer.parts
        for group in part.param_groups
        for name in names
        if any(parameters[name] is parameter for parameter in group["params"])
    }
    adam = ("AdamW", 0.01)
    assert trained == dict(zip(names, (adam, ("AdamW", 0.5), ("Muon", 0.01), adam), strict=True))
