"""OPERA's over-trust: how much the newest rows of attention pile up on one column, and which column that is."""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor

UNIT = 1e-7
"""The published code's factor on the column product"""
LARGEST = 65504.0
"""The largest penalty: that of float16, in which the published code keeps it"""


def local_row(weights: Tensor) -> Tensor:
    """Take the maximum over heads of a row, scaled to sum 1: ``(batch, heads, keys)`` to ``(batch, keys)``."""
    highest = weights.amax(1)
    return highest / highest.sum(-1, keepdim=True)


def extended_columns(columns: Tensor, row: Tensor, scale_factor: float) -> Tensor:
    """Multiply a new row into the products of its columns.

    Parameters
    ----------
    columns
        Logs of ``prod_i sigma w[i, j]`` over the rows ``i >= j`` of the new tokens so far, ``(batch, new tokens)``.
    row
        The row of one more new token, ``(batch, keys)``, the newest key last; keys left out on the left have no weight.
    scale_factor
        The paper's ``sigma``, by which each weight is multiplied.

    Returns
    -------
    Tensor
        The logs with the new row and its own column, ``(batch, new tokens + 1)``.
    """
    new = columns.shape[1] + 1
    own = row[:, -new:]
    own = torch.nn.functional.pad(own, (new - own.shape[1], 0))
    return torch.nn.functional.pad(columns, (0, 1)) + own.log() + math.log(scale_factor)


def over_trust(columns: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Find the largest product among the newest ``window`` columns: the penalty, and where it is.

    ``columns`` is ``(..., new tokens)``; the penalty is ``min(1e-7 max_j prod_i sigma w[i, j], 65504)``.
    """
    largest, place = columns[..., -window:].max(-1)
    penalty = (largest + math.log(UNIT)).clamp(max=math.log(LARGEST)).exp()
    return penalty, place + max(0, columns.shape[-1] - window)


def image_share(row: Tensor, image: Tensor, new: int) -> Tensor:
    """Share of a row ``(batch, keys)`` that reads image tokens, ``(batch,)``.

    ``image`` marks them among the prompt's slots, ``(slots,)``; ``new`` keys on the right of the row are new tokens.
    """
    of_prompt = row[:, : row.shape[1] - new]
    return (of_prompt * image[len(image) - of_prompt.shape[1] :]).sum(-1)


def most_frequent(values: list[int]) -> int:
    """Give the most frequent value, the smallest of several."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))
