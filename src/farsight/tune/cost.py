"""What a method costs here: the time of its tokens over that of plain decoding's, on the same pictures in turn."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle, islice
from types import MappingProxyType
from typing import Any

from farsight.errors import SettingError, UnsupportedModelError
from farsight.evaluate.engine import Answer, Engine, Request
from farsight.evaluate.plan import Batch, Plan
from farsight.evaluate.run import request_of
from farsight.evaluate.tasks import Item

ROUNDS, MOST_ROUNDS = 5, 15
"""Pairs that are timed, and the most, while it cannot be told on which side of the budget their median is."""
TOGETHER = 5
"""Methods that are timed against the same answers of plain decoding."""
NOTHING: Mapping[str, Any] = MappingProxyType({})
TOKENS = 32
"""Of an answer that is timed: enough that the prompt is not most of it."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Time per new token over plain decoding's, prompt included; or why the model does not take the method."""

    ratios: tuple[float, ...] = ()
    """Of the rounds; empty if it is refused, or gave no answer."""
    refused: str | None = None

    @property
    def ratio(self) -> float | None:
        """The median."""
        return statistics.median(self.ratios) if self.ratios else None

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        range_of = {"least": min(self.ratios, default=None), "most": max(self.ratios, default=None)}
        return {"ratio": self.ratio, **range_of, "ratios": list(self.ratios), "refused": self.refused}

    def unclear(self, budget: float | None) -> bool:
        """Whether more rounds may tell on which side of a budget it is."""
        few = 0 < len(self.ratios) < MOST_ROUNDS
        return few and budget is not None and not told_apart(self.ratios, budget)

    def over(self, budget: float | None) -> bool:
        """Whether it is known to be over a budget."""
        return budget is not None and self.ratio is not None and self.ratio > budget

    def told(self, apart: float | None = None) -> str:
        """Say it in a table; with as many digits as tell it from another number."""
        if self.ratio is None:
            return "-"
        digits = (
            digits for digits in range(2, 6) if apart is None or round(self.ratio, digits) != round(apart, digits)
        )
        return f"x{self.ratio:.{next(digits, 6)}f}"


def left_out(costs: Mapping[str, Cost], budget: float | None) -> dict[str, str]:
    """Give the methods that do not race, with the reason: the model does not take them, or they are over the budget."""
    return {
        label: cost.refused or f"takes {cost.told(budget)} the time, and the budget is x{budget:g}"
        for label, cost in costs.items()
        if cost.refused or cost.over(budget)
    }


def tried(plan: Plan, labels: Sequence[str], item: Item, engine: Engine) -> dict[str, Cost]:
    """Find out which methods the model takes where they cannot be timed: in one go, and the others after a refusal.

    An engine may take long to start, and have several methods in hand when it raises: then the first of them is asked
    alone.
    """
    found: dict[str, Cost] = {}
    each = enumerate(Batch(label=label, method=plan.methods[label], asked=((item,),)) for label in labels)
    try:
        with closing(engine.answers(request_of(plan, number, batch) for number, batch in each)) as answers:
            for number, _ in answers:
                found[labels[number]] = Cost()
    except (SettingError, UnsupportedModelError) as error:
        left = [label for label in labels if label not in found]
        if not left:
            raise
        first, *others = left
        if len(labels) == 1:
            return {first: Cost(refused=str(error))}
        found |= tried(plan, [first], item, engine)
        if others:
            found |= tried(plan, others, item, engine)
    return {label: found[label] for label in labels}


def measure(
    plan: Plan,
    labels: Sequence[str],
    items: Sequence[Item],
    engine: Engine,
    *,
    budget: float | None = None,
    known: Mapping[str, Cost] = NOTHING,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Cost]:
    """Time methods against plain decoding, the first of the plan, in turn: A, B, C, A, B, C, an item a round.

    Parameters
    ----------
    plan
        The plan of the run.
    labels
        The methods' labels; few, such as `TOGETHER`, so that a round takes less than what disturbs a machine.
    items
        Captions; each round takes the next.
    engine
        What answers. It should have its model at hand, or its loading is timed.
    budget
        What is to be told of each: whether its ratio is above it. Who is told apart from it is not timed again.
    known
        What was timed before, under another budget: it goes on from there.
    clock
        A function that gives the seconds by now.
    """
    baseline = next(iter(plan.methods))
    before = {label: known.get(label, Cost()) for label in labels}
    ratios = {label: list(cost.ratios) for label, cost in before.items()}
    refused: dict[str, str] = {}

    def timed(which: str, item: Item) -> float | None:
        batch = Batch(label=which, method=plan.methods[which], asked=((item,),))
        request = request_of(plan, 0, batch)
        short = replace(request, max_new_tokens=min(request.max_new_tokens, TOKENS), watched=False)
        try:
            return seconds_per_token(engine, short, clock)
        except (SettingError, UnsupportedModelError) as error:
            if which == baseline:
                raise
            refused[which] = str(error)
            return None

    def unclear(label: str, done: int) -> bool:
        few = len(before[label].ratios) + done < ROUNDS
        return label not in refused and (few or Cost(ratios=tuple(ratios[label])).unclear(budget))

    for which in (baseline, *labels):  # the first call of each makes what later ones find ready
        timed(which, items[0])
    for done, item in enumerate(islice(cycle(items), MOST_ROUNDS)):
        going = [label for label in labels if unclear(label, done)]
        plain = timed(baseline, item) if going else None
        for label in going:
            if (other := timed(label, item)) and plain:
                ratios[label].append(other / plain)
    return {
        label: Cost(refused=refused[label]) if label in refused else Cost(ratios=tuple(ratios[label]))
        for label in labels
    }


def told_apart(ratios: Sequence[float], budget: float) -> bool:
    """Whether the median of what is timed is on one side of the budget: a sign test at 5 %."""
    below = sum(ratio < budget for ratio in ratios)
    fewer = min(below, len(ratios) - below)
    return 20 * sum(math.comb(len(ratios), count) for count in range(fewer + 1)) <= 1 << len(ratios)


def seconds_per_token(engine: Engine, request: Request, clock: Callable[[], float]) -> float | None:
    """Time the answers to a request, over the tokens of the longest; None if nothing could be asked."""
    start = clock()
    [(_, said)] = list(engine.answers([request]))
    taken = clock() - start
    answered = [one.tokens for one in said if isinstance(one, Answer)]
    return taken / max(1, *answered) if answered else None
