"""What came out, in one sentence and in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farsight.metrics.paired import Difference
from farsight.tune.cost import Cost, left_out
from farsight.tune.counts import SHARES
from farsight.tune.guards import Guard
from farsight.tune.known import Known
from farsight.tune.race import Outcome, Race, Standing

VERDICT = "verdict.json"
NAMES = {
    "chair_i": "CHAIR_I",
    "recall": "recall",
    "words": "words",
    "repetition": "repetition",
    "answers": "right answers",
    "true": "true objects named",
}
"""What figures are called in a sentence and a table."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome with all that was asked for.

    Parameters
    ----------
    outcome
        The outcome of the race.
    costs
        Of each method that might have raced.
    guards
        The guards that were to hold.
    budget
        Most time over plain decoding's, if there was one.
    """

    outcome: Outcome
    costs: Mapping[str, Cost]
    guards: Sequence[Guard]
    budget: float | None
    looks: Sequence[str] = ()
    """Everybody who was compared on the second half so far, the first one first: under other budgets and guards too."""
    guards_before: Sequence[str] = ()
    """Guards under which a winner was compared on the second half before, as `guards_asked` writes them."""
    known: Known | None = None
    """Where people judge: what is known of what plain decoding names, and the winner on the second half; without one,
    whoever came nearest on the first."""

    @property
    def chosen(self) -> str:
        """The method to use: the winner's label, or plain decoding's."""
        return self.outcome.race.winner or "" if self.outcome.turn_on else self.outcome.baseline

    @property
    def guards_asked(self) -> str:
        """The guards as one option."""
        return ", ".join(f"{guard.name}={guard.margin:g}" for guard in self.guards) or "none"

    @property
    def sentence(self) -> str:
        """What to do, and why; how much was judged; and whether the second half had been looked at before."""
        before = [label for label in self.looks if label != self.outcome.race.winner]
        said = self._sentence if self.known is None else f"{self._sentence} {self.known.sentence}"
        others = [asked for asked in self.guards_before if asked != self.guards_asked]
        if self.outcome.final and others:
            said += f" It was looked at under other guards before ({'; '.join(others)}): be sure on other pictures."
        if self.outcome.race.winner is None or not before:
            return said
        return (
            f"{said} The second half was looked at {len(before) + 1} times (before for "
            f"{', '.join(before)}), and one look alone is wrong at most 5 % of the time: be sure on other pictures."
        )

    @property
    def _sentence(self) -> str:
        outcome, winner = self.outcome, self.outcome.race.winner
        nothing = "Nothing here beats plain decoding on your pictures"
        if winner is None:
            return f"{nothing}: {self._nobody()}."
        if outcome.failed:
            return f"{nothing}: {winner} won the race, and on the other pictures it {outcome.failed}."
        if not outcome.final:
            return (
                f"{nothing}: {winner} won the race, and on the other pictures nothing is known of what it or plain "
                "decoding names."
            )
        shown = f"{self._shown(outcome.final)}{self._time(winner)}"
        if outcome.turn_on:
            return f"Turn on {winner}: {shown}.{self._says_less()}"
        if outcome.improves:
            broken = ", ".join(f"{NAMES[guard.figure]}: {guard.told_broken()}" for guard in outcome.broken)
            return f"{nothing} within the guards; the nearest was {winner}: {shown}, but {broken}.{self._says_less()}"
        return f"{nothing}; the nearest was {winner}, and its difference may be chance: {shown}."

    @property
    def left_out(self) -> dict[str, str]:
        """Methods that did not race, with the reason."""
        return left_out(self.costs, self.budget)

    def _nobody(self) -> str:
        nearest, refused = self.outcome.race.nearest, all(cost.refused for cost in self.costs.values())
        if nearest is None:
            return "the model takes none of the methods" if refused else "no method is within the budget"
        found = nearest.differences.get("chair_i")
        if found is None and not nearest.differences:
            return f"no method could be compared; {nearest.label} {nearest.left}"
        if found is None:
            return f"nothing is known of what {nearest.label} or plain decoding names"
        pictures = self.outcome.race.rungs[-1].pictures
        return (
            f"the nearest was {nearest.label} with CHAIR_I {points(found)} on {pictures} pictures of the race, and it "
            f"is out: {nearest.left}"
        )

    def _shown(self, found: Mapping[str, Difference]) -> str:
        chair = found["chair_i"]
        said = [f"CHAIR_I {100 * chair.baseline:.1f} -> {100 * chair.other:.1f} % ({points(chair)})"]
        said += [
            f"{NAMES[name]} {points(one)}" for name, one in found.items() if name in ("recall", "words", "answers")
        ]
        return ", ".join(said)

    def _time(self, winner: str) -> str:
        cost = self.costs[winner]
        return ", time not measured" if cost.ratio is None else f", time {cost.told()}"

    def _says_less(self) -> str:
        found = self.outcome.final
        less = [name for name in ("words", "true") if name in found and found[name].high < 0]
        if not less:
            return ""
        said = " and ".join(f"{NAMES[name]} {points(found[name])}" for name in less)
        return f" It says less ({said}), which may be part of the fall."

    def record(self) -> dict[str, Any]:
        """Give everything for a JSON file."""
        outcome = self.outcome
        return {
            "verdict": self.sentence,
            "turn_on": outcome.turn_on,
            "method": self.chosen,
            "winner": outcome.race.winner,
            "final": {name: one.record() for name, one in outcome.final.items()},
            "guards": [
                {"name": guard.name, "asked": guard.told(), "held": guard not in outcome.broken}
                for guard in self.guards
                if guard.figure in outcome.final
            ],
            "budget": self.budget,
            "left_out": self.left_out,
            "looks": list(self.looks),
            "looked_with": list(dict.fromkeys([*self.guards_before, *[self.guards_asked] * bool(outcome.final)])),
            "costs": {label: cost.record() for label, cost in self.costs.items()},
            "race": race_record(outcome.race),
        } | ({} if self.known is None else {"judged": self.known.record()})


def race_record(race: Race) -> list[dict[str, Any]]:
    """Give the rungs for a JSON file."""
    return [
        {"pictures": rung.pictures, "methods": {one.label: _standing(one) for one in rung.standings}}
        for rung in race.rungs
    ]


def _standing(one: Standing) -> dict[str, Any]:
    return {"left": one.left or None, "differences": {name: it.record() for name, it in one.differences.items()}}


def points(found: Difference) -> str:
    """Give a difference with its interval: points of a share, percent of plain decoding's figure for a number."""
    return found.shown() if found.name in SHARES else found.shown(100 / (found.baseline or 1), unit=" %")
