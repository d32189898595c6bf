"""A run answers everything once, in the same words however often it is interrupted."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_checkpoint import save_tiny_llava
from torch import nn

from farsight import FarSight, InputError, Plain
from farsight.evaluate.engine import Engine, Failure, Request, Said
from farsight.evaluate.local import LocalEngine
from farsight.evaluate.plan import Batch, Plan
from farsight.evaluate.run import run
from farsight.evaluate.run_folder import opened
from farsight.evaluate.tasks import Task, caption_items, question_items
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.metrics.vocabulary import coco

OBJECTS = {str(number): ["dog", "cat"] for number in range(7)}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(save_tiny_llava(tmp_path_factory.mktemp("tiny")), device="cpu")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(7):
        Image.new("RGB", (30, 20), (30 * number, 90, 0)).save(images / f"{number}.png")
    questions = tmp_path / "questions.jsonl"
    questions.write_text(
        "".join(
            json.dumps({"question_id": n, "image": f"{n % 7}.png", "text": "Is there a dog?", "label": "yes"}) + "\n"
            for n in range(9)
        )
    )
    items = caption_items(images, OBJECTS, coco(), max_new_tokens=8)
    items += question_items(images, questions, part="pope", max_new_tokens=3)
    task = Task(name="test", items=tuple(items), vocabulary=coco(), sources={})
    return Plan(model="tiny", task=task, methods={"greedy": Plain(), "farsight": FarSight(sigma=0.1)}, batch_size=3)


def never() -> LoadedModel:
    raise AssertionError("the model was loaded although nothing is left to do")


def finished(plan: Plan, folder: Path, loaded: LoadedModel) -> bytes:
    with opened(folder, plan.record()) as opened_folder:
        run(plan, opened_folder, LocalEngine(load=lambda: loaded))
    return (folder / "answers.jsonl").read_bytes()


def answered(plan: Plan, folder: Path, engine: Engine) -> list[dict[str, Any]]:
    with opened(folder, plan.record()) as opened_folder:
        run(plan, opened_folder, engine)
    return [json.loads(line) for line in (folder / "answers.jsonl").read_bytes().splitlines()]


def test_every_method_answers_every_item_once(plan: Plan, tmp_path: Path, loaded: LoadedModel) -> None:
    rows = [json.loads(line) for line in finished(plan, tmp_path / "run", loaded).splitlines()]
    keys = [(row["method"], row["item"]) for row in rows]
    assert len(keys) == len(set(keys)) == plan.answers == 2 * (7 + 9)
    assert {row["part"] for row in rows} == {"captions", "pope"}
    assert all(row["failed"] is None and row["tokens"] > 0 for row in rows)
    assert rows[-1]["settings"]["sigma"] == 0.1
    assert rows[-1]["max_new_tokens"] == 3


def test_the_same_question_about_the_same_picture_is_asked_once(
    plan: Plan, tmp_path: Path, loaded: LoadedModel
) -> None:
    prompts: list[str] = []

    def counted(requests: Iterable[Request]) -> Iterator[Request]:
        for request in requests:
            prompts.extend(request.prompts)
            yield request

    class Counting(LocalEngine):
        def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Said], None, None]:
            return super().answers(counted(requests))

    rows = answered(plan, tmp_path / "run", Counting(load=lambda: loaded))
    assert len(rows) == 2 * (7 + 9)
    assert len(prompts) == 2 * (7 + 7)
    said = {row["item"]: row["text"] for row in rows if row["method"] == "greedy"}
    assert (said["pope/0"], said["pope/1"]) == (said["pope/7"], said["pope/8"])


class BackToFront(LocalEngine):
    """Answers all it is asked in the opposite order, as engines may that do several things at once."""

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Said], None, None]:
        yield from super().answers(reversed(list(requests)))


def test_the_order_in_which_an_engine_answers_does_not_matter(plan: Plan, tmp_path: Path, loaded: LoadedModel) -> None:
    (tmp_path / "images" / "4.png").write_bytes(b"no picture")
    expected = finished(plan, tmp_path / "run", loaded).splitlines()
    answered(plan, tmp_path / "other", BackToFront(load=lambda: loaded))
    lines = (tmp_path / "other" / "answers.jsonl").read_bytes().splitlines()
    assert lines != expected
    assert sorted(lines) == sorted(expected)


def test_what_an_engine_cannot_answer_is_a_row_with_the_reason(plan: Plan, tmp_path: Path, loaded: LoadedModel) -> None:
    class Refusing(LocalEngine):
        def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Said], None, None]:
            for number, said in super().answers(requests):
                yield number, [Failure(reason="it was too hard"), *said[1:]]

    rows = answered(plan, tmp_path / "run", Refusing(load=lambda: loaded))
    assert len(rows) == plan.answers
    failed = {row["item"] for row in rows if row["failed"] == "it was too hard" and row["text"] == ""}
    assert failed == {"captions/0", "captions/3", "captions/6", "pope/0", "pope/7", "pope/3", "pope/6"}
    assert {row["item"] for row in rows if row["failed"]} == failed
    assert answered(plan, tmp_path / "run", LocalEngine(load=never)) == rows


def test_a_batch_that_does_not_fit_in_memory_names_the_remedy(plan: Plan, tmp_path: Path, loaded: LoadedModel) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Large(Plain):
        @contextmanager
        def applied(self, model: nn.Module) -> Iterator[None]:
            raise torch.OutOfMemoryError("CUDA out of memory")
            yield

    with pytest.raises(InputError, match=r"a batch of 3 does not fit .* a --batch-size below 3"):
        answered(replace(plan, methods={"large": Large()}), tmp_path / "run", LocalEngine(load=lambda: loaded))


def test_a_finished_run_does_nothing_when_started_again(plan: Plan, tmp_path: Path, loaded: LoadedModel) -> None:
    before, seen = finished(plan, tmp_path / "run", loaded), list[Batch]()
    with opened(tmp_path / "run", plan.record()) as folder:
        run(plan, folder, LocalEngine(load=never), seen.append)
    assert (tmp_path / "run" / "answers.jsonl").read_bytes() == before
    assert sum(len(batch.items) for batch in seen) == plan.answers


class KilledError(Exception):
    pass


def killed_after(count: int) -> Callable[[Batch], None]:
    left = [count]

    def progress(_: Batch) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise KilledError

    return progress


def test_a_run_cut_off_anywhere_ends_with_the_same_bytes(plan: Plan, tmp_path: Path, loaded: LoadedModel) -> None:
    """Killed between batches and in the middle of a line, ten times."""
    expected, dice = finished(plan, tmp_path / "whole", loaded), random.Random(0)
    for _ in range(10):
        with pytest.raises(KilledError), opened(tmp_path / "cut", plan.record()) as folder:
            run(plan, folder, LocalEngine(load=lambda: loaded), killed_after(dice.randint(1, 3)))
        answers = tmp_path / "cut" / "answers.jsonl"
        answers.write_bytes(answers.read_bytes()[: -dice.randint(1, 900)])
    assert finished(plan, tmp_path / "cut", loaded) == expected


def test_a_damaged_picture_is_recorded_and_the_others_are_answered(
    plan: Plan, tmp_path: Path, loaded: LoadedModel
) -> None:
    (tmp_path / "images" / "4.png").write_bytes(b"no picture")
    rows = [json.loads(line) for line in finished(plan, tmp_path / "run", loaded).splitlines()]
    failed = [row for row in rows if row["failed"]]
    assert {row["image_id"] for row in failed} == {"4", "4.png"}
    assert all("4.png" in row["failed"] and row["text"] == "" for row in failed)
    assert len(rows) == plan.answers


def test_a_prompt_that_the_processor_does_not_take_is_recorded_and_the_others_are_answered(
    plan: Plan, tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with the token of a picture in it, and one at which the processor raises whatever it likes."""
    expected = {row["item"]: row["text"] for row in answered(plan, tmp_path / "all", LocalEngine(load=lambda: loaded))}
    refused = {"pope/1": "Is there an <image>?", "pope/3": "Is there a dragon?"}
    items = tuple(replace(one, prompt=refused.get(one.item_id, one.prompt)) for one in plan.task.items)
    other = replace(plan, task=replace(plan.task, items=items))
    process = type(loaded.processor).__call__

    def scared(self: Any, *args: Any, text: Any = None, **kwargs: Any) -> Any:
        if any("dragon" in one for one in ([text] if isinstance(text, str) else text)):
            raise ZeroDivisionError
        return process(self, *args, text=text, **kwargs)

    monkeypatch.setattr(type(loaded.processor), "__call__", scared)
    rows = answered(other, tmp_path / "run", LocalEngine(load=lambda: loaded))
    assert len(rows) == plan.answers
    failed = {(row["method"], row["item"]): row["failed"] for row in rows if row["failed"]}
    assert set(failed) == {(label, item) for label in plan.methods for item in refused}
    assert "has '<image>' in it" in failed["greedy", "pope/1"]
    assert "does not take 'Is there a dragon?' (ZeroDivisionError" in failed["farsight", "pope/3"]
    assert {row["item"]: row["text"] for row in rows if not row["failed"]} == {
        item: text for item, text in expected.items() if item not in refused
    }
    assert answered(other, tmp_path / "run", LocalEngine(load=never)) == rows


def test_another_batch_size_is_another_run(plan: Plan, tmp_path: Path, loaded: LoadedModel) -> None:
    finished(plan, tmp_path / "run", loaded)
    with pytest.raises(InputError, match="batch_size was 3, is 4"):
        finished(replace(plan, batch_size=4), tmp_path / "run", loaded)


def test_pictures_that_a_question_file_names_must_be_there(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "images" / "2.png").unlink()
    with pytest.raises(InputError, match=r"questions\.jsonl: 1 of its pictures are not in .*'2\.png'"):
        question_items(tmp_path / "images", tmp_path / "questions.jsonl", part="pope")


def test_annotated_pictures_that_are_not_there_are_not_asked_about(plan: Plan, tmp_path: Path) -> None:
    items = caption_items(tmp_path / "images", OBJECTS | {"99": ["cat"]}, coco(), limit=3)
    assert [item.image_id for item in items] == ["0", "1", "2"]
    with pytest.raises(InputError, match="none of the 1 pictures"):
        caption_items(tmp_path / "images", {"99": ["cat"]}, coco())


def test_answers_that_may_differ_in_the_last_bits_are_not_mixed_in(
    plan: Plan, tmp_path: Path, loaded: LoadedModel
) -> None:
    """A folder's engine is written down only if its answers are not those of Transformers, bit for bit."""
    finished(plan, tmp_path / "run", loaded)
    assert "engine" not in json.loads((tmp_path / "run" / "run.json").read_text())
    vllm = replace(plan, engine={"name": "vllm", "version": "0.32.0"})
    with (
        pytest.raises(InputError, match=r'engine was not given, is \{"name": "vllm", "version": "0.32.0"\}'),
        opened(tmp_path / "run", vllm.record()),
    ):
        pass
    with opened(tmp_path / "other", vllm.record()):
        pass
    with pytest.raises(InputError, match=r'engine was \{"name": "vllm"'), opened(tmp_path / "other", plan.record()):
        pass


def test_methods_that_could_not_be_compared_are_refused_before_they_answer(plan: Plan) -> None:
    [first, *_] = [item for item in plan.task.items if item.part != "free"]
    captions = [item for item in plan.task.items if item.part == "free"]
    with pytest.raises(InputError, match=rf"{first.part} is about one picture alone.*--question-count"):
        replace(plan, task=replace(plan.task, items=[*captions, first]))
    replace(plan, task=replace(plan.task, items=[*captions, first]), methods={"greedy": Plain()})
