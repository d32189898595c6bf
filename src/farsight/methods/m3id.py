"""M3ID: contrast with no image, more and more as the text grows (Favero et al., CVPR 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.methods.contrast import ContrastiveMethod
from farsight.methods.prompt import Prompt, without_image
from farsight.setting_checks import check_share, check_strength, setting


@dataclass(frozen=True, kw_only=True)
class M3ID(ContrastiveMethod):
    """Multi-modal mutual-information decoding: what the image adds counts more the further the text has gone.

    With ``l_c`` and ``l_u`` the log-probabilities with and without the image, the ``t``-th generated token is drawn by
    ``l_c + [max l_c < log alpha] * (1 - exp(-decay * t)) / exp(-decay * t) * (l_c - l_u)``.

    Parameters
    ----------
    decay
        The rate lambda, per token, at which the image is forgotten. 0 is plain decoding.
    alpha
        The contrast is used only where the best token's probability is below this. 1: always.

    Raises
    ------
    SettingError
        If a value has no meaning; inside the block, if a prompt comes without an image.
    """

    name: ClassVar[str] = "m3id"
    paper: ClassVar[str] = "Favero et al., CVPR 2024, arXiv 2403.14003"
    changes: ClassVar[str] = "logits"
    extra_forwards: ClassVar[float] = 1.0
    own_prompt: ClassVar[bool] = True

    decay: float = setting(0.02, check_strength)
    alpha: float = setting(0.3, check_share)

    def branch_prompt(self, model: nn.Module, prompt: Prompt) -> Prompt:
        """Take the image out."""
        return without_image(model, prompt)

    def combined(self, own: Tensor, branch: Tensor, step: Tensor) -> Tensor:
        """Log-probabilities moved away from the text-only ones where the model is not sure."""
        with_image, without = own.log_softmax(dim=-1), branch.log_softmax(dim=-1)
        weight = torch.expm1(self.decay * step.to(own.dtype)).unsqueeze(-1)
        unsure = with_image.amax(dim=-1, keepdim=True).exp() < self.alpha
        return torch.where(unsure, with_image + weight * (with_image - without), with_image)
