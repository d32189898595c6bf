"""AvisC against its equations: every step's two passes computed from scratch in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import contrasts
import models
import pytest
import torch
from literal_attention import Literal, literally
from torch import Tensor
from transformers import PreTrainedModel

from farsight import SettingError, UnsupportedModelError
from farsight.methods.avisc import AvisC, blind_tokens

builders = pytest.mark.parametrize("build", contrasts.BUILDERS)
METHOD = AvisC(alpha=0.8, beta=0.05, layer_gamma=0.6, lamb=0.4)


def blind_slots(model: PreTrainedModel, prompt: contrasts.Inputs, method: AvisC) -> list[int]:
    """Slots of the blind tokens, by the attention of the prompt's last row."""
    image = [slot for slot, token in enumerate(prompt["input_ids"][0].tolist()) if token == models.IMAGE_TOKEN]
    literal = Literal()
    with literally(model, literal):
        contrasts.last_logits(model, prompt, [])
    rows = {layer: weights[0, :, -1, image].mean(dim=0) for layer, weights in literal.weights.items()}
    total = sum(float(row.sum()) for row in rows.values())
    chosen: list[Tensor] = []
    for row in sorted(rows.values(), key=lambda row: -float(row.sum())):
        chosen.append(row)
        if sum(float(row.sum()) for row in chosen) / total >= method.layer_gamma:
            break
    attention = torch.stack(chosen).mean(dim=0)
    threshold = attention.mean() + method.lamb * attention.std()
    return [slot for slot, weight in zip(image, attention, strict=True) if weight >= threshold]


@contextmanager
def zeroed(model: PreTrainedModel, slots: list[int]) -> Iterator[None]:
    def hook(_: Any, args: Any, kwargs: Any) -> Any:
        embeddings = kwargs["inputs_embeds"].clone()
        embeddings[:, slots] = 0.0
        return args, {**kwargs, "inputs_embeds": embeddings}

    handle = model.model.language_model.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def reference(model: PreTrainedModel, method: AvisC) -> contrasts.Reference:
    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        blind = blind_slots(model, prompt, method)
        slots = [slot for slot, token in enumerate(prompt["input_ids"][0].tolist()) if token == models.IMAGE_TOKEN]
        own = contrasts.last_logits(model, prompt, tokens)
        with zeroed(model, [slot for slot in slots if slot not in blind]):
            other = contrasts.last_logits(model, prompt, tokens)
        combined = (1 + method.alpha) * own - method.alpha * other
        combined[own < math.log(method.beta) + own.max()] = -math.inf
        return combined

    return logits


@builders
def test_the_cases_have_blind_tokens_and_others(build: Any) -> None:
    model = contrasts.exact(build)
    for prompt in contrasts.two_prompts(model):
        assert 0 < len(blind_slots(model, prompt, METHOD)) < int((prompt["input_ids"] == models.IMAGE_TOKEN).sum())


def test_layers_are_taken_until_they_hold_their_share() -> None:
    visual = torch.tensor([[True, True, True, False]])
    first, second = torch.tensor([0.6, 0.1, 0.1, 0.0]), torch.tensor([0.1, 0.1, 0.3, 0.9])
    attention = torch.stack((second, first))[None]
    alone = blind_tokens(attention, visual, layer_gamma=0.5, lamb=1.0)
    both = blind_tokens(attention, visual, layer_gamma=0.9, lamb=0.0)
    assert alone.tolist() == [[True, False, False, False]]
    assert both.tolist() == [[True, False, False, False]]
    assert blind_tokens(attention[:, :1], visual, layer_gamma=0.5, lamb=1.0).tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("wrong", [{"alpha": -1}, {"beta": 2}, {"layer_gamma": 1.5}, {"lamb": math.nan}])
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        AvisC(**wrong)


def test_what_has_no_image_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="image"), AvisC()(models.llama()):
        pass
    model = models.llava()
    with AvisC()(model), pytest.raises(SettingError, match="image"):
        model.generate(input_ids=torch.arange(10, 16)[None], max_new_tokens=2)
