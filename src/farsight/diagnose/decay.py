"""Positional decay: how attention leaves the picture, or the prompt, as the answer grows (FarSight, figure 3).

Softmax alone makes the share fall: with every token there is more text to attend to and not more picture. So each
curve has a control, the share of a row that attends equally to all that it may read, and a second slope, of the share
over it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farsight.diagnose.diagnosis import Diagnosis, Floats
from farsight.metrics.paired import interval

BLOCK = 8
"""Neighbouring tokens that are drawn together: their shares are not independent."""
DRAWS = 1000
PER_TOKENS = 10
LEAST_TOKENS = 2 * BLOCK


@dataclass(frozen=True, kw_only=True)
class Slope:
    """A line fitted to shares, per ten tokens, with a 95 % interval; the interval is NaN for short answers."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class LayerDecay:
    """The decay in one layer."""

    layer: int
    mean: float
    """Mean share on the picture, or else the prompt."""
    share: Slope
    """In shares (not percent) per ten tokens"""
    uniform: Slope
    """Of the control; it is no estimate, so its interval is the point itself"""
    over_uniform: Slope
    """Of share over control, per ten tokens"""


def image_shares(found: Diagnosis) -> Floats:
    """Share of the rows that predict each answer token on `Layout.context`, mean over heads, ``(layers, tokens)``."""
    return np.asarray(found.arrays["image"].mean(1)[:, found.answering])


def uniform_shares(found: Diagnosis) -> Floats:
    """The control: shares of rows that attend equally to all that they may read, ``(layers, tokens)``."""
    return np.asarray(found.arrays["uniform"][:, found.answering])


def frame_shares(found: Diagnosis) -> Floats:
    """Share of each frame of a video, mean over heads, ``(layers, tokens, frames)``."""
    maps = found.arrays["maps"]
    return np.asarray(maps.reshape(*maps.shape[:2], found.layout.frames, -1).sum(-1))


def decay(found: Diagnosis, seed: int = 0) -> list[LayerDecay]:
    """Fit lines to the shares of each layer; intervals from a moving-block bootstrap over the answer's tokens."""
    shares, uniform = image_shares(found), uniform_shares(found)
    return [
        LayerDecay(
            layer=layer,
            mean=float(shares[layer].mean()),
            share=fitted(shares[layer], seed),
            uniform=_exact(uniform[layer]),
            over_uniform=fitted(shares[layer] / uniform[layer], seed),
        )
        for layer in range(found.layers)
    ]


def fitted(values: NDArray[np.floating], seed: int = 0) -> Slope:
    """Fit a line by least squares to a value for each token of an answer, ``(tokens,)``."""
    x = np.arange(1, len(values) + 1, dtype=np.float64)
    slope = float(_slopes(x[None], np.asarray(values, dtype=np.float64)[None])[0])
    if len(values) < LEAST_TOKENS:
        return Slope(value=slope, low=np.nan, high=np.nan)
    dice = np.random.default_rng(seed)
    blocks = -(-len(values) // BLOCK)
    starts = dice.integers(0, len(values) - BLOCK + 1, size=(DRAWS, blocks))
    drawn = (starts[..., None] + np.arange(BLOCK)).reshape(DRAWS, -1)[:, : len(values)]
    low, high = interval(_slopes(x[drawn], np.asarray(values, dtype=np.float64)[drawn]))
    return Slope(value=slope, low=low, high=high)


def _exact(values: NDArray[np.floating]) -> Slope:
    x = np.arange(1, len(values) + 1, dtype=np.float64)
    slope = float(_slopes(x[None], np.asarray(values, dtype=np.float64)[None])[0])
    return Slope(value=slope, low=slope, high=slope)


def _slopes(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares slopes per ten tokens, ``(draws,)``."""
    centred = x - x.mean(1, keepdims=True)
    spread = np.square(centred).sum(1)
    slopes: NDArray[np.float64] = PER_TOKENS * (centred * y).sum(1) / np.where(spread > 0, spread, np.nan)
    return slopes
