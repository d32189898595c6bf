"""The released code's variant of FarSight is what that code computes, at every step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import models
import pytest
import torch
from decoding import NEW, assert_a_batch_is_each_prompt_alone, left_padded, steps, two_prompts
from definition import logits_by_definition
from torch import Tensor

from farsight import Plain, SettingError, UnsupportedModelError
from farsight.attention.cache import CACHE
from farsight.methods.farsight_released import FarSightReleased

BUILDERS: list[Callable[..., Any]] = [models.llava, models.qwen2_vl, models.llama, models.mistral, models.gemma2]
BASE = math.log(256, 1024)


def released_registers(
    length: int, heads: int, sigma: float, alibi: bool
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The code's P, term by term: plain decay, progressive decay, ALiBi."""

    def score(i: Tensor, j: Tensor, head: Tensor) -> Tensor:
        delta = torch.relu((j - i).double())
        basic = -sigma * delta
        progressive = -sigma * (1.0 - (i.double() / max(length - 1, 1)) * 0.5) * delta
        slope = 2.0 ** (-8.0 * (head.double() + 1) / heads)
        return 0.5 * basic + 0.5 * progressive - (delta * slope if alibi else 0 * head)

    return score


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(("sigma", "alibi"), [(BASE, True), (0.1, False)])
def test_each_step_is_the_released_computation(build: Callable[..., Any], sigma: float, alibi: bool) -> None:
    model = build()
    inputs = models.prompt(model)
    tokens, logits = steps(model, FarSightReleased(sigma=sigma, alibi=alibi), inputs)
    for step in range(NEW):
        length = inputs["input_ids"].shape[1] + step
        registers = released_registers(length, 4, sigma, alibi)
        expected = logits_by_definition(model, inputs, tokens[:, : step + 1], length, first=step, registers=registers)
        torch.testing.assert_close(logits[0, step].double(), expected[0], atol=1e-4, rtol=0)
    assert not torch.allclose(steps(model, Plain(), inputs)[1][0, 0], logits[0, 0], atol=1e-3)


@pytest.mark.parametrize("build", [models.llava, models.qwen2_vl, models.mistral])
def test_a_left_padded_batch_is_each_prompt_alone(build: Callable[..., Any]) -> None:
    assert_a_batch_is_each_prompt_alone(build(), FarSightReleased(sigma=0.2))


@pytest.mark.parametrize("build", BUILDERS)
def test_a_large_decay_gives_the_plain_tokens(build: Callable[..., Any]) -> None:
    model = build()
    batch = left_padded(two_prompts(model))
    assert torch.equal(steps(model, FarSightReleased(sigma=1e3), batch)[0], steps(model, Plain(), batch)[0])


def test_beams_and_sampling_work() -> None:
    model = models.llava()
    prompt = models.prompt(model)
    options = {"max_new_tokens": NEW, "suppress_tokens": [models.IMAGE_TOKEN]}
    with FarSightReleased(sigma=0.2)(model):
        beams = model.generate(**prompt, **options, num_beams=3, do_sample=False)
        torch.manual_seed(0)
        sampled = model.generate(**prompt, **options, do_sample=True)
    assert beams.shape == sampled.shape == (1, prompt["input_ids"].shape[1] + NEW)


def test_a_cache_is_refused() -> None:
    model = models.llava()
    prompt = models.prompt(model)
    with FarSightReleased()(model):
        cache = model(**prompt, use_cache=True).past_key_values
        with pytest.raises(UnsupportedModelError, match="use_cache=False"):
            model(input_ids=torch.tensor([[11]]), past_key_values=cache)
        with pytest.raises(SettingError, match=f"leave {CACHE} out"):
            model.generate(**prompt, past_key_values=cache, max_new_tokens=2)


def test_image_blocks_that_read_both_ways_are_refused() -> None:
    model = models.gemma3()
    with FarSightReleased()(model), pytest.raises(UnsupportedModelError, match="both ways"):
        model.generate(**models.prompt(model), max_new_tokens=2)


@pytest.mark.parametrize("settings", [{"sigma": 0}, {"sigma": math.inf}, {"sigma": "1"}, {"alibi": 1}])
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(settings))):
        FarSightReleased(**settings)
