"""What a race would ask, and about how long that takes, before it is run."""

from __future__ import annotations

import math
import statistics
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
from farsight.tune.cost import ROUNDS, TOGETHER, TOKENS, seconds_per_token
from farsight.tune.race import rung_sizes

WINNER = "the winner against greedy"


Asked = tuple[bool, bool]
"""Whether it is a caption, and whether plain decoding is asked: answers that take about the same time."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some methods on some pictures."""

    name: str
    methods: int
    """Methods, plain decoding among them."""
    pictures: int
    captions: int
    """Captions that each method is asked for."""
    questions: int
    """Questions that each method answers, one yes or no each."""

    @property
    def answers(self) -> int:
        """Captions and answers to questions of all methods."""
        return self.methods * (self.captions + self.questions)

    @property
    def asked(self) -> dict[Asked, int]:
        """Answers of each kind."""
        others = self.methods - 1
        return {
            (caption, plain): count * (1 if plain else others)
            for caption, count in ((True, self.captions), (False, self.questions))
            for plain in (True, False)
            if count
        }

    @property
    def sentence(self) -> str:
        """What is asked of whom."""
        asked = told_answers(self.captions, self.questions)
        return f"{self.name}, {asked}" if self.methods == 1 else f"{self.name}, {self.methods} methods, each {asked}"

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return asdict(self) | {"answers": self.answers}


def told_answers(captions: int, questions: int) -> str:
    """Say how many answers there are, and of which kind."""
    said = f"{captions:,} {'caption' if captions == 1 else 'captions'}"
    return f"{said} and {questions:,} yes/no {'answer' if questions == 1 else 'answers'}" if questions else said


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is asked at most: methods that are over the budget, refused or clearly worse leave earlier."""

    stages: tuple[Stage, ...]
    seconds: float | None
    """None where it was not tried how long an answer takes."""

    @property
    def answers(self) -> int:
        """Answers of all methods together, captions and questions."""
        return sum(stage.answers for stage in self.stages)

    @property
    def sentence(self) -> str:
        """What it comes to."""
        captions = sum(stage.methods * stage.captions for stage in self.stages)
        questions = sum(stage.methods * stage.questions for stage in self.stages)
        took = "" if self.seconds is None else f"; about {told_seconds(self.seconds)} here"
        return f"At most {self.answers:,} answers: {told_answers(captions, questions)}{took}."

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return {
            "answers": self.answers,
            "seconds": self.seconds,
            "stages": [stage.record() for stage in self.stages],
        }


def stages(
    halves: tuple[Sequence[About], Sequence[About]], contenders: int, rungs: Sequence[int] | None = None, seen: int = 0
) -> tuple[Stage, ...]:
    """Give the stages of a race between so many contenders.

    Parameters
    ----------
    halves
        The pictures' two halves.
    contenders
        How many methods are in the race now.
    rungs
        How many pictures each rung has seen; by default `rung_sizes`.
    seen
        Pictures of the rungs that are over.
    """
    if not contenders:
        return ()
    (first, second), sizes = halves, list(rungs or rung_sizes(len(halves[0]), contenders))
    found, running = [], contenders
    for number, (before, size) in enumerate(pairwise([0, *sizes]), start=1):
        if size > seen:
            name = "asking all" if len(sizes) == 1 else f"race, rung {number} of {len(sizes)}"
            found.append(stage_of(name, running + 1, first[before:size]))
            running = math.ceil(running / 2)
    return (*found, stage_of(WINNER, 2, second))


def stage_of(name: str, methods: int, units: Sequence[About]) -> Stage:
    """Give the stage that asks so many methods about these pictures."""
    items = [item for about in units for item in about]
    captions = sum(item.kind == "caption" for item in items)
    return Stage(name=name, methods=methods, pictures=len(units), captions=captions, questions=len(items) - captions)


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
        The plan of the run, and what answers it.
    halves
        The pictures' two halves.
    found
        The stages of the tuning.
    clock
        A function that gives the seconds by now.
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
    each = {
        caption: statistics.mean(by_part[item.part] for item in items if (item.kind == "caption") == caption)
        for caption in {item.kind == "caption" for item in items}
    }
    factor = mean_factor(plan.methods)
    others = len(plan.methods) - 1
    timing = (others * factor + math.ceil(others / TOGETHER)) * (ROUNDS + 1) * TOKENS * per_token
    return timing + sum(
        count * each[caption] * (1 if plain else factor)
        for stage in found
        for (caption, plain), count in stage.asked.items()
    )


def mean_factor(methods: Mapping[str, Method]) -> float:
    """Forward passes for a token, on average over methods."""
    each = [1 + sum(part.extra_forwards for part in parts(method)) for method in methods.values()]
    return sum(each) / len(each)


def forecast(
    plan: Plan, engine: Engine | None, halves: tuple[Sequence[About], Sequence[About]], found: tuple[Stage, ...]
) -> Forecast:
    """Say what the stages of a race ask, and how long that takes with an engine that can be timed."""
    return Forecast(stages=found, seconds=None if engine is None else seconds(plan, engine, halves, found))


def told_seconds(seconds: float) -> str:
    """Say how long it takes, never less."""
    return f"{math.ceil(seconds)} seconds" if seconds < 90 else f"{math.ceil(seconds / 60)} minutes"
