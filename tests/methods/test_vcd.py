"""VCD against its equations: every step's two passes computed from scratch in float64."""

from __future__ import annotations

import math
from typing import Any

import contrasts
import models
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from farsight import SettingError, UnsupportedModelError
from farsight.methods.vcd import VCD, noised

METHOD = VCD(alpha=0.7, beta=0.05, noise_step=400, seed=5)


def reference(model: PreTrainedModel, method: VCD) -> contrasts.Reference:
    share = 1.0
    for step in range(method.noise_step + 1):
        share *= 1 - (1 / (1 + math.exp(6 - 12 * step / 999)) * (0.5e-2 - 1e-5) + 1e-5)

    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        drawn = torch.randn(prompt["pixel_values"].shape, generator=torch.Generator().manual_seed(method.seed))
        noise = drawn.double()
        lost = {**prompt, "pixel_values": math.sqrt(share) * prompt["pixel_values"] + math.sqrt(1 - share) * noise}
        own = contrasts.last_logits(model, prompt, tokens)
        other = contrasts.last_logits(model, lost, tokens)
        combined = (1 + method.alpha) * own - method.alpha * other
        combined[own < math.log(method.beta) + own.max()] = -math.inf
        return combined

    return logits


def test_the_noise_leaves_the_users_random_state_alone() -> None:
    model = models.llava()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with VCD()(model):
        contrasts.generated(model, models.prompt(model))
    assert torch.equal(torch.get_rng_state(), before)


def test_late_steps_leave_nothing_of_the_image() -> None:
    pixels = torch.full((1, 3, 64, 64), 5.0)
    kept = [float(noised(pixels, step, torch.Generator().manual_seed(0)).mean()) for step in (0, 500, 999)]
    assert kept[0] > 4.9 > kept[1] > kept[2] > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": -1},
        {"alpha": "1"},
        {"beta": 1.5},
        {"beta": True},
        {"noise_step": 1000},
        {"noise_step": 0.5},
        {"seed": -1},
    ],
)
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        VCD(**wrong)


def test_a_prompt_without_pixels_is_refused() -> None:
    model = models.llava()
    text = torch.arange(10, 16)[None]
    with VCD()(model), pytest.raises(SettingError, match="needs an image, and the prompt has none"):
        model.generate(input_ids=text, max_new_tokens=2)


def test_a_model_without_images_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="image"), VCD()(models.llama()):
        pass
