"""Attention collapse: which tokens draw attention from everywhere, and which heads give it (FarSight, section 3).

Self-attention is accumulated column by column, as in OPERA and in the paper. Early columns are read by more rows, so
each sum is divided by what the column would get if every row attended equally to all that it may read. An *outlier*
gets many times that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farsight.diagnose.diagnosis import Diagnosis, Floats

TIMES_UNIFORM = 5.0
"""An outlier gets at least so many times a uniform share, in the mean over a layer's heads."""
LEAST_EXPECTED = 0.25
"""Columns that uniform attention would give less than this much (of one row) are read by too few rows to tell."""


@dataclass(frozen=True, kw_only=True)
class Outlier:
    """A token that draws attention."""

    layer: int
    slot: int
    name: str
    """Its text, or which patch of the picture it is."""
    times_uniform: float
    share: float
    """Of all attention of the layer, in its mean over heads."""
    norm_ratio: float
    """Length of its value vector over the median of the layer's tokens, mean over heads."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """One head, ranked by how much of its attention its layer's outliers get, or else its own most read token."""

    layer: int
    head: int
    outlier_share: float
    top_share: float
    """Share that its most read token gets."""
    top: str
    entropy: float
    """Mean over rows, as a share of the entropy of uniform attention."""
    image: float
    """Mean share of the answer's rows on the picture, or else the prompt."""


def times_uniform(found: Diagnosis) -> Floats:
    """What each token gets over its uniform share, ``(layers, heads, slots)``; NaN where too few rows read it."""
    expected = found.arrays["expected"][:, None]
    ratio = found.arrays["received"] / np.where(expected >= LEAST_EXPECTED, expected, np.nan)
    return np.asarray(ratio)


def outlier_slots(found: Diagnosis) -> NDArray[np.bool_]:
    """Which tokens are outliers of each layer, ``(layers, slots)``."""
    return np.asarray(np.nan_to_num(times_uniform(found).mean(1)) >= TIMES_UNIFORM)


def outliers(found: Diagnosis, most: int = 3) -> list[Outlier]:
    """Give the tokens of each layer that draw most over their uniform share, outliers or not, strongest first."""
    ratio, received = np.nan_to_num(times_uniform(found).mean(1)), found.arrays["received"].mean(1)
    norms = found.arrays["value_norm"].mean(1)
    return [
        Outlier(
            layer=layer,
            slot=int(slot),
            name=name_of_slot(found, int(slot)),
            times_uniform=float(ratio[layer, slot]),
            share=float(received[layer, slot] / received[layer].sum()),
            norm_ratio=float(norms[layer, slot] / np.median(norms[layer])),
        )
        for layer in range(found.layers)
        for slot in np.argsort(-ratio[layer])[:most]
    ]


def heads(found: Diagnosis) -> list[Head]:
    """Rank the heads of all layers by the share of their attention that outliers get."""
    received, drawn = found.arrays["received"], outlier_slots(found)
    shares = received / received.sum(-1, keepdims=True)
    uniform = np.log(_readable(found)).clip(min=1e-9)
    ranked = [
        Head(
            layer=layer,
            head=head,
            outlier_share=float(shares[layer, head][drawn[layer]].sum()),
            top_share=float(shares[layer, head].max()),
            top=name_of_slot(found, int(shares[layer, head].argmax())),
            entropy=float((found.arrays["entropy"][layer, head, 1:] / uniform[layer, 1:]).mean()),
            image=float(found.arrays["image"][layer, head, found.answering].mean()),
        )
        for layer in range(shares.shape[0])
        for head in range(shares.shape[1])
    ]
    return sorted(ranked, key=lambda one: (-one.outlier_share, -one.top_share))


def _readable(found: Diagnosis) -> Floats:
    """How many tokens a causal row reads, ``(layers, slots)``; windows are not taken into account."""
    slots = found.arrays["kept"].shape[-1]
    return np.broadcast_to(np.arange(1, slots + 1, dtype=np.float64), (found.layers, slots))


def name_of_slot(found: Diagnosis, slot: int) -> str:
    """Say which token a slot holds: its text, or where on the picture it is."""
    layout = found.layout
    place = int(np.searchsorted(layout.visual, slot))
    if place >= len(layout.visual) or layout.visual[place] != slot:
        where = "prompt" if slot < found.prompt_slots else "answer"
        return f"{found.tokens[slot].strip() or repr(found.tokens[slot])} ({where} {slot})"
    frame, patch = divmod(place, len(layout.visual) // layout.frames)
    at = (
        f"patch {patch}"
        if layout.grid is None
        else f"patch row {patch // layout.grid[1]}, column {patch % layout.grid[1]}"
    )
    return at if layout.frames == 1 else f"frame {frame}, {at}"


def mean_entropy(found: Diagnosis) -> Floats:
    """Entropy of each head's rows as a share of that of uniform attention, ``(layers, heads)``."""
    uniform = np.log(_readable(found))[:, None, 1:]
    return np.asarray((found.arrays["entropy"][..., 1:] / uniform).mean(-1))
