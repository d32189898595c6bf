"""Positional decay and the flow from the picture as pictures, all methods together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from farsight.diagnose.collector import SOURCES
from farsight.diagnose.decay import fitted, frame_shares, image_shares, uniform_shares
from farsight.diagnose.diagnosis import Diagnosis
from farsight.report import charts

MOST_LAYERS = 8
SMOOTHED = 5
"""Tokens over which the thick curves are averaged; the thin ones are the shares themselves."""
DECAY_ALT = (
    "One plot for each layer: share of attention on the picture, or on the prompt where there is none, against the "
    "position of the generated token, for each method, with its fitted line and the control of uniform attention. The "
    "table has the slopes with intervals."
)
FLOW_ALT = (
    "Attention rollout: the share of the answer's rows that stems from the picture, or from the prompt where there is "
    "none, layer by layer, for each method, and for the first method by position."
)
FRAMES_ALT = "For each method: attention on each frame of the video against the position of the generated token."


def chosen_layers(layers: int, most: int = MOST_LAYERS) -> list[int]:
    """Give the layers that are drawn: all, or so many at equal distances with the first and the last."""
    return sorted({round(at) for at in np.linspace(0, layers - 1, min(layers, most))})


def draw_decay(all_found: Sequence[Diagnosis]) -> Figure:
    """Draw shares on the picture, or else the prompt, by position; a plot for each layer."""
    subject = all_found[0].layout.subject
    layers = chosen_layers(all_found[0].layers)
    columns = min(4, len(layers)) if len(layers) != 4 else 2
    rows = math.ceil(len(layers) / columns)
    with charts.figure(11, 0.9 + 2.5 * rows) as drawn:
        grid = drawn.subplots(rows, columns, sharex=True, squeeze=False)
        for axes, layer in zip(grid.flat, layers, strict=False):
            for number, found in enumerate(all_found):
                _curve(axes, found, layer, number)
            longest = max(all_found, key=lambda one: len(one.pieces))
            control = uniform_shares(longest)[layer]
            x = range(1, len(control) + 1)
            axes.plot(x, control, color=charts.INK, linestyle=(0, (1, 1.2)), linewidth=1.8, label="uniform attention")
            axes.set_title(f"Layer {layer}")
            charts.in_percent(axes)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in list(grid.flat)[len(layers) :]:
            axes.set_visible(False)
        for axes in list(grid.flat)[max(0, len(layers) - columns) : len(layers)]:
            axes.set_xlabel("position of the generated token")
        drawn.supylabel(f"attention on the {subject} (share of a row, mean over heads)", fontsize=9)
        drawn.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        drawn.suptitle(
            f"Positional decay of attention on the {subject}", x=0.01, ha="left", fontweight="bold", fontsize=11
        )
    return drawn


def draw_frames(all_found: Sequence[Diagnosis]) -> Figure:
    """Draw the share of each frame of a video by position, mean over layers; a plot for each method."""
    with charts.figure(11, 0.5 + 2.1 * len(all_found)) as drawn:
        grid = drawn.subplots(len(all_found), 1, squeeze=False, sharex=True)
        shares = [100 * frame_shares(found).mean(0).T for found in all_found]
        most = max(float(one.max()) for one in shares)
        for axes, found, share in zip(grid.flat, all_found, shares, strict=True):
            extent = (0.5, share.shape[1] + 0.5, share.shape[0] - 0.5, -0.5)
            shown = axes.imshow(
                share, cmap=charts.SHADES, vmin=0, vmax=most, aspect="auto", interpolation="nearest", extent=extent
            )
            axes.set(title=f"Attention on each frame: {found.label}", ylabel="frame")
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(visible=False)
            drawn.colorbar(shown, ax=axes, label="share of a row (%)")
        grid.flat[-1].set_xlabel("position of the generated token")
    return drawn


def draw_flow(all_found: Sequence[Diagnosis]) -> Figure:
    """Draw how much of the answer's rows stems from the picture, or else the prompt, layer by layer."""
    first = all_found[0]
    subject = first.layout.subject
    source = SOURCES.index("image" if subject == "picture" else "prompt")
    with charts.figure(11, 3.4) as drawn:
        lines, by_position = drawn.subplots(1, 2)
        for number, found in enumerate(all_found):
            flow = found.arrays["flow"][:, source, found.answering].mean(1)
            lines.plot(
                range(len(flow)), flow, charts.line(number), color=charts.colour(number), marker="o", markersize=4,
                label=found.label,
            )  # fmt: skip
        lines.set(title=f"Share of an answer's row that stems from the {subject}", xlabel="layers passed")
        lines.xaxis.set_major_locator(MaxNLocator(integer=True))
        charts.in_percent(lines)
        lines.set_ylim(top=1.3 * max(line.get_ydata().max() for line in lines.lines))
        lines.legend(loc="upper left", ncols=2)
        values = 100 * first.arrays["flow"][1:, source, first.answering]
        extent = (0.5, values.shape[1] + 0.5, len(values) + 0.5, 0.5)
        shown = by_position.imshow(
            values, cmap=charts.SHADES, vmin=0, aspect="auto", interpolation="nearest", extent=extent
        )
        by_position.set(
            title=f"The same by position: {first.label}", xlabel="position of the generated token",
            ylabel="layers passed",
        )  # fmt: skip
        by_position.yaxis.set_major_locator(MaxNLocator(integer=True))
        by_position.grid(visible=False)
        drawn.colorbar(shown, ax=by_position, label="share (%)")
    return drawn


def _curve(axes: Axes, found: Diagnosis, layer: int, number: int) -> None:
    shares = image_shares(found)[layer]
    x = np.arange(1, len(shares) + 1)
    colour = charts.colour(number)
    axes.plot(x, shares, color=colour, linewidth=0.6, alpha=0.3)
    if len(shares) >= SMOOTHED:
        smooth = np.convolve(shares, np.full(SMOOTHED, 1 / SMOOTHED), mode="valid")
        x_smooth = x[SMOOTHED // 2 : SMOOTHED // 2 + len(smooth)]
        axes.plot(x_smooth, smooth, charts.line(number), color=colour, linewidth=1.6, label=found.label)
    else:
        axes.plot(x, shares, charts.line(number), color=colour, linewidth=1.6, label=found.label)
    slope = fitted(shares).value / 10
    if np.isfinite(slope):
        axes.plot(x, shares.mean() + slope * (x - x.mean()), color=colour, linewidth=0.9)
