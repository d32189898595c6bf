"""What methods cost: alternating with plain decoding, in the time of a clock that the test moves."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from farsight.errors import SettingError, UnsupportedModelError
from farsight.evaluate.engine import Answer, Failure, Request
from farsight.evaluate.plan import Plan
from farsight.evaluate.tasks import Item, Task
from farsight.methods.grammar import parse_methods
from farsight.metrics.vocabulary import coco
from farsight.tune.cost import MOST_ROUNDS, ROUNDS, TOKENS, Cost, measure, told_apart, tried

ITEMS = [
    Item(item_id=f"{n}", part="p", kind="caption", image_id=f"{n}", path=None, prompt="?", max_new_tokens=200)
    for n in range(3)
]


def plan() -> Plan:
    task = Task(name="t", items=tuple(ITEMS), vocabulary=coco(), sources={})
    return Plan(model="m", task=task, methods=parse_methods("plain,dola"))


@dataclass
class Engine:
    """Takes as many seconds for a token as it is told, in turn."""

    seconds: dict[str, list[float]]
    now: float = 0.0
    asked: list[Request] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Any], None, None]:
        for request in requests:
            self.asked.append(request)
            taken = self.seconds[request.method.name]
            tokens = 10 if request.method.name == "plain" else 20
            before = sum(one.method.name == request.method.name for one in self.asked) - 1
            self.now += tokens * taken[before % len(taken)]
            yield request.number, [Answer(text="a", tokens=tokens, ended=True, absorbed=None)]


def test_the_ratio_is_that_of_a_token_and_the_median_of_pairs() -> None:
    engine = Engine({"plain": [1.0], "dola": [1.5, 2.0, 1.0]})
    cost = measure(plan(), ["dola"], ITEMS, engine, clock=engine.clock)["dola"]
    assert (cost.ratio, min(cost.ratios), max(cost.ratios)) == (1.5, 1.0, 2.0)
    assert cost.told() == "x1.50"
    assert [request.method.name for request in engine.asked] == ["plain", "dola"] * (ROUNDS + 1)
    assert {request.max_new_tokens for request in engine.asked} == {TOKENS}
    assert not any(request.watched for request in engine.asked)


@pytest.mark.parametrize(("budget", "rounds"), [(None, ROUNDS), (1.1, MOST_ROUNDS), (3.0, ROUNDS)])
def test_a_budget_that_is_among_the_ratios_is_measured_longer(budget: float | None, rounds: int) -> None:
    engine = Engine({"plain": [1.0], "dola": [1.0, 1.2]})
    measure(plan(), ["dola"], ITEMS, engine, budget=budget, clock=engine.clock)
    assert len(engine.asked) == 2 * (rounds + 1)


def test_what_was_timed_without_a_budget_is_timed_on_while_it_is_not_told_from_a_new_one() -> None:
    noisy = (1.05, 1.2, 1.08, 1.12, 1.11)
    assert not Cost(ratios=noisy).unclear(None)
    assert not Cost(ratios=noisy).unclear(2.0)
    assert Cost(ratios=noisy).unclear(1.1)
    assert not Cost(ratios=noisy * 3).unclear(1.1)  # no more rounds than these
    engine = Engine({"plain": [1.0], "dola": [1.3]})
    found = measure(plan(), ["dola"], ITEMS, engine, budget=1.1, known={"dola": Cost(ratios=noisy)}, clock=engine.clock)
    assert found["dola"].ratios[:5] == noisy
    assert ROUNDS < len(found["dola"].ratios) < MOST_ROUNDS
    assert told_apart(found["dola"].ratios, 1.1)


def test_one_pair_that_was_disturbed_does_not_double_the_rounds() -> None:
    assert told_apart([1.0] * 5, 1.1)
    assert not told_apart([1.0] * 6 + [1.5], 1.1)
    assert told_apart([1.0] * 7 + [1.5], 1.1)
    assert not told_apart([1.0, 1.2] * 7, 1.1)


def test_a_method_that_the_model_does_not_take_is_refused_with_the_reason() -> None:
    class Refusing(Engine):
        def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Any], None, None]:
            for request in requests:
                if request.method.name == "dola":
                    raise SettingError("no such layer")
                yield from super().answers([request])

    engine = Refusing({"plain": [1.0], "dola": [1.0]})
    cost = measure(plan(), ["dola"], ITEMS, engine, clock=engine.clock)["dola"]
    assert cost == Cost(refused="no such layer")
    assert not cost.over(1.0)

    three = replace(plan(), methods=parse_methods("plain,dola,deco"))
    engine = Refusing({"plain": [1.0], "dola": [1.0], "deco": [1.5]})
    found = measure(three, ["dola", "deco"], ITEMS, engine, clock=engine.clock)
    assert found == {"dola": cost, "deco": Cost(ratios=(1.5,) * ROUNDS)}


def test_methods_that_are_timed_together_share_plain_decoding_and_leave_when_they_are_told_apart() -> None:
    engine = Engine({"plain": [1.0], "dola": [1.0, 1.2], "deco": [1.5]})
    three = replace(plan(), methods=parse_methods("plain,dola,deco"))
    found = measure(three, ["dola", "deco"], ITEMS, engine, budget=1.1, clock=engine.clock)
    assert (set(found["deco"].ratios), set(found["dola"].ratios)) == ({1.5}, {1.0, 1.2})
    rounds = ["plain", "dola", "deco"] * (ROUNDS + 1) + ["plain", "dola"] * (MOST_ROUNDS - ROUNDS)
    assert [request.method.name for request in engine.asked] == rounds


def test_a_model_that_does_not_take_plain_decoding_is_no_refusal_of_the_method() -> None:
    class Nothing(Engine):
        def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Any], None, None]:
            raise UnsupportedModelError("no text")
            yield

    with pytest.raises(UnsupportedModelError, match="no text"):
        measure(plan(), ["dola"], ITEMS, Nothing({}))


@pytest.mark.parametrize("ahead", [0, 2], ids=["one at a time", "several in hand"])
def test_where_nothing_is_timed_all_methods_are_tried_in_one_go_and_the_rest_after_a_refusal(ahead: int) -> None:
    methods = parse_methods("plain,dola,deco,beam,farsight")
    calls: list[list[str]] = []

    class Refusing:
        def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Any], None, None]:
            calls.append([])
            hand: list[Request] = []
            for request in requests:
                hand.append(request)
                calls[-1].append(request.method.name)
                if request.method.name == "deco":
                    raise UnsupportedModelError("no decoder")
                if len(hand) > ahead:
                    yield hand.pop(0).number, []
            yield from ((request.number, []) for request in hand)

    found = tried(replace(plan(), methods=methods), list(methods)[1:], ITEMS[0], Refusing())
    assert found == {"dola": Cost(), "deco": Cost(refused="no decoder"), "beam": Cost(), "farsight": Cost()}
    assert len(calls) <= 5
    assert tried(plan(), ["dola"], ITEMS[0], Refusing()) == {"dola": Cost()}


def test_pictures_that_cannot_be_read_leave_the_cost_unknown() -> None:
    class Blind(Engine):
        def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Any], None, None]:
            for request in requests:
                yield request.number, [Failure(reason="damaged")]

    engine = Blind({})
    cost = measure(plan(), ["dola"], ITEMS, engine, clock=engine.clock)["dola"]
    assert cost == Cost()
    assert cost.told() == "-"


def test_a_method_is_over_a_budget_that_it_exceeds() -> None:
    assert Cost(ratios=(1.2,) * 5).over(1.1)
    assert not Cost(ratios=(1.1,) * 5).over(1.1)
    assert not Cost(ratios=(9.0,) * 5).over(None)
