"""VCD: contrast with the same prompt on a noised image (Leng et al., CVPR 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from farsight.errors import SettingError
from farsight.logit_rules import contrast, plausible
from farsight.methods.contrast import ContrastiveMethod
from farsight.methods.prompt import Prompt
from farsight.setting_checks import check_share, check_strength, setting, whole

_GRIDS = {"pixel_values": "image_grid_thw", "pixel_values_videos": "video_grid_thw"}
"""Pixels that some models take as the patches of all images in one piece, and what says how many each image has."""
_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class VCD(ContrastiveMethod):
    """Visual contrastive decoding: what the model would say to a picture lost in noise is taken off its logits.

    ``softmax((1 + alpha) * logits(y | image) - alpha * logits(y | noised image))`` (eq. 3), among the tokens with at
    least ``beta`` times the probability of the model's best token (eq. 4). The image is noised by the forward process
    of a diffusion: ``sqrt(a_t) * image + sqrt(1 - a_t) * noise`` (eq. 2).

    Parameters
    ----------
    alpha
        Strength of the contrast. 0 with ``beta = 0`` is plain decoding.
    beta
        Least share of the best token's probability that keeps a token.
    noise_step
        How far the image is noised, from 0 to 999 of 1000 steps.
    seed
        Of the noise, which is drawn from a generator of its own.

    Raises
    ------
    SettingError
        If a value has no meaning; inside the block, if a prompt comes without pixels.
    """

    name: ClassVar[str] = "vcd"
    paper: ClassVar[str] = "Leng et al., CVPR 2024, arXiv 2311.16922"
    changes: ClassVar[str] = "logits"
    extra_forwards: ClassVar[float] = 1.0

    alpha: float = setting(1.0, check_strength)
    beta: float = setting(0.1, check_share)
    noise_step: int = setting(500, whole(0, _STEPS - 1))
    seed: int = setting(0, whole(0, 2**63 - 1))

    def branch_prompt(self, model: nn.Module, prompt: Prompt) -> Prompt:
        """Noise the pixels of the prompt."""
        media = {
            name: self._noised(value, prompt.media.get(_GRIDS.get(name, name))) if _is_pixels(name, value) else value
            for name, value in prompt.media.items()
        }
        if not any(_is_pixels(name, value) for name, value in media.items()):
            raise SettingError("vcd distorts the image, and this prompt has no pixels: pass pixel_values")
        return replace(prompt, media=media)

    def _noised(self, pixels: Tensor, grids: Tensor | None) -> Tensor:
        """Noise each image with the same noise, so that it does not depend on the batch.

        ``pixels`` are ``(images, ..., height, width)``, or ``(patches, width)`` of images one after the other, whose
        ``grids`` ``(images, 3)`` say how many patches each has.
        """
        lengths = [1] * len(pixels) if pixels.dim() > 2 or grids is None else grids.prod(-1).tolist()
        images = pixels.split(lengths)
        return torch.cat([noised(i, self.noise_step, torch.Generator().manual_seed(self.seed)) for i in images])

    def combined(self, own: Tensor, branch: Tensor, step: Tensor) -> Tensor:
        """Eq. 3 and 4."""
        return plausible(contrast(own, branch, self.alpha), own, self.beta)


def noised(pixels: Tensor, step: int, generator: torch.Generator) -> Tensor:
    """Noise pixels as a diffusion does up to ``step`` of 1000, with betas that rise as a sigmoid from 1e-5 to 5e-3."""
    rising = torch.sigmoid(torch.linspace(-6, 6, _STEPS, dtype=torch.float64))
    share = float((1 - (rising * (0.5e-2 - 1e-5) + 1e-5)).cumprod(dim=0)[step])
    noise = torch.randn(pixels.shape, generator=generator, dtype=torch.float32).to(pixels)
    return pixels * math.sqrt(share) + noise * math.sqrt(1 - share)


def _is_pixels(name: str, value: Any) -> bool:
    return "pixel_values" in name and isinstance(value, Tensor) and value.is_floating_point()
