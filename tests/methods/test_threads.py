"""What belongs to a call belongs to the thread that makes it: every method, two threads, blocks left at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import models
import pytest
import torch
from model_state import state
from test_grid import grid
from torch import Tensor, nn
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel

import farsight
from farsight import FarSight, Method, Plain, SettingError
from farsight.block import Block, block_on

ROUNDS = 10


def prompts(model: PreTrainedModel) -> list[dict[str, Any]]:
    return [models.prompt(model, after=4, seed=1), models.prompt(model, after=11, seed=2)]


def said(model: PreTrainedModel, prompt: dict[str, Any], new: int) -> Tensor:
    output = model.generate(
        **prompt, max_new_tokens=new, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    return torch.cat(output.logits)


class Together:
    """Runs jobs in threads, started at once; raises what they raise."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def run(self, *jobs: Any) -> None:
        ready = threading.Barrier(len(jobs))

        def work(job: Any) -> None:
            try:
                ready.wait()
                job()
            except BaseException as error:
                self.errors.append(error)

        threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]


@grid
def test_two_threads_with_different_prompts_say_what_each_says_alone(method: Method) -> None:
    model = models.llava()
    asked = prompts(model)
    with method(model):
        expected = [said(model, prompt, 4 + 3 * i) for i, prompt in enumerate(asked)]
    before, found = state(model), [[], []]  # type: ignore[var-annotated]

    def job(i: int) -> Any:
        return lambda: [found[i].append(said(model, asked[i], 4 + 3 * i)) for _ in range(ROUNDS)]

    with method(model):
        Together().run(job(0), job(1))
    for i, answers in enumerate(found):
        assert len(answers) == ROUNDS
        for answer in answers:
            torch.testing.assert_close(answer, expected[i], atol=1e-5, rtol=0)
    assert state(model) == before


@grid
def test_a_block_that_another_thread_entered_is_on_here_too(method: Method) -> None:
    model = models.llava()
    prompt = prompts(model)[0]
    plain = said(model, prompt, 4)
    with method(model):
        expected = said(model, prompt, 4)
        found: list[Tensor] = []
        Together().run(lambda: found.append(said(model, prompt, 4)))
    assert torch.equal(found[0], expected)
    assert torch.equal(said(model, prompt, 4), plain)


class Held(LogitsProcessor):
    """Holds a call at its second step until it is let go."""

    def __init__(self) -> None:
        self.there, self.go = threading.Event(), threading.Event()
        self.steps = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.steps += 1
        if self.steps == 2:
            self.there.set()
            self.go.wait(30)
        return scores


@grid
@pytest.mark.parametrize("enabled", [False, True], ids=["block", "enable"])
def test_leaving_waits_for_the_calls_of_other_threads(method: Method, enabled: bool) -> None:
    model = models.llava()
    prompt = prompts(model)[0]
    with method(model):
        expected = said(model, prompt, 6)
    plain, held, order, found = said(model, prompt, 6), Held(), [], []  # type: ignore[var-annotated]

    def generate() -> None:
        output = model.generate(
            **prompt,
            max_new_tokens=6,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            logits_processor=LogitsProcessorList([held]),
        )
        order.append("generated")
        found.append(torch.cat(output.logits))

    block = method(model)
    if enabled:
        farsight.enable(model, method)
    else:
        block.__enter__()
    thread = threading.Thread(target=generate)
    thread.start()
    assert held.there.wait(30)

    def leave() -> None:
        farsight.disable(model) if enabled else block.__exit__(None, None, None)
        order.append("left")

    leaving = threading.Thread(target=leave)
    leaving.start()
    late: list[Tensor] = []
    leaving.join(0.2)
    later = threading.Thread(target=lambda: late.append(said(model, prompt, 6)))  # begins while the block is left
    later.start()
    held.go.set()
    for each in (thread, leaving, later):
        each.join(60)
    assert order == ["generated", "left"]
    assert torch.equal(found[0], expected)
    assert torch.equal(late[0], plain)
    assert torch.equal(said(model, prompt, 6), plain)


def test_what_one_thread_enables_while_another_disables_can_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right after a model is free somebody else enables it, before `disable` has returned."""
    model = models.llama()
    before = state(model)
    leave = Block.__exit__

    def left_and_entered_elsewhere(block: Block, *error: Any) -> None:
        leave(block, *error)
        monkeypatch.undo()
        Together().run(lambda: farsight.enable(model, FarSight()))

    farsight.enable(model, FarSight())
    monkeypatch.setattr(Block, "__exit__", left_and_entered_elsewhere)
    farsight.disable(model)
    assert farsight.active_method(model) == FarSight()
    farsight.disable(model)
    assert state(model) == before


def test_disabling_what_another_thread_is_enabling_waits_for_it_and_undoes_it() -> None:
    model = models.llama()
    before, entering, disabled = state(model), threading.Event(), threading.Event()

    class Slow(Plain):
        @contextmanager
        def applied(self, model: nn.Module) -> Iterator[None]:
            entering.set()
            assert not disabled.wait(0.3)
            yield

    def disable() -> None:
        entering.wait(30)
        farsight.disable(model)
        disabled.set()

    Together().run(lambda: farsight.enable(model, Slow()), disable)
    assert farsight.active_method(model) is None
    assert state(model) == before


def test_a_block_that_two_threads_disable_is_left_once() -> None:
    """Whoever comes second returns when the model is what it was."""
    order: list[str] = []

    class Slow(Plain):
        @contextmanager
        def applied(self, model: nn.Module) -> Iterator[None]:
            yield
            time.sleep(0.3)
            order.append("restored")

    def leave() -> None:
        block.disable()
        order.append("left")

    model = models.llama()
    before = state(model)
    farsight.enable(model, Slow())
    block = block_on(model)
    assert block is not None
    Together().run(leave, leave)
    assert order == ["restored", "left", "left"]
    assert state(model) == before


def test_a_block_that_was_left_can_be_entered_again() -> None:
    model = models.llama()
    before, prompt, block = state(model), models.prompt(model), FarSight()(model)
    with block:
        expected = said(model, prompt, 3)
    with block:
        assert torch.equal(said(model, prompt, 3), expected)
    assert state(model) == before


def test_leaving_from_inside_a_call_of_the_same_thread_is_refused() -> None:
    model = models.llava()

    class Leaves(LogitsProcessor):
        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            farsight.disable(model)
            return scores

    farsight.enable(model, FarSight())
    with pytest.raises(SettingError, match="from inside a call"):
        model.generate(**models.prompt(model), max_new_tokens=3, logits_processor=LogitsProcessorList([Leaves()]))
    assert farsight.active_method(model) == FarSight()
    farsight.disable(model)
    assert farsight.active_method(model) is None


@grid
def test_a_generate_inside_a_generate_has_a_call_of_its_own(method: Method) -> None:
    """A stopping criterion, or a logits processor, that asks the same model."""
    model = models.llava()
    outer, inner = prompts(model)
    with method(model):
        expected = [said(model, outer, 4), said(model, inner, 3)]
    found: list[Tensor] = []

    class Asks(LogitsProcessor):
        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            if not found:
                found.append(torch.zeros(0))
                found[0] = said(model, inner, 3)
            return scores

    with method(model):
        output = model.generate(
            **outer,
            max_new_tokens=4,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            logits_processor=LogitsProcessorList([Asks()]),
        )
    torch.testing.assert_close(torch.cat(output.logits), expected[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[0], expected[1], atol=1e-5, rtol=0)
