"""Cached generation equals the materialised definition at every step, on every kernel and kind of attention."""

from __future__ import annotations

from typing import Any

import models
import pytest
import torch
from definition import linear, logits_by_definition
from transformers import PreTrainedModel

from farsight import FarSight

SIGMA = 0.3
NEW = 8
BUILDERS = {
    "llama": models.llama,
    "grouped queries": lambda attention: models.llama(attention, num_key_value_heads=2),
    "sliding window": models.mistral,
    "soft-cap": models.gemma2,
    "llava": models.llava,
    "bidirectional image block": models.gemma3,
    "qwen2_vl": models.qwen2_vl,
    "trained sinks": models.gpt_oss,
}
KERNELS = [
    (name, attention)
    for name in BUILDERS
    for attention in ("eager", "sdpa", "flex_attention")
    if (name, attention) not in {("soft-cap", "sdpa"), ("qwen2_vl", "flex_attention"), ("llava", "flex_attention")}
    and (name != "trained sinks" or attention == "eager")
]


def generate(model: PreTrainedModel, method: FarSight, inputs: dict[str, Any], new: int = NEW, **kwargs: Any) -> Any:
    with method(model):
        return model.generate(
            **inputs, max_new_tokens=new, do_sample=False, output_logits=True, return_dict_in_generate=True, **kwargs
        )


def compare(
    model: PreTrainedModel, method: FarSight, lengths: int | list[int], inputs: dict[str, Any] | None = None, **kw: Any
) -> tuple[float, float]:
    """Largest error of the logits of cached greedy decoding, and how much the registers change them."""
    inputs = inputs or models.prompt(model)
    found = generate(model, method, inputs)
    generated = found.sequences[:, -NEW:]
    kw = {"registers": linear(method.sigma), **kw}
    expected = logits_by_definition(model, inputs, generated, lengths, **kw)
    plain = logits_by_definition(model, inputs, generated, 0, first=NEW - 1, registers=linear(1.0))
    return float((torch.cat(found.logits) - expected).abs().max()), float((plain[-1] - expected[-1]).abs().max())


def prompt_length(model: PreTrainedModel) -> int:
    return models.prompt(model)["input_ids"].shape[1]


@pytest.mark.parametrize(
    ("name", "attention", "horizon"),
    [
        (name, attention, horizon)
        for name, attention in KERNELS
        for horizon in ("generation", "integer", "infinite")
        if attention == "sdpa" or horizon == "generation"
    ],
)
def test_every_step_equals_the_definition(name: str, attention: str, horizon: str) -> None:
    model = BUILDERS[name](attention)
    prompt = prompt_length(model)
    # the last rows of an integer horizon lie at and past it, and own no registers
    length = {"generation": prompt + NEW, "integer": prompt + 3, "infinite": prompt + NEW + 200}[horizon]
    method = FarSight(sigma=SIGMA, horizon=length if horizon == "integer" else horizon)
    error, effect = compare(model, method, length)
    assert error < 1e-4
    assert effect > 1e-3


@pytest.mark.parametrize("profile", ["none", 0.0, 1e-3, "linear"])
def test_profiles_of_the_ablation(profile: str | float) -> None:
    model = models.llava()
    length = prompt_length(model) + NEW
    scores = {
        "none": lambda i, j, head: torch.full((1,), -torch.inf, dtype=torch.float64),
        "linear": linear(SIGMA),
    }.get(profile, lambda i, j, head: torch.full((1,), float(profile), dtype=torch.float64))
    error, effect = compare(model, FarSight(sigma=SIGMA, profile=profile), length, registers=scores)
    assert error < 1e-4
    assert (effect > 1e-3) == (profile != "none")


def test_alibi_slopes_and_score_scale_of_the_pseudo_code() -> None:
    model = models.llava()
    slopes = torch.tensor([2.0 ** (-8 * (h + 1) / 4) for h in range(4)], dtype=torch.float64)
    error, effect = compare(
        model,
        FarSight(slopes="alibi", score_scale=0.8),
        prompt_length(model) + NEW,
        registers=lambda i, j, head: -(j - i) * slopes[head],
        score_scale=0.8,
    )
    assert error < 1e-4
    assert effect > 1e-3


@pytest.mark.parametrize("attention", ["eager", "flex_attention"])
def test_score_scale_comes_after_the_soft_cap(attention: str) -> None:
    model = models.gemma2(attention)
    error, _ = compare(model, FarSight(sigma=SIGMA, score_scale=0.8), prompt_length(model) + NEW, score_scale=0.8)
    assert error < 1e-4


def test_strength_multiplies_the_mass_per_layer_and_head() -> None:
    model = models.llava()
    strength = ((1.0, 0.5, 2.0, 0.0), (3.0, 1.0, 1.0, 0.25))
    logs = torch.tensor(strength, dtype=torch.float64).log()
    length = prompt_length(model) + NEW
    found = generate(model, FarSight(sigma=SIGMA, strength=strength), models.prompt(model))
    for layer in (0, 1):  # one layer at a time: the reference has one table of registers for all layers
        one = tuple(row if i == layer else (0.0,) * 4 for i, row in enumerate(strength))
        error, effect = compare(
            model,
            FarSight(sigma=SIGMA, strength=one),
            length,
            registers=lambda i, j, head, layer=layer: -(j - i) * SIGMA + logs[layer][head],
            layers=(layer,),
        )
        assert error < 1e-4
        assert effect > 1e-3
    both = generate(model, FarSight(sigma=SIGMA, strength=torch.tensor(strength)), models.prompt(model))
    assert torch.equal(torch.cat(found.logits), torch.cat(both.logits))


def test_chosen_layers_and_heads_alone_get_registers() -> None:
    model = models.llava()
    length = prompt_length(model) + NEW
    heads = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0], dtype=torch.float64)
    error, effect = compare(
        model,
        FarSight(sigma=SIGMA, layers=[1], heads=[1, 3]),
        length,
        registers=lambda i, j, head: -(j - i) * SIGMA + heads[head],
        layers=(1,),
    )
    assert error < 1e-4
    assert effect > 1e-3


@pytest.mark.parametrize("rows", ["generated", "text"])
def test_registers_on_some_rows_only(rows: str) -> None:
    model = models.llava()
    ids = models.prompt(model)["input_ids"][0]
    last = len(ids) - 1
    image = torch.cat((ids == models.IMAGE_TOKEN, torch.zeros(NEW, dtype=torch.bool)))
    owns = {"generated": lambda i: i >= last, "text": lambda i: ~image[i]}[rows]
    error, effect = compare(
        model,
        FarSight(sigma=SIGMA, rows=rows),
        len(ids) + NEW,
        registers=lambda i, j, head: torch.where(owns(i), -(j - i) * SIGMA, -torch.inf).double() + 0 * head,
    )
    assert error < 1e-4
    assert effect > 1e-3


@pytest.mark.parametrize("horizon", ["generation", "infinite", 20])
@pytest.mark.parametrize("name", ["llava", "grouped queries", "sliding window"])
def test_left_padded_batch_equals_each_prompt_alone(name: str, horizon: str | int) -> None:
    model = BUILDERS[name]("sdpa")
    prompts = [models.prompt(model, before=2, after=3, seed=1), models.prompt(model, before=3, after=7, seed=2)]
    widest = max(p["input_ids"].shape[1] for p in prompts)
    batch = {
        key: torch.cat([torch.nn.functional.pad(p[key], (widest - p[key].shape[1], 0)) for p in prompts])
        for key in ("input_ids", "attention_mask")
    }
    if "pixel_values" in prompts[0]:
        batch["pixel_values"] = torch.cat([p["pixel_values"] for p in prompts])
    method = FarSight(sigma=SIGMA, horizon=horizon)
    together = generate(model, method, batch)
    for i, prompt in enumerate(prompts):
        alone = generate(model, method, prompt)
        difference = torch.stack([a[i] - b[0] for a, b in zip(together.logits, alone.logits, strict=True)])
        assert torch.equal(together.sequences[i, -NEW:], alone.sequences[0, -NEW:])
        assert float(difference.abs().max()) < 1e-4


def test_bfloat16_is_within_the_noise_that_plain_bfloat16_has() -> None:
    """Against the fp32 definition, FarSight in bf16 errs like plain bf16 errs against plain fp32."""
    model = models.llava().to(torch.bfloat16)
    exact = models.llava()
    exact.load_state_dict({k: v.float() for k, v in model.state_dict().items()})
    inputs = models.prompt(model)
    length = prompt_length(model) + NEW

    def error(method: FarSight, definition_length: int) -> float:
        low = {**inputs, "pixel_values": inputs["pixel_values"].bfloat16()}
        found = generate(model, method, low)
        expected = logits_by_definition(
            exact, inputs, found.sequences[:, -NEW:], definition_length, registers=linear(SIGMA)
        )
        return float((torch.cat(found.logits).double() - expected).abs().mean())

    plain = error(FarSight(profile="none"), 0)
    assert 0 < error(FarSight(sigma=SIGMA), length) < 1.5 * plain
