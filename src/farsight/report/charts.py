"""How our plots look, and how they get into a file or a page.

Matplotlib draws them: it is what the field uses and needs no browser. Nothing here touches pyplot's global state.
"""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0b6fb8", "#d1541f", "#0d8a66", "#a2508f", "#c98a00", "#5b6b7a")
"""Told apart also by colour-blind readers; one for each method, in order."""
STROKES = ("-", "--", "-.", ":")
SHADES = "cividis"
"""Dark to light without a turn, so that it reads in grey."""
INK = "#1f2933"
QUIET = "#8a949e"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e4e8ec",
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "farsight",
}


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure in our style, in inches."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def colour(number: int) -> str:
    """Give the colour of the n-th method."""
    return COLOURS[number % len(COLOURS)]


def line(number: int) -> str:
    """Give the stroke of the n-th method, by which lines are told apart in grey."""
    return STROKES[number % len(STROKES)]


BETTER, WORSE = COLOURS[2], COLOURS[1]


def differences(axes: Axes, found: Sequence[tuple[float, float, float]], *, better: int) -> None:
    """Draw differences with their intervals (low, value, high), one below the other.

    Parameters
    ----------
    axes
        The axes to draw on.
    found
        The differences as ``(low, value, high)``.
    better
        1 if more is better, -1 if less is, 0 if neither: by it intervals that leave out 0 have their colour.
    """
    colours = {-1: WORSE, 0: INK, 1: BETTER}
    for number, (low, value, high) in enumerate(found):
        side = (low > 0) - (high < 0)
        sure = colours[better * side] if side else QUIET
        axes.plot([low, high], [number, number], color=sure, linewidth=2)
        axes.plot(value, number, "o", color=sure, markersize=4)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set(yticks=range(len(found)), ylim=(len(found) - 0.5, -0.5))
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")


def in_percent(axes: Axes) -> None:
    """Label the shares of the y axis in percent, from 0."""
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def image(drawn: Figure, format: Literal["png", "svg", "pdf"] = "png") -> bytes:
    """Render a figure; the same figure gives the same bytes."""
    buffer = BytesIO()
    changing = {"png": "Software", "svg": "Date", "pdf": "CreationDate"}[format]
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # names may have letters that the font lacks
        drawn.savefig(buffer, format=format, dpi=160, metadata={changing: None})
    return buffer.getvalue()


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """Put a picture into a link, for pages that must work alone."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
