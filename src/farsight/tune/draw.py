"""The race as a picture: a row for each method, a column for each rung, and one for the pictures that chose nothing."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from farsight.metrics.paired import Difference
from farsight.report import charts
from farsight.tune.race import Outcome, Standing

ON, OUT, WINNER = charts.COLOURS[0], charts.QUIET, charts.COLOURS[2]


def order(outcome: Outcome) -> list[str]:
    """Give the methods that raced by how far they came, the winner first."""
    found: list[str] = []
    for rung in reversed(outcome.race.rungs):
        found += [one.label for one in rung.standings if one.label not in found]
    return found


def draw_race(outcome: Outcome) -> Figure:
    """Draw the differences of CHAIR_I to plain decoding with their intervals, rung by rung."""
    labels, rungs = order(outcome), outcome.race.rungs
    columns = len(rungs) + bool(outcome.final)
    with charts.figure(3 + 2.4 * columns, 1.3 + 0.27 * len(labels)) as drawn:
        axes = drawn.subplots(1, columns, sharey=True, squeeze=False)[0]
        for one, rung in zip(axes, rungs, strict=False):
            _rung(one, labels, rung.standings)
            one.set_title(f"{rung.pictures} pictures")
        if outcome.final and outcome.race.winner:
            colour = WINNER if outcome.turn_on else OUT
            _interval(axes[-1], labels.index(outcome.race.winner), outcome.final["chair_i"], colour)
            axes[-1].set_title(f"{outcome.final['chair_i'].items} others")
        for one in axes:
            one.axvline(0, color=charts.INK, linewidth=0.8)
            one.grid(visible=False, axis="y")
            one.grid(visible=True, axis="x")
        axes[0].set(yticks=range(len(labels)), yticklabels=labels, ylim=(len(labels) - 0.5, -0.5))
        drawn.supxlabel(f"CHAIR_I minus {outcome.baseline}'s, points", fontsize=9)
    return drawn


def _rung(axes: Axes, labels: Sequence[str], standings: Sequence[Standing]) -> None:
    for one in standings:
        if "chair_i" in one.differences:
            _interval(axes, labels.index(one.label), one.differences["chair_i"], OUT if one.left else ON)


def _interval(axes: Axes, place: int, found: Difference, colour: str) -> None:
    axes.plot([100 * found.low, 100 * found.high], [place, place], color=colour, linewidth=2)
    axes.plot(100 * found.value, place, "o", color=colour, markersize=4)
