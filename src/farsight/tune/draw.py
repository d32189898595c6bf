"""The race as a picture: a row for each method, a column for each rung, and one for the pictures that chose nothing."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from farsight.metrics.paired import Difference
from farsight.report import charts
from farsight.tune.race import Outcome, Standing
from farsight.tune.told import told

ON, OUT, WON, LOST = charts.COLOURS[0], charts.QUIET, charts.COLOURS[2], charts.COLOURS[1]
MEANT = {
    ON: "goes on",
    OUT: "leaves",
    WON: "on the others: turned on",
    LOST: "on the others: not turned on",
}
"""What the colours say."""


def draw_race(outcome: Outcome) -> Figure:
    """Draw the differences of CHAIR_I to plain decoding with their intervals, rung by rung, all on one scale."""
    labels, rungs = list(outcome.race.last), outcome.race.rungs
    columns = len(rungs) + bool(outcome.final)
    with charts.figure(max(3 + 2.4 * columns, 9), 1.6 + 0.27 * len(labels)) as drawn:
        axes = drawn.subplots(1, columns, sharex=True, sharey=True, squeeze=False)[0]
        for one, rung in zip(axes, rungs, strict=False):
            _rung(one, labels, rung.standings)
            one.set_title(f"{rung.pictures} pictures")
        shown = {OUT if one.left else ON for rung in rungs for one in rung.standings}
        if outcome.final and outcome.race.winner:
            colour = WON if outcome.turn_on else LOST
            shown.add(colour)
            _interval(axes[-1], labels.index(outcome.race.winner), outcome.final["chair_i"], colour)
            axes[-1].set_title(f"{outcome.final['chair_i'].items} others")
        for one in axes:
            one.axvline(0, color=charts.INK, linewidth=0.8)
            one.grid(visible=False, axis="y")
            one.grid(visible=True, axis="x")
        axes[0].set(yticks=range(len(labels)), yticklabels=map(told, labels), ylim=(len(labels) - 0.5, -0.5))
        drawn.supxlabel(f"CHAIR_I minus {outcome.baseline}'s, points; left of 0 is better", fontsize=9)
        lines = [
            Line2D([], [], color=colour, marker="o", markersize=4, label=MEANT[colour])
            for colour in MEANT
            if colour in shown
        ]
        drawn.legend(handles=lines, loc="outside upper left", ncols=len(lines), fontsize=9)
    return drawn


def _rung(axes: Axes, labels: Sequence[str], standings: Sequence[Standing]) -> None:
    for one in standings:
        if "chair_i" in one.differences:
            _interval(axes, labels.index(one.label), one.differences["chair_i"], OUT if one.left else ON)


def _interval(axes: Axes, place: int, found: Difference, colour: str) -> None:
    axes.plot([100 * found.low, 100 * found.high], [place, place], color=colour, linewidth=2)
    axes.plot(100 * found.value, place, "o", color=colour, markersize=4, zorder=3)  # in front of the line at 0
