"""Attention collapse as pictures."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from farsight.diagnose.collapse import TIMES_UNIFORM, heads, mean_entropy, times_uniform
from farsight.diagnose.diagnosis import Diagnosis, Floats
from farsight.report import charts

COLLAPSE_ALT = (
    "Four plots: attention that each token gets over its uniform share, by layer and slot; value norms against it; and "
    "by layer and head the largest share that one token gets and the entropy of rows. The tables have the strongest."
)


def draw_collapse(found: Diagnosis) -> Figure:
    """Draw what each token draws, its value norms, and the two figures of every head."""
    with charts.figure(11, 6.6) as drawn:
        (columns, norms), (top, entropy) = drawn.subplots(2, 2)
        _columns(columns, found)
        _norms(norms, found)
        largest = np.zeros((found.layers, found.arrays["kept"].shape[1]))
        for head in heads(found):
            largest[head.layer, head.head] = head.top_share
        heat(top, 100 * largest, "Share of a head's attention that its most read token gets", "share (%)")
        heat(entropy, 100 * mean_entropy(found), "Entropy of rows, over that of uniform attention", "entropy (%)")
        drawn.suptitle(f"Attention collapse: {found.label}", x=0.01, ha="left", fontweight="bold", fontsize=11)
    return drawn


def heat(axes: Axes, values: Floats, title: str, unit: str) -> None:
    """Draw a value for each layer and head, written into the cells where there is room."""
    shown = axes.imshow(values, cmap=charts.SHADES, aspect="auto", interpolation="nearest")
    axes.set(title=title, xlabel="head", ylabel="layer")
    axes.grid(visible=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    _figure(axes).colorbar(shown, ax=axes, label=unit)
    if values.size <= 64:
        middle = (float(values.min()) + float(values.max())) / 2
        for (layer, head), value in np.ndenumerate(values):
            ink = "white" if value < middle else charts.INK
            axes.text(head, layer, f"{value:.1f}", ha="center", va="center", color=ink, fontsize=8)


def spans(axes: Axes, found: Diagnosis) -> None:
    """Mark on an axis of slots where the visual tokens are, if there are any, and where the answer begins."""
    edges = [found.prompt_slots - 0.5]
    places = {"answer": (found.prompt_slots + found.arrays["kept"].shape[-1]) / 2}
    if len(visual := found.layout.visual):
        edges += [visual[0] - 0.5, visual[-1] + 0.5]
        places["image" if found.layout.frames == 1 else "video"] = (visual[0] + visual[-1]) / 2
    for at in edges:
        axes.axvline(at, color=charts.INK, linewidth=0.9, linestyle=(0, (3, 2)))
    for name, at in places.items():
        axes.annotate(name, (at, 1.01), xycoords=("data", "axes fraction"), ha="center", fontsize=8, color=charts.INK)


def _columns(axes: Axes, found: Diagnosis) -> None:
    ratio = times_uniform(found).mean(1)
    known = ratio[np.isfinite(ratio)]
    norm = LogNorm(vmin=max(float(known.min()), 0.01), vmax=max(float(known.max()), 2.0))
    shown = axes.imshow(ratio, cmap=charts.SHADES, norm=norm, aspect="auto", interpolation="nearest")
    axes.set_title("Attention that each token gets (white: too few rows read it)", pad=16)
    axes.set(xlabel="slot of the sequence (tokens)", ylabel="layer")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=False)
    spans(axes, found)
    bar = _figure(axes).colorbar(shown, ax=axes, label="times uniform (log)")
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _norms(axes: Axes, found: Diagnosis) -> None:
    ratio, norms = times_uniform(found).mean(1), found.arrays["value_norm"].mean(1)
    norms = norms / np.median(norms, axis=1, keepdims=True)
    kinds = np.full(ratio.shape[1], 1)
    kinds[found.layout.visual] = 0
    kinds[found.prompt_slots :] = 2
    for kind, (name, mark) in enumerate((("image", "o"), ("prompt", "s"), ("answer", "^"))):
        at = kinds == kind
        if not at.any():
            continue
        axes.plot(
            ratio[:, at].ravel(), norms[:, at].ravel(), mark, color=charts.colour(kind), markersize=3.5, alpha=0.55,
            label=name, markeredgewidth=0,
        )  # fmt: skip
    axes.axvline(TIMES_UNIFORM, color=charts.QUIET, linewidth=1, linestyle="--")
    axes.annotate(
        f" outlier: {TIMES_UNIFORM:g} times", (TIMES_UNIFORM, 0.97), xycoords=("data", "axes fraction"), fontsize=8,
        color=charts.INK, va="top",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    low, high = axes.get_xlim()
    axes.set_xlim(low, max(high, 2.5 * TIMES_UNIFORM))
    axes.set_ylim(0, 1.12 * float(np.nanmax(norms)))
    axes.set_title("Value norms of the tokens of all layers", pad=20)
    axes.set(xlabel="attention that a token gets (times uniform, log)", ylabel="value norm (layer's median = 1)")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, markerscale=1.6, borderpad=0, fontsize=8)


def _figure(axes: Axes) -> Figure:
    drawn = axes.get_figure(root=True)
    assert drawn is not None
    return drawn
