"""EDVT: text at equal distance to all visual tokens (Vista-LLaMA, Ma et al., CVPR 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from farsight.methods.visual_positions import Rotation, VisualPositions


@dataclass(frozen=True, kw_only=True)
class EDVT(VisualPositions):
    """Text rows score visual keys without rotary embedding, ``q_i . k_j``; all other scores keep it.

    So every visual token is equally far from every word, however long the text has become.

    Parameters
    ----------
    strength
        From 0, the model's own scores (the plain model), to 1, the paper's.

    Raises
    ------
    SettingError
        If that is not a number in [0, 1].
    """

    name: ClassVar[str] = "edvt"
    paper: ClassVar[str] = "Ma et al., CVPR 2024, arXiv 2312.08870"

    def moved(self, key: Tensor, rotation: Rotation, visual: Tensor) -> Tensor:
        """Keys without their rotation; see `VisualPositions`."""
        return rotation.undo(key)
