"""Where each word looks: the picture, bright where the rows that predicted the word attended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from farsight.diagnose.diagnosis import Diagnosis
from farsight.diagnose.words import Word, image_share, looks, register_share
from farsight.report import charts

LOOKS_ALT = (
    "For each word the picture, bright where the rows that predicted it attended. Each picture has its own scale."
)
MARKS = {"true": "✓ ", "false": "✗ "}
COLUMNS = 10
SIDE, GAP, ABOVE, BELOW, HEADING = 1.0, 0.1, 0.24, 0.34, 0.34
"""Inches: a picture, and the space between, above (its word), below (its shares) and over each method."""
DARKEST = 0.25
"""Brightness of a patch without attention."""


def draw_looks(all_found: Sequence[Diagnosis], words: Mapping[str, Sequence[Word]]) -> Figure | None:
    """Draw words of each method's answer side by side, a row or more for each; None without words or a grid.

    Parameters
    ----------
    all_found
        The methods.
    words
        For each label the words to draw, in order.
    """
    if all_found[0].layout.grid is None or not any(words.values()):
        return None
    frames = all_found[0].layout.frames
    columns = max(1, min(COLUMNS // min(frames, COLUMNS), max(len(words[found.label]) for found in all_found)))
    lines = [math.ceil(len(words[found.label]) / columns) for found in all_found]
    wide, tall = frames * SIDE + GAP, SIDE + ABOVE + BELOW
    width = max(columns * wide + GAP, 3.0)
    height = sum(HEADING + tall * count for count in lines)
    with charts.figure(width, height) as drawn:
        drawn.set_layout_engine("none")  # every place is known, and finding it takes minutes where words are many
        top = height
        for found, count in zip(all_found, lines, strict=True):
            drawn.text(GAP / width, (top - 0.08) / height, found.label, fontweight="bold", fontsize=10, va="top")
            top -= HEADING
            for number, word in enumerate(words[found.label]):
                row, column = divmod(number, columns)
                left, bottom = GAP + column * wide, top - row * tall - ABOVE - SIDE
                place = (left / width, bottom / height, frames * SIDE / width, SIDE / height)
                _draw(drawn.add_axes(place), found, word)
            top -= tall * count
    return drawn


def _draw(axes: Axes, found: Diagnosis, word: Word) -> None:
    axes.imshow(overlay(found, word), aspect="auto")
    axes.set_axis_off()
    colour = {"true": charts.COLOURS[2], "false": charts.COLOURS[1]}.get(word.kind, charts.INK)
    below = f"image {100 * image_share(found, word):.0f} %"
    taken = register_share(found, word)
    if taken > 0.0005:
        below += f"\nreg. {100 * taken:.1f} %"
    mark = MARKS.get(word.kind, "")
    axes.set_title(
        f"{mark}{word.text}", loc="center", fontsize=8.5, color=colour, pad=3,
        fontweight="bold" if word.kind else "normal",
    )  # fmt: skip
    axes.text(0.5, -0.03, below, transform=axes.transAxes, ha="center", va="top", fontsize=7, color=charts.INK)


def overlay(found: Diagnosis, word: Word) -> NDArray[np.uint8]:
    """Shade what the model was shown, ``(height, frames x width, 3)``: the brighter, the more attention."""
    layout = found.layout
    assert layout.grid is not None
    maps = looks(found, word).reshape(layout.frames, *layout.grid)
    maps = maps / max(float(maps.max()), 1e-12)
    return np.concatenate([_shaded(one, at) for one, at in zip(layout.shown, maps, strict=True)], axis=1)


def _shaded(picture: Image.Image, attention: NDArray[np.floating]) -> NDArray[np.uint8]:
    picture = picture.convert("RGB")
    picture.thumbnail((256, 256))
    light = Image.fromarray((255 * attention).round().astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    brightness = DARKEST + (1 - DARKEST) * np.asarray(light, dtype=np.float64)[..., None] / 255
    return np.asarray((np.asarray(picture) * brightness).round(), dtype=np.uint8)
