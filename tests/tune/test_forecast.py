"""What a race would ask, and how long it takes."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any

import pytest

from farsight.evaluate.engine import Answer, Failure, Request
from farsight.evaluate.plan import Plan
from farsight.evaluate.tasks import Item, Task
from farsight.methods.grammar import parse_methods
from farsight.metrics.vocabulary import coco
from farsight.tune.asked import by_picture
from farsight.tune.cost import MOST_ROUNDS, ROUNDS
from farsight.tune.forecast import BEAM, Forecast, seconds, stages
from farsight.tune.race import halves


class Engine:
    """A second for every prompt, and ten tokens of each."""

    now = 0.0

    def clock(self) -> float:
        return self.now

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Any], None, None]:
        for request in requests:
            self.now += len(request.prompts)
            yield request.number, [Answer(text="", tokens=10, ended=True, absorbed=None) for _ in request.prompts]


def plan(methods: str) -> Plan:
    items = tuple(
        Item(item_id=f"{n}", part="p", kind="caption", image_id=f"{n}", path=None, prompt=f"{n}?", max_new_tokens=9)
        for n in range(64)
    )
    return Plan(
        model="m", task=Task(name="t", items=items, vocabulary=coco(), sources={}), methods=parse_methods(methods)
    )


def test_it_counts_what_every_rung_and_the_winner_are_asked() -> None:
    made = plan("plain,beam,deco,dola,farsight")
    both = halves(by_picture(made.task), 0)
    found = Forecast(stages=stages(both, 4), seconds=None)
    assert [(stage.methods, stage.pictures, stage.answers) for stage in found.stages] == [
        (5, 16, 80), (3, 16, 48), (2, 32, 64),
    ]  # fmt: skip
    assert found.sentence == "At most 192 answers: 192 captions."


def test_the_time_is_that_of_plain_answers_times_what_methods_take() -> None:
    engine, made = Engine(), plan("plain,farsight")
    both = halves(by_picture(made.task), 0)
    taken = seconds(made, engine, both, stages(both, 1), clock=engine.clock)
    assert taken == pytest.approx((ROUNDS + 1) * 2 + 2 * 64)
    longer = seconds(made, engine, both, stages(both, 1), budget=1.1, before=16, clock=engine.clock)
    assert longer == pytest.approx((MOST_ROUNDS + 1) * 2 + 16 + 2 * 64)  # which may be about the budget


def test_a_search_takes_longer_and_nobody_over_the_budget_races() -> None:
    engine, made = Engine(), plan("plain,farsight,beam")
    both = halves(by_picture(made.task), 0)
    beams = 1 + 4 * BEAM
    rungs = stages(both, 2)
    taken = seconds(made, engine, both, rungs, clock=engine.clock)
    assert taken == pytest.approx((ROUNDS + 1) * (2 + beams) + 32 * (2 + beams) + 32 * (1 + beams))
    within = seconds(made, engine, both, rungs, budget=1.0, clock=engine.clock)
    assert within == pytest.approx((MOST_ROUNDS + 1) * 2 + (ROUNDS + 1) * beams + 32 * 3 + 32 * 2)


def test_pictures_that_cannot_be_read_take_nobody_s_time_and_none_at_all_is_not_told() -> None:
    class Blind(Engine):
        read = True

        def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Any], None, None]:
            for request in requests:
                bad = [not self.read or prompt in ("0?", "1?", "2?") for prompt in request.prompts]
                self.now += bad.count(False)
                yes = Answer(text="", tokens=10, ended=True, absorbed=None)
                yield request.number, [Failure(reason="damaged") if one else yes for one in bad]

    engine, made = Blind(), plan("plain,farsight")
    both = halves(by_picture(made.task), 0)
    assert seconds(made, engine, both, stages(both, 1), clock=engine.clock) == pytest.approx((ROUNDS + 1) * 2 + 2 * 64)
    engine.read = False
    assert seconds(made, engine, both, stages(both, 1), clock=engine.clock) is None


def test_captions_and_questions_are_counted_apart_and_what_is_over_is_not_counted() -> None:
    captions = plan("plain,beam").task.items
    asked = [(one, replace(one, item_id=f"q{one.item_id}", kind="question", part="q")) for one in captions]
    both = (asked[:32], asked[32:])
    found = stages(both, 4)
    assert [(stage.methods, stage.captions, stage.questions, stage.answers) for stage in found] == [
        (5, 16, 16, 160), (3, 16, 16, 96), (2, 32, 32, 128),
    ]  # fmt: skip
    assert Forecast(stages=found, seconds=61.2).sentence == (
        "At most 384 answers: 192 captions and 192 yes/no answers; about 62 seconds here."
    )
    second = replace(found[1], methods=2, name="race, rung 2 of 2")
    assert stages(both, 1, [16, 32], seen=16) == (second, found[2])
    assert stages(both, 0, [16, 32], seen=32) == ()
