"""What a race would ask, and about how long that takes, before it is run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from farsight.evaluate.engine import Engine
from farsight.evaluate.plan import Batch, Plan, batches
from farsight.evaluate.run import request_of
from farsight.method import Method, parts
from farsight.tune.asked import About
from farsight.tune.cost import ROUNDS, TOKENS, seconds_per_token
from farsight.tune.race import rung_sizes


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some methods on some pictures."""

    name: str
    methods: int
    """Plain decoding among them."""
    pictures: int
    answers: int


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is asked at most: methods that are over the budget, refused or clearly worse leave earlier."""

    stages: tuple[Stage, ...]
    seconds: float | None
    """None where it was not tried how long an answer takes."""

    @property
    def answers(self) -> int:
        """All of them."""
        return sum(stage.answers for stage in self.stages)

    @property
    def sentence(self) -> str:
        """What it comes to."""
        took = "" if self.seconds is None else f", about {_told(self.seconds)} here"
        return f"At most {self.answers} answers{took}."

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return {"answers": self.answers, "seconds": self.seconds, "stages": [asdict(stage) for stage in self.stages]}


def stages(halves: tuple[Sequence[About], Sequence[About]], contenders: int) -> tuple[Stage, ...]:
    """Give the stages of a race between so many contenders."""
    first, second = halves
    found, running = [], contenders
    for number, (seen, size) in enumerate(pairwise([0, *rung_sizes(len(first), contenders)]), start=1):
        found.append(_stage(f"race, rung {number}", running + 1, first[seen:size]))
        running = math.ceil(running / 2)
    return (*found, _stage("the winner against plain", 2, second))


def _stage(name: str, methods: int, units: Sequence[About]) -> Stage:
    answers = methods * sum(len(about) for about in units)
    return Stage(name=name, methods=methods, pictures=len(units), answers=answers)


def seconds(
    plan: Plan,
    engine: Engine,
    halves: tuple[Sequence[About], Sequence[About]],
    found: Sequence[Stage],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Estimate what stages take, from one batch of each part with plain decoding and what methods say they cost.

    Parameters
    ----------
    plan, engine
        What is run.
    halves
        Of the pictures.
    found
        Stages of them.
    clock
        Gives seconds.
    """
    baseline = next(iter(plan.methods))
    items = [item for half in halves for about in half for item in about]
    first: dict[str, Batch] = {}
    for batch in batches(plan, {baseline: items}):
        first.setdefault(batch.items[0].part, batch)
    one = next(iter(first.values()))
    alone = request_of(plan, 0, replace(one, asked=one.asked[:1]))
    seconds_per_token(engine, alone, clock)  # loads the model
    per_token = seconds_per_token(engine, alone, clock) or 0.0
    by_part: dict[str, float] = {}
    for part, batch in first.items():
        start = clock()
        list(engine.answers([request_of(plan, 0, batch)]))
        by_part[part] = (clock() - start) / len(batch.items)
    answer = sum(by_part[item.part] for item in items) / len(items)
    factor = _mean_factor(plan.methods)
    timing = (len(plan.methods) - 1) * (ROUNDS + 1) * TOKENS * per_token * (1 + factor)
    return timing + sum(answer * stage.answers * (1 + (stage.methods - 1) * factor) / stage.methods for stage in found)


def _mean_factor(methods: Mapping[str, Method]) -> float:
    """Forward passes for a token, on average over methods."""
    each = [1 + sum(part.extra_forwards for part in parts(method)) for method in methods.values()]
    return sum(each) / len(each)


def forecast(plan: Plan, engine: Engine | None, halves: tuple[Sequence[About], Sequence[About]]) -> Forecast:
    """Say what a race asks, and how long it takes with an engine that can be timed."""
    found = stages(halves, len(plan.methods) - 1)
    return Forecast(stages=found, seconds=None if engine is None else seconds(plan, engine, halves, found))


def _told(seconds: float) -> str:
    return f"{math.ceil(seconds)} seconds" if seconds < 90 else f"{math.ceil(seconds / 60)} minutes"
