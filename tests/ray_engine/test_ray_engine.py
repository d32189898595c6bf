"""Workers of a real Ray cluster on this machine: `make test-ray`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_checkpoint import save_tiny_llava

pytest.importorskip("ray")

from deadly_model import load_deadly, load_elsewhere, never_loaded
from ray_processes import answering, gone

from farsight import AdaIAT, FarSight, InputError, Plain, SettingError
from farsight.evaluate.engine import Engine
from farsight.evaluate.fingerprints import weights_fingerprint
from farsight.evaluate.local import LocalEngine
from farsight.evaluate.plan import Batch, Plan, batches
from farsight.evaluate.ray_cluster import connected
from farsight.evaluate.ray_engine import RayEngine
from farsight.evaluate.run import request_of, run
from farsight.evaluate.run_folder import opened
from farsight.evaluate.tasks import Task, caption_items
from farsight.inputs.checkpoints import load
from farsight.metrics.vocabulary import coco

PICTURES = 13
TESTS = str(Path(__file__).parents[1])
"""Where workers find what they are to load."""


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One for all tests, with room for two workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((TESTS, os.environ.get("PYTHONPATH", ""))))
        with connected(None, 2):
            yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(PICTURES):
        Image.new("RGB", (30, 20), (15 * number, 90, 0)).save(folder / f"{number}.png")
    (folder / "5.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def plan(images: Path) -> Plan:
    objects = {str(number): ["dog"] for number in range(PICTURES)}
    items = caption_items(images, objects, coco(), max_new_tokens=40)
    task = Task(name="test", items=tuple(items), vocabulary=coco(), sources={})
    return Plan(model="tiny", task=task, methods={"greedy": Plain(), "farsight": FarSight(sigma=0.1)}, batch_size=3)


def lines(plan: Plan, folder: Path, engine: Engine, progress: Callable[[Batch], None] = lambda _: None) -> list[bytes]:
    with opened(folder, plan.record()) as opened_folder:
        run(plan, opened_folder, engine, progress)
    return (folder / "answers.jsonl").read_bytes().splitlines()


def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(
    plan: Plan, tmp_path: Path, checkpoint: Path
) -> None:
    """Also the picture that cannot be read has the row that the local engine gives it."""
    killed: list[int] = []

    def kill_one(_: Batch) -> None:
        if not killed and (pids := answering()):
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    loading = partial(load, checkpoint, device="cpu")
    engine = RayEngine(load=loading, workers=2, weights=weights_fingerprint(checkpoint))
    with pytest.warns(UserWarning, match="a worker died while it answered . prompts"):
        found = lines(plan, tmp_path / "ray", engine, kill_one)
    assert len(killed) == 1
    assert len(found) == plan.answers == 26
    assert sorted(found) == sorted(lines(plan, tmp_path / "local", LocalEngine(load=loading)))


def test_a_prompt_that_kills_three_workers_is_a_row_and_the_run_goes_on(
    plan: Plan, tmp_path: Path, checkpoint: Path, images: Path
) -> None:
    """Twice with its batch and once alone; those that were with it are answered."""
    white = tmp_path / "white"
    white.mkdir()
    for path in images.iterdir():
        (white / path.name).write_bytes(path.read_bytes())
    Image.new("RGB", (30, 20), "white").save(white / "7.png")
    items = tuple(replace(item, path=white / item.path.name) for item in plan.task.items)
    plan = replace(plan, task=replace(plan.task, items=items), methods={"greedy": Plain()})
    kills = tmp_path / "kills"
    with pytest.warns(UserWarning, match="a worker died"):
        found = lines(plan, tmp_path / "ray", RayEngine(load=partial(load_deadly, checkpoint, kills), workers=2))
    assert kills.read_text().split() == ["3", "3", "1"]
    [lost] = [line for line in found if b"it killed its worker 3 times" in line]
    assert b'"captions/7"' in lost
    assert b'"text": ""' in lost
    local = lines(plan, tmp_path / "local", LocalEngine(load=partial(load, checkpoint, device="cpu")))
    others = sorted(line for line in local if b'"captions/7"' not in line)
    assert sorted(line for line in found if line != lost) == others
    assert len(found) == PICTURES


class StoppedError(Exception):
    pass


def test_a_run_goes_on_with_the_other_engine(plan: Plan, tmp_path: Path, checkpoint: Path) -> None:
    loading = partial(load, checkpoint, device="cpu")
    expected = sorted(lines(plan, tmp_path / "whole", LocalEngine(load=loading)))

    def stop(_: Batch) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        lines(plan, tmp_path / "run", RayEngine(load=loading, workers=1), stop)
    assert gone(answering())
    answers = tmp_path / "run" / "answers.jsonl"
    begun = len(answers.read_bytes().splitlines())
    answers.write_bytes(answers.read_bytes()[:-100])
    assert sorted(lines(plan, tmp_path / "run", LocalEngine(load=loading))) == expected
    kept = answers.read_bytes().splitlines()
    answers.write_bytes(b"\n".join(kept[:-5]) + b"\n")
    assert sorted(lines(plan, tmp_path / "run", RayEngine(load=loading, workers=1))) == expected
    assert 0 < begun < len(expected)


def test_what_a_worker_refuses_is_said_as_this_process_would(plan: Plan, tmp_path: Path) -> None:
    missing = partial(load, tmp_path / "nowhere", device="cpu")
    said = []
    for engine in (LocalEngine(load=missing), RayEngine(load=missing, workers=1)):
        with pytest.raises(InputError) as caught:
            lines(plan, tmp_path / "run", engine)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "nowhere" in said[0]


def test_other_weights_on_a_worker_are_refused(plan: Plan, tmp_path: Path, checkpoint: Path) -> None:
    engine = RayEngine(load=partial(load, checkpoint, device="cpu"), workers=1, weights="0123")
    with pytest.raises(InputError, match="other weights at the model's path"):
        lines(plan, tmp_path / "run", engine)


def test_a_machine_that_does_not_see_the_pictures_ends_the_run(
    plan: Plan, tmp_path: Path, checkpoint: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their rows would say that they are missing, though they are not."""
    monkeypatch.chdir(images)
    items = tuple(replace(item, path=Path(item.path.name)) for item in plan.task.items)
    plan = replace(plan, task=replace(plan.task, items=items))
    with pytest.raises(InputError, match=r"'0\.png' is here but not on the machine .* that all machines .* share"):
        lines(plan, tmp_path / "run", RayEngine(load=partial(load_elsewhere, checkpoint), workers=1))
    assert not (tmp_path / "run" / "answers.jsonl").exists()
    expected = lines(plan, tmp_path / "local", LocalEngine(load=partial(load, checkpoint, device="cpu")))
    found = lines(plan, tmp_path / "ray", RayEngine(load=partial(load, checkpoint, device="cpu"), workers=1))
    assert sorted(found) == sorted(expected)


@pytest.mark.filterwarnings("ignore:a worker died")
def test_workers_that_die_while_they_load_end_the_run(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 workers died, the last while it loaded the model"):
        lines(plan, tmp_path / "run", RayEngine(load=never_loaded, workers=1))


@pytest.mark.parametrize(
    ("options", "because"),
    [
        ({"workers": 3}, "--workers 3: each needs 1 CPUs.*the cluster has 0 GPUs and 2 CPUs.*pass --workers 2"),
        ({"gpus_per_worker": 1}, "--gpus-per-worker 1: the cluster has 0 GPUs.*pass --gpus-per-worker 0"),
    ],
)
def test_more_than_the_cluster_has_is_refused(
    plan: Plan, tmp_path: Path, options: dict[str, float], because: str
) -> None:
    with pytest.raises(SettingError, match=because):
        lines(plan, tmp_path / "run", RayEngine(load=never_loaded, **options))


def test_sampling_is_refused(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="depend on their order"):
        lines(replace(plan, generation={"do_sample": True}), tmp_path / "run", RayEngine(load=never_loaded))


def test_workers_that_stay_are_asked_again_after_all_answers_and_after_a_refusal(
    plan: Plan, tmp_path: Path, checkpoint: Path
) -> None:
    loading = partial(load, checkpoint, device="cpu")
    engine = RayEngine(load=loading, workers=1)
    first, second = (request_of(plan, number, batch) for number, batch in enumerate([*batches(plan)][:2]))
    refused = replace(first, method=AdaIAT())
    with engine.staying():
        [(_, said)] = engine.answers([first])
        [crew] = [stay.crew for stay in engine._stays]
        assert crew is not None
        members = list(crew.members)
        with pytest.raises(SettingError, match="adaiat needs what this model reads"):
            list(engine.answers([refused, second]))
        assert [number for number, _ in engine.answers([second, first])] == [1, 0]
        assert [stay.crew for stay in engine._stays] == [crew]
        assert crew.members == members
        stopped = engine.answers([first, second])
        next(stopped)
        stopped.close()  # with something in hand: who has it goes, and others come
        [(_, again)] = engine.answers([first])
    assert [one.text for one in again] == [one.text for one in said]
    assert not answering()
