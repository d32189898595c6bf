"""Registers at work as pictures: what they absorb, and what a sigma could absorb on this model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from farsight.diagnose.absorption import SIGMAS, absorbed, shares_of_sigmas
from farsight.diagnose.diagnosis import Diagnosis
from farsight.diagnose.draw_collapse import heat, spans
from farsight.diagnose.draw_decay import chosen_layers
from farsight.registers import PAPER_SIGMA
from farsight.report import charts

ABSORBED_ALT = (
    "Two plots: share of attention that the registers absorbed, by layer and head, and by slot of the sequence for "
    "each layer. The arrays have every row."
)
POSSIBLE_ALT = (
    "Two plots: the distribution of log Z by layer, with the log register mass of several sigmas; and the share that "
    "registers of each sigma would absorb, mean over heads and rows with the range of heads. The table has the figures."
)


def draw_absorbed(found: Diagnosis) -> Figure:
    """Draw the share that registers took, by head and by position."""
    share = absorbed(found)
    with charts.figure(11, 3.6) as drawn:
        by_head, by_slot = drawn.subplots(1, 2)
        heat(by_head, 100 * share.mean(-1), "Absorbed by the registers, mean over rows", "share of a row (%)")
        for number, layer in enumerate(chosen_layers(found.layers, 4)):
            by_slot.plot(
                share[layer].mean(0), charts.line(number), color=charts.colour(number), label=f"layer {layer}",
                linewidth=1.3,
            )  # fmt: skip
        by_slot.set_title("Absorbed, by place in the sequence", pad=32)
        by_slot.set(xlabel="slot of the sequence (tokens)", ylabel="share of a row (mean over heads)")
        charts.in_percent(by_slot)
        spans(by_slot, found)
        by_slot.legend(loc="lower left", bbox_to_anchor=(0.0, 1.06), ncols=4, borderpad=0, fontsize=8)
        drawn.suptitle(f"Registers at work: {found.label}", x=0.01, ha="left", fontweight="bold", fontsize=11)
    return drawn


def draw_possible(found: Diagnosis) -> Figure:
    """Draw ``log Z`` by layer against the register mass of several sigmas, and what these would absorb."""
    with charts.figure(11, 3.8) as drawn:
        levels, shares = drawn.subplots(1, 2)
        _levels(levels, found)
        _shares(shares, found, SIGMAS)
    return drawn


def _levels(axes: Axes, found: Diagnosis) -> None:
    lse = found.arrays["lse"]
    layers = chosen_layers(found.layers, 16)
    axes.boxplot(
        [lse[layer].ravel() for layer in layers], whis=(1, 99), showfliers=False, widths=0.55,
        medianprops={"color": charts.COLOURS[0], "linewidth": 2}, boxprops={"color": charts.INK},
        whiskerprops={"color": charts.QUIET}, capprops={"color": charts.QUIET},
    )  # fmt: skip
    for sigma in (PAPER_SIGMA, 0.1, 0.01):
        log_mass = -np.log(np.expm1(sigma))
        axes.axhline(log_mass, color=charts.COLOURS[1], linewidth=1, linestyle="--")
        axes.annotate(
            f"σ = {sigma:g}", (1.01, log_mass), xycoords=("axes fraction", "data"), va="center", fontsize=8,
            color=charts.COLOURS[1],
        )  # fmt: skip
    axes.set_xticklabels([str(layer) for layer in layers])
    axes.set(
        title="log Z of the rows (boxes), log R of the registers (lines)", xlabel="layer",
        ylabel="log (nats); whiskers: 1 % to 99 %",
    )  # fmt: skip


def _shares(axes: Axes, found: Diagnosis, sigmas: Sequence[float]) -> None:
    shares = shares_of_sigmas(found, sigmas)
    per_head = shares.reshape(len(sigmas), -1)
    axes.fill_between(
        sigmas, per_head.min(1), per_head.max(1), color=charts.COLOURS[0], alpha=0.15, linewidth=0, label="all heads"
    )
    axes.plot(sigmas, per_head.mean(1), "o-", color=charts.COLOURS[0], markersize=4, label="mean over heads")
    axes.axvline(PAPER_SIGMA, ymax=0.6, color=charts.QUIET, linewidth=1, linestyle="--")
    axes.annotate("the paper's ", (PAPER_SIGMA, 0.55), xycoords=("data", "axes fraction"), ha="right", fontsize=8)
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.xaxis.set_major_locator(FixedLocator(list(sigmas)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set(title="What registers of each σ would absorb here", xlabel="σ (per slot, log; absorbs more to the right)")
    axes.set_ylabel("share of a row (mean over rows)")
    charts.in_percent(axes)
    axes.legend(loc="upper left")
