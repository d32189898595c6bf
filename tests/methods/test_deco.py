"""DeCo corrects the last layer by the preceding layer that is surest of a candidate, at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import models
import pytest
import torch
from decoding import NEW, assert_a_batch_is_each_prompt_alone, left_padded, steps, two_prompts
from layer_logits import layer_logits
from torch import Tensor

from farsight import Plain, SettingError
from farsight.methods.deco import DeCo, paper_layers


def deep_llava() -> Any:
    return models.llava(num_hidden_layers=6)


BUILDERS: list[Callable[..., Any]] = [deep_llava, models.qwen2_vl, models.mistral]


def by_definition(
    final: Tensor, earlier: list[Tensor], layers: list[int], alpha: float, top_p: float, top_k: int
) -> tuple[Tensor, int]:
    """The corrected logits and the layer that was chosen: candidates one by one, then every layer's probabilities."""
    p = final.softmax(-1)
    candidates: list[int] = []
    total = 0.0
    for token in p.argsort(descending=True).tolist():
        if total >= top_p or len(candidates) == top_k:
            break
        candidates.append(token)
        total += float(p[token])
    surest = {layer: float(earlier[layer].softmax(-1)[candidates].max()) for layer in layers}
    anchor = max(layers, key=surest.__getitem__)
    logits = torch.full_like(final, -torch.inf)
    for token in candidates:
        logits[token] = final[token] + alpha * surest[anchor] * earlier[anchor][token]
    return logits, anchor


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    ("alpha", "layers", "top_p", "top_k"), [(0.6, (0, 1), 0.9, 20), (2.0, (1,), 0.5, 20), (1.0, (0, 1), 1.0, 3)]
)
def test_each_step_is_the_equation(
    build: Callable[..., Any], alpha: float, layers: tuple[int, ...], top_p: float, top_k: int
) -> None:
    model = build()
    inputs = models.prompt(model)
    tokens, logits = steps(model, DeCo(alpha=alpha, layers=layers, top_p=top_p, top_k=top_k), inputs)
    for step in range(NEW):
        exact = layer_logits(model, inputs, tokens[:, :step])
        expected, _ = by_definition(*exact, list(layers), alpha, top_p, top_k)
        torch.testing.assert_close(logits[0, step].double(), expected, atol=1e-4, rtol=0)


def test_the_anchor_is_chosen_for_each_token() -> None:
    model = deep_llava()
    inputs = models.prompt(model)
    layers = [1, 2, 3, 4, 5]
    tokens, logits = steps(model, DeCo(layers=layers), inputs, max_new_tokens=12)
    anchors = set()
    for step in range(12):
        expected, anchor = by_definition(*layer_logits(model, inputs, tokens[:, :step]), layers, 0.6, 0.9, 20)
        torch.testing.assert_close(logits[0, step].double(), expected, atol=1e-4, rtol=0)
        anchors.add(anchor)
    assert len(anchors) > 1


@pytest.mark.parametrize("build", BUILDERS)
def test_a_left_padded_batch_is_each_prompt_alone(build: Callable[..., Any]) -> None:
    assert_a_batch_is_each_prompt_alone(build(), DeCo())


@pytest.mark.parametrize("build", [*BUILDERS, models.gemma2, models.gemma3])
def test_without_weight_the_tokens_are_plain(build: Callable[..., Any]) -> None:
    model = build()
    batch = left_padded(two_prompts(model))
    assert torch.equal(steps(model, DeCo(alpha=0), batch)[0], steps(model, Plain(), batch)[0])


def test_beams_and_sampling_decode_from_the_same_logits() -> None:
    model = deep_llava()
    prompt = models.prompt(model)
    options = {"max_new_tokens": NEW, "return_dict_in_generate": True, "output_logits": True}
    with DeCo(layers=(4, 5))(model):
        beams = model.generate(**prompt, num_beams=3, do_sample=False, **options)
        torch.manual_seed(0)
        sampled = model.generate(**prompt, do_sample=True, **options)
    expected, _ = by_definition(*layer_logits(model, prompt, prompt["input_ids"][:, :0]), [4, 5], 0.6, 0.9, 20)
    for found in (beams, sampled):
        torch.testing.assert_close(found.logits[0][0].double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("depth", "expected"), [(32, range(20, 29)), (40, range(25, 36)), (6, range(4, 6)), (2, range(1, 2)), (1, range(1))]
)
def test_the_papers_layers_are_scaled_to_the_depth(depth: int, expected: range) -> None:
    assert list(paper_layers(depth)) == list(expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": -1},
        {"alpha": "1"},
        {"layers": ()},
        {"layers": (1.5,)},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": 0},
        {"top_k": 2.0},
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(settings))):
        DeCo(**settings)


def test_a_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingError, match="out of range"):
        DeCo(layers=(2,))(models.llava()).__enter__()
