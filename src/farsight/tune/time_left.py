"""How far a race is and how long it still takes, from what answers have taken so far.

It is the most that is left: who is refused, over the budget or clearly worse leaves earlier.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from farsight.evaluate.plan import Batch
from farsight.tune.forecast import Asked, Stage
from farsight.tune.race import Rung


class Progress(Protocol):
    """Hears how far it is."""

    def stage(self, stage: Stage) -> None:
        """So much is asked now."""

    def told(self, doing: str, elapsed: float, left: float | None) -> None:
        """What is done now; seconds since it began, and until all is over, None while that is not known."""

    def rung(self, rung: Rung) -> None:
        """A rung is over."""


class TimeLeft:
    """Learns what timing a method and answers of each kind take.

    Parameters
    ----------
    progress
        What is told of the time that is left.
    factor
        What other methods take over plain decoding, until one has answered.
    clock
        A function that gives the seconds by now.
    """

    def __init__(self, progress: Progress, factor: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.progress, self.factor, self._clock = progress, factor, clock
        self._begun = self._last = clock()
        self._seconds: defaultdict[Asked | None, float] = defaultdict(float)
        self._counts: Counter[Asked | None] = Counter()
        self._name, self._answers, self._come = "", 0, 0
        self._timings = 0
        self._now: Counter[Asked] = Counter()
        self._after: Counter[Asked] = Counter()

    def begin(self, timings: int, stage: Stage | None, asked: Mapping[Asked, int], after: Iterable[Stage]) -> None:
        """A stage begins.

        Parameters
        ----------
        timings
            Methods that are to be timed yet.
        stage
            What is asked now, None while methods are timed.
        asked
            The answers of it that are not there yet.
        after
            Stages that come after it.
        """
        self._last = self._clock()
        self._timings, self._now = timings, Counter(asked)
        self._after = sum((Counter(one.asked) for one in after), Counter())
        self._name = "timing methods" if stage is None else stage.name
        self._answers, self._come = (0, 0) if stage is None else (stage.answers, stage.answers - self._now.total())
        if stage is not None:
            self.progress.stage(stage)
        self._tell()

    def timed(self, methods: int) -> None:
        """So many methods were timed."""
        self._learn(None, methods)
        self._timings -= methods
        self._tell()

    def answered(self, batch: Batch, plain: str) -> None:
        """A batch came that was not there before."""
        asked = batch.items[0].kind == "caption", batch.label == plain
        self._learn(asked, len(batch.items))
        self._now[asked] -= len(batch.items)
        self._come += len(batch.items)
        self._tell()

    def seconds(self) -> float | None:
        """Give how long all takes that is left; None while it is not known."""
        left: dict[Asked | None, int] = {None: self._timings}
        left |= {what: self._now[what] + self._after[what] for what in {*self._now, *self._after}}
        each = {what: self._each(what) for what, count in left.items() if count > 0}
        if any(seconds is None for seconds in each.values()):
            return None
        return sum(left[what] * (seconds or 0) for what, seconds in each.items())

    def _learn(self, what: Asked | None, count: int) -> None:
        now = self._clock()
        self._seconds[what] += now - self._last
        self._counts[what] += count
        self._last = now

    def _each(self, what: Asked | None) -> float | None:
        if self._counts[what]:
            return self._seconds[what] / self._counts[what]
        if what is None or what[1] or (plain := self._each((what[0], True))) is None:
            return None
        return plain * self.factor

    def _tell(self) -> None:
        how_far = f": {self._come} of {self._answers} answers" if self._answers else f": {self._timings} left"
        self.progress.told(f"{self._name}{how_far}", self._clock() - self._begun, self.seconds())
