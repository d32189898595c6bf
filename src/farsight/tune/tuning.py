"""All of it in order: what each method costs, the race, and the winner against plain decoding. Resumed at any point."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from farsight.errors import InputError
from farsight.evaluate.engine import Engine
from farsight.evaluate.plan import Batch, Plan
from farsight.evaluate.run import run
from farsight.evaluate.run_folder import RunFolder
from farsight.evaluate.shapes import check
from farsight.files import read_json, reading, write
from farsight.judging.truth import Truth
from farsight.tune.agreement import Agreement, agreement
from farsight.tune.asked import LEAST, About, by_picture
from farsight.tune.cost import TOGETHER, Cost, left_out, measure, tried
from farsight.tune.counts import Counts, counts_of
from farsight.tune.forecast import Asked, Forecast, Stage, mean_factor, seconds, stage_of, stages
from farsight.tune.guards import Guard
from farsight.tune.known import Known, known_of
from farsight.tune.race import Rung, halves, run_race, rung_sizes, settle
from farsight.tune.time_left import Progress, TimeLeft
from farsight.tune.verdict import VERDICT, Verdict

COSTS = "costs.json"
COST = {str: {"ratios": [float], "refused": (str, None)}}
"""What it has to have."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """One choice of a method.

    Parameters
    ----------
    plan
        The model, the task, and plain decoding before all that may race.
    folder
        Where the answers go.
    engine
        The engine that answers.
    truth
        What is known of the pictures.
    guards
        What a lower CHAIR_I must not cost.
    budget
        Most time per token over plain decoding's; None for any.
    timed
        Whether methods can be timed one by one with this engine.
    knows_methods
        Whether all methods of the plan are known to be taken.
    judged
        Whether somebody judges what is named: all are asked about the whole first half, so that it is judged at once.
    loads_each
        Whether the engine loads the model for each method: all are asked about the whole first half then, too.
    seed
        Of the split and the bootstrap.
    refused
        Methods that the engine does not take, with the reason; they are not in the plan.
    progress
        Hears how far it is.
    """

    plan: Plan
    folder: RunFolder
    engine: Engine
    truth: Truth
    guards: Sequence[Guard]
    progress: Progress
    budget: float | None = None
    judged: bool = False
    loads_each: bool = False
    timed: bool = True
    knows_methods: bool = False
    seed: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict, init=False)
    """Of each method that may race."""
    to_come: list[Stage] = field(default_factory=list, init=False)
    """Stages that are not over, this one first."""

    @property
    def baseline(self) -> str:
        """Plain decoding."""
        return next(iter(self.plan.methods))

    @cached_property
    def halves(self) -> tuple[list[About], list[About]]:
        """Pictures of the race and of the winner."""
        return halves(by_picture(self.plan.task), self.seed)

    @property
    def contenders(self) -> list[str]:
        """Methods that the model takes and that are within the budget."""
        costs = self.costs
        return [label for label, cost in costs.items() if not cost.refused and not cost.over(self.budget)]

    @property
    def answers(self) -> dict[str, int]:
        """What all methods answered so far: captions, and questions."""
        captions = {item.item_id for item in self.plan.task.items if item.kind == "caption"}
        said = [item for (_, item), row in self.folder.rows.items() if row["failed"] is None]
        asked = sum(item in captions for item in said)
        return {"captions": asked, "questions": len(said) - asked}

    @property
    def failed(self) -> dict[str, str]:
        """What plain decoding could not be asked so far, which is left out for all, with the reasons."""
        rows = self.folder.rows.items()
        return {item: row["failed"] for (label, item), row in rows if label == self.baseline and row["failed"]}

    @property
    def told_failed(self) -> str:
        """Say what could not be asked."""
        item, reason = next(iter(self.failed.items()))
        count = "1 item" if len(self.failed) == 1 else f"{len(self.failed)} items"
        return f"Left out, since plain decoding could not be asked: {count}; the first is {item} ({reason})."

    @property
    def looks(self) -> list[str]:
        """Everybody who was asked about the second half so far, the first one first: each time it was looked at."""
        second = {item.item_id for about in self.halves[1] for item in about}
        asked = dict.fromkeys(label for label, item in self.folder.rows if item in second)
        return [label for label in asked if label != self.baseline]

    @cached_property
    def time_left(self) -> TimeLeft:
        """How long it still takes."""
        return TimeLeft(self.progress, mean_factor(list(self.plan.methods.values())[1:]))

    def measure_costs(self) -> None:
        """Time each method, or find out that the model does not take it; it goes on from what is known from before.

        Plain decoding is asked about the whole first half before, which says how long all of it will take, and what
        can be asked at all.

        Raises
        ------
        InputError
            If too few pictures of the half can.
        """
        path = self.folder.path / COSTS
        known = _read_costs(path) if path.exists() else {}
        labels = list(self.plan.methods)[1:]
        if unclear := [label for label in labels if label not in known or known[label].unclear(self.budget)]:
            for found in self._costs_of(unclear, known):
                known |= found
                record = {label: cost.record() for label, cost in known.items()}
                write(path, [json.dumps(record, indent=2, allow_nan=False).encode()])
        self.costs.update((label, known[label]) for label in labels)

    def _costs_of(self, labels: Sequence[str], known: Mapping[str, Cost]) -> Iterator[dict[str, Cost]]:
        """Time a few methods after the other, or find out which are taken where they cannot be timed."""
        captions = [item for about in self._first_half(len(labels)) for item in about if item.kind == "caption"]
        if not self.timed:
            taken = self.knows_methods
            yield dict.fromkeys(labels, Cost()) if taken else tried(self.plan, labels, captions[0], self.engine)
            return
        self.time_left.begin(len(labels), None, {}, self.to_come[1:])
        for start in range(0, len(labels), TOGETHER):
            some = labels[start : start + TOGETHER]
            yield measure(self.plan, some, captions, self.engine, budget=self.budget, known=known)
            self.time_left.timed(len(some))

    def found(self) -> Verdict | Agreement:
        """Time, race, and settle what the winner is worth; or say what has to be judged before.

        Raises
        ------
        InputError
            If too few pictures of a half can be asked about.
        """
        self.measure_costs()
        first, second = self._first_half(), self.halves[1]
        halves, rungs = (first, second), self._rungs(first, len(self.contenders))
        self.to_come[:] = stages(halves, len(self.contenders), rungs)

        def told(rung: Rung) -> None:
            going = sum(not one.left for one in rung.standings)
            self.to_come[:] = stages(halves, going, rungs, seen=rung.pictures)
            self.progress.rung(rung)

        if to_judge := self._to_judge(self.contenders, first):
            return to_judge
        race = run_race(
            self.baseline,
            self.contenders,
            first,
            self._counted,
            self.guards,
            rungs=rungs,
            seed=self.seed,
            told=told,
        )
        if race.winner is not None:
            self._ask([self.baseline, race.winner], second)
            second = self._answered(second)
            if to_judge := self._to_judge([race.winner], second, winner=race.winner):
                return to_judge
        outcome = settle(self.baseline, race, second, self._counted, self.guards, seed=self.seed)
        refused = {label: Cost(refused=reason) for label, reason in self.refused.items()}
        named = [self.baseline] if race.nearest is None else [self.baseline, race.nearest.label]
        seen = first if race.winner is None else second
        return Verdict(
            outcome=outcome,
            costs=self.costs | refused,
            guards=self.guards,
            budget=self.budget,
            looks=self.looks,
            guards_before=self._guards_before(),
            known=self._known(named, seen) if self.judged and race.rungs else None,
        )

    def _guards_before(self) -> list[str]:
        """Guards under which the second half was looked at, by the verdict that is there."""
        file = self.folder.path / VERDICT
        remedy = "delete it, and it is written again"
        found = read_json(file, remedy) if file.exists() else {}
        with reading(file, "a verdict", remedy):
            check(before := found.get("looked_with", []), [str])
            return list(before)

    def forecast(self, before: int = 0) -> Forecast:
        """Say what it would ask; ``before``: captions that candidates are measured on first."""
        labels = list(self.plan.methods)[1:]
        found = stages(self.halves, len(labels), self._rungs(self.halves[0], len(labels)))
        if not self.timed:
            return Forecast(stages=found, seconds=None)
        taken = seconds(self.plan, self.engine, self.halves, found, budget=self.budget, before=before)
        return Forecast(stages=found, seconds=taken)

    def _known(self, labels: Sequence[str], units: Sequence[About]) -> Known:
        """Ask, and see how much is known of what these methods name in these pictures."""
        self._ask(labels, units)
        items = [item for about in units for item in about]
        return known_of(labels[0], labels[1:], items, self.folder.rows, self.truth)

    def _to_judge(self, labels: Sequence[str], units: Sequence[About], winner: str | None = None) -> Agreement | None:
        """Ask, and give what somebody has to judge before it is known who is better; of who failed there is nothing."""
        if not self.judged:
            return None
        self._ask([self.baseline, *labels], units)
        failed = self._failures(labels, units)
        going = [label for label in labels if label not in failed]
        if not going or self._known([self.baseline, *going], units).enough:
            return None
        items = [item for about in units for item in about if item.kind == "caption"]
        out = {**self.refused, **left_out(self.costs, self.budget), **failed}
        return agreement(self.baseline, going, items, self.folder.rows, self.truth, winner=winner, left_out=out)

    def _rungs(self, first: Sequence[About], contenders: int) -> list[int]:
        pictures = len(first)
        return [pictures] if self.judged or self.loads_each else rung_sizes(pictures, contenders)

    def _first_half(self, timings: int = 0) -> list[About]:
        """Ask plain decoding about the half of the race, and give what it answered of it."""
        first, racing = self.halves[0], len(self.plan.methods) - 1
        self.to_come[:] = (
            stage_of("plain decoding first", 1, first),
            *stages(self.halves, racing, self._rungs(first, racing)),
        )
        self._ask([self.baseline], first, timings=timings)
        return self._answered(first)

    def _answered(self, half: Sequence[About]) -> list[About]:
        """Leave out of a half what plain decoding could not be asked."""
        failed = self.failed
        kept = [tuple(item for item in about if item.item_id not in failed) for about in half]
        found = [about for about in kept if about]
        if len(found) < LEAST // 2:
            first = next(item.item_id for about in half for item in about if item.item_id in failed)
            raise InputError(
                f"{len(found)} of {len(half)} pictures of one half could be asked about, and {LEAST // 2} are the "
                f"least; the first that could not: {first}: {failed[first]}. Give others, with another --out"
            )
        return found

    def _ask(self, labels: Sequence[str], units: Sequence[About], timings: int = 0) -> None:
        """Have the answers of some methods about some pictures, those that are not there yet."""
        items, known = [item for about in units for item in about], set(self.folder.rows)
        missing: Counter[Asked] = Counter(
            (item.kind == "caption", label == self.baseline)
            for label in labels
            for item in items
            if (label, item.item_id) not in known
        )

        def answered(batch: Batch) -> None:
            if any((batch.label, item.item_id) not in known for item in batch.items):
                self.time_left.answered(batch, self.baseline)

        if missing:
            now, *after = self.to_come or [stage_of("plain decoding alone", 1, units)]
            # what is judged comes after people have judged the first half
            self.time_left.begin(timings, replace(now, methods=len(labels)), missing, () if self.judged else after)
        run(self.plan, self.folder, self.engine, answered, only=dict.fromkeys(labels, items))

    def _counted(self, labels: Sequence[str], units: Sequence[About]) -> Mapping[str, Counts | str]:
        """Count what methods say, picture by picture; of one that failed where plain decoding answered, say so."""
        self._ask(labels, units)
        failed = self._failures(labels, units)
        going = [label for label in labels if label not in failed]
        found = [counts_of(going, items, self.folder.rows, self.truth) for items in units]
        return {label: np.array([one[label] for one in found]) for label in going} | failed

    def _failures(self, labels: Sequence[str], units: Sequence[About]) -> dict[str, str]:
        """Of methods that failed where plain decoding answered, how often and why."""
        rows, items = self.folder.rows, [item.item_id for about in units for item in about]
        found = {}
        for label in labels:
            if failed := [reason for item in items if (reason := rows[label, item]["failed"])]:
                found[label] = f"failed {len(failed)} of {len(items)} times where plain decoding did not: {failed[0]}"
        return found


def _read_costs(path: Path) -> dict[str, Cost]:
    remedy = "delete it to have the methods timed again"
    found = read_json(path, remedy)
    with reading(path, "what methods cost", remedy):
        check(found, COST)
        return {label: Cost(ratios=tuple(cost["ratios"]), refused=cost["refused"]) for label, cost in found.items()}
