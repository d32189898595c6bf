"""M3ID against its equation: every step's two passes computed from scratch in float64."""

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
from farsight.methods.m3id import M3ID

METHOD = M3ID(decay=0.3, alpha=0.9)


def reference(model: PreTrainedModel, method: M3ID) -> contrasts.Reference:
    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        conditioned = contrasts.last_logits(model, prompt, tokens).log_softmax(-1)
        unconditioned = contrasts.last_logits(model, contrasts.without_image(prompt), tokens).log_softmax(-1)
        forgotten = math.exp(-method.decay * (len(tokens) + 1))
        if conditioned.max() < math.log(method.alpha):
            conditioned = conditioned + (1 - forgotten) / forgotten * (conditioned - unconditioned)
        return conditioned

    return logits


def test_a_sure_model_is_left_alone() -> None:
    model = contrasts.exact(models.llava)
    method = M3ID(decay=3.0, alpha=0.3)
    prompts = contrasts.two_prompts(model)
    plain = reference(contrasts.exact(models.llava), M3ID(decay=0.0))
    with method(model):
        out = contrasts.generated(model, contrasts.left_padded(prompts))
    expected = reference(contrasts.exact(models.llava), method)
    contrasts.check_every_step(out, prompts, expected)
    unsure = [plain(prompts[0], out.sequences[0, -6:][:step].tolist()).exp().max() < 0.3 for step in range(6)]
    assert 0 < sum(unsure) < len(unsure), "the threshold must divide these steps to be tested"


@pytest.mark.parametrize("wrong", [{"decay": -0.1}, {"decay": math.inf}, {"alpha": 2}, {"alpha": "high"}])
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        M3ID(**wrong)


def test_a_prompt_without_an_image_is_refused() -> None:
    model = models.llava()
    with M3ID()(model), pytest.raises(SettingError, match="image"):
        model.generate(input_ids=torch.arange(10, 16)[None], max_new_tokens=2)


def test_a_model_without_images_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="image"), M3ID()(models.llama()):
        pass
