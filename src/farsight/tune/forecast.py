"""What a race would ask, and about how long that takes, before it is run."""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from farsight.evaluate.engine import Answer, Engine
from farsight.evaluate.plan import Batch, Plan, batches
from farsight.evaluate.run import request_of
from farsight.method import Method, parts
from farsight.tune.asked import About
from farsight.tune.cost import MOST_ROUNDS, ROUNDS, TOGETHER, TOKENS
from farsight.tune.race import rung_sizes

WINNER = "the winner against greedy"
BEAM = 0.5
"""Of a forward pass, what each further beam adds: measured were x1.4 to x1.8 for two, x1.7 to x2.9 for five."""

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
    """None where it was not tried how long an answer takes, or nothing could be asked."""

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
    budget: float | None = None,
    before: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> float | None:
    """Estimate what stages take, from one batch of each part with plain decoding and what methods are known to cost.

    Parameters
    ----------
    plan, engine
        The plan of the run, and what answers it.
    halves
        The pictures' two halves.
    found
        The stages of the tuning.
    budget
        Most time over plain decoding's: who may be about it is timed longer, and who races takes no more.
    before
        Captions that candidates are measured on first.
    clock
        A function that gives the seconds by now.

    Returns
    -------
    None if nothing could be asked.
    """
    baseline = next(iter(plan.methods))
    items = [item for half in halves for about in half for item in about]
    asked = list(batches(plan, {baseline: items}))
    one_by_one = (replace(batch, asked=(same,)) for batch in asked for same in batch.asked)

    def taken(batch: Batch, most: int = 0) -> tuple[float, int]:
        """Seconds of a batch, of so many tokens at most, and how much of it was answered."""
        request, start = request_of(plan, 0, batch), clock()
        limit = min(most or request.max_new_tokens, request.max_new_tokens)
        [(_, said)] = list(engine.answers([replace(request, max_new_tokens=limit)]))
        return clock() - start, sum(isinstance(one, Answer) for one in said)

    first = next(((batch, loading) for batch in one_by_one for loading, said in [taken(batch, TOKENS)] if said), None)
    if first is None:
        return None
    short, _ = taken(first[0], TOKENS)
    by_part: dict[str, float] = {}
    for batch in asked:
        part = batch.items[0].part
        if part not in by_part:
            spent, said = taken(batch)
            by_part |= {part: spent / said} if said else {}
    each: defaultdict[bool, float] = defaultdict(float)
    for caption in (True, False):
        known = [by_part[one.part] for one in items if (one.kind == "caption") == caption and one.part in by_part]
        each[caption] = statistics.mean(known) if known else 0.0

    factors = [forwards(method) for label, method in plan.methods.items() if label != baseline]
    rounds = [1 + (ROUNDS if budget is None or factor > budget else MOST_ROUNDS) for factor in factors]
    alone = sum(max(rounds[at : at + TOGETHER]) for at in range(0, len(rounds), TOGETHER))
    timing = short * (alone + sum(count * factor for count, factor in zip(rounds, factors, strict=True)))
    slowest = sorted((min(factor, budget or factor) for factor in factors), reverse=True)
    racing = sum(
        each[caption] * count * (1 + sum(slowest[: stage.methods - 1]))
        for stage in found
        for caption, count in ((True, stage.captions), (False, stage.questions))
    )
    return first[1] - short + timing + before * each[True] + racing


def forwards(method: Method) -> float:
    """Forward passes for a token, and what more beams at once add to one."""
    return 1 + sum(part.extra_forwards + BEAM * (getattr(part, "num_beams", 1) - 1) for part in parts(method))


def mean_factor(methods: Iterable[Method]) -> float:
    """Forward passes for a token, on average over methods; 1 of none."""
    return statistics.mean([forwards(method) for method in methods] or [1.0])


def told_seconds(seconds: float) -> str:
    """Say how long it takes, rounded up."""
    return f"{math.ceil(seconds)} seconds" if seconds < 90 else f"{math.ceil(seconds / 60)} minutes"
