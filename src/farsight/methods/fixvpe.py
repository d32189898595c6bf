"""FixVPE: visual tokens keep their place in front of the growing text (a control of Vista-LLaMA and FarSight)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from farsight.methods.visual_positions import Rotation, VisualPositions


@dataclass(frozen=True, kw_only=True)
class FixVPE(VisualPositions):
    """Text rows score visual keys at the distance at which the first text after the image saw them.

    ``s[i,j] = (R(p_r) q_i) . (R(p_j) k_j)`` with ``r`` the first text slot after visual token ``j``: the image neither
    moves away as the text grows, nor loses the order of its tokens.

    Parameters
    ----------
    strength
        From 0, the model's own scores (the plain model), to 1, the fixed ones.

    Raises
    ------
    SettingError
        If that is not a number in [0, 1].
    """

    name: ClassVar[str] = "fixvpe"
    paper: ClassVar[str] = "a row of table 2 of Tang et al., CVPR 2025, arXiv 2505.16652"

    def moved(self, key: Tensor, rotation: Rotation, visual: Tensor) -> Tensor:
        """Keys turned back by the rotation of the text after them; see `VisualPositions`."""
        return rotation.at(next_text(visual)).undo(key)


def next_text(visual: Tensor) -> Tensor:
    """Index of the first text slot at or after each slot, ``(batch, slots)``; the slot itself where none follows."""
    slots = torch.arange(visual.shape[1], device=visual.device).expand_as(visual)
    text = torch.where(visual, visual.shape[1], slots)
    following = text.flip(1).cummin(1).values.flip(1)
    return torch.where(following < visual.shape[1], following, slots)
