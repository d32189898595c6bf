"""PAI against its equations: every step's two passes computed from scratch in float64."""

from __future__ import annotations

import math
from typing import Any

import contrasts
import models
import pytest
import torch
from literal_attention import Literal, literally
from torch import Tensor
from transformers import PreTrainedModel

from farsight import SettingError, UnsupportedModelError
from farsight.methods.pai import PAI

METHOD = PAI(alpha=0.6, gamma=1.5, beta=0.05, start_layer=1, end_layer=2)
UNCONSTRAINED = PAI(alpha=1.0, gamma=1.0, beta=0.0, start_layer=0)


def reference(model: PreTrainedModel, method: PAI) -> contrasts.Reference:
    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        ids = prompt["input_ids"][0]
        image = [slot for slot, token in enumerate(ids.tolist()) if token == models.IMAGE_TOKEN]

        def amplify(layer: int, scores: Tensor) -> Tensor:
            scores = scores.clone()
            if method.start_layer <= layer < (method.end_layer or 2):
                for row in range(len(ids) - 1, scores.shape[2]):
                    for slot in image:
                        scores[:, :, row, slot] += method.alpha * scores[:, :, row, slot].abs()
            return scores

        with literally(model, Literal(change=amplify)):
            own = contrasts.last_logits(model, prompt, tokens).log_softmax(-1)
        alone = contrasts.last_logits(model, contrasts.without_image(prompt), tokens).log_softmax(-1)
        refined = method.gamma * own - (method.gamma - 1) * alone
        if method.beta:
            refined[own < math.log(method.beta) + own.max()] = -math.inf
        return refined

    return logits


@pytest.mark.parametrize(
    "wrong", [{"alpha": -1}, {"gamma": 0.5}, {"beta": 2}, {"start_layer": -1}, {"end_layer": 2}, {"end_layer": 2.5}]
)
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        PAI(**wrong)


@pytest.mark.parametrize("method", [PAI(), PAI(start_layer=0, end_layer=3)])
def test_layers_that_the_model_has_not_are_refused(method: PAI) -> None:
    with pytest.raises(SettingError, match="end_layer"), method(models.llava()):
        pass


def test_what_has_no_image_is_refused() -> None:
    method = PAI(start_layer=0)
    with pytest.raises(UnsupportedModelError, match="image"), method(models.llama()):
        pass
    model = models.llava()
    with method(model), pytest.raises(SettingError, match="image"):
        model.generate(input_ids=torch.arange(10, 16)[None], max_new_tokens=2)
