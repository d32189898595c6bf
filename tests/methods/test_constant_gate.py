"""A constant gate multiplies the attention of every row by its value, and does nothing else."""

from __future__ import annotations

from typing import Any

import models
import pytest
import torch
from decoding import left_padded

from farsight import SettingError
from farsight.attention import locate, watched
from farsight.methods.constant_gate import ConstantGate


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**models.prompt(model)).logits


def scaled(model: Any, factors: list[torch.Tensor]) -> torch.Tensor:
    """The definition: scale what goes into each output projection, head by head."""
    hooks = []
    for layer, factor in zip(locate(model).layers, factors, strict=True):
        size = layer.module.o_proj.in_features // layer.heads
        by_channel = factor.expand(layer.heads).repeat_interleave(size)
        hooks.append(layer.module.o_proj.register_forward_pre_hook(lambda _, args, by=by_channel: (args[0] * by,)))
    try:
        return logits(model)
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("build", [models.llava, models.qwen2_vl, models.llama])
@pytest.mark.parametrize("value", [0.0, 0.6, 1.3])
def test_attention_is_scaled_in_every_layer(build: Any, value: float) -> None:
    model = build().double()
    expected = scaled(model, [torch.tensor([value]).double() for _ in locate(model).layers])
    with ConstantGate(value=value)(model):
        assert torch.allclose(logits(model), expected, atol=1e-5)


def test_each_layer_and_head_may_have_its_own_value() -> None:
    model = models.llava().double()
    layers = locate(model).layers
    values = tuple(
        tuple(0.3 + 0.1 * (head + number) for head in range(layer.heads)) for number, layer in enumerate(layers)
    )
    expected = scaled(model, [torch.tensor(row).double() for row in values])
    with ConstantGate(value=values)(model):
        assert torch.allclose(logits(model), expected, atol=1e-5)


def test_a_gate_of_one_is_the_plain_model_bit_for_bit() -> None:
    model = models.llava()
    plain = logits(model)
    with ConstantGate(value=1.0)(model):
        assert torch.equal(logits(model), plain)


def test_an_observer_sees_the_gates_of_all_layers() -> None:
    model, seen = models.llava(), []
    with ConstantGate(value=0.7)(model), watched(locate(model), lambda call: seen.append(call.factor)):
        logits(model)
    assert len(seen) == len(locate(model).layers)
    assert all(torch.equal(gate, torch.full_like(gate, 0.7)) for gate in seen)


@pytest.mark.parametrize("build", [models.llava, models.qwen2_vl, models.llama])
def test_generated_rows_alone_are_those_from_the_last_prompt_token_on(build: Any) -> None:
    model, seen = build(), []
    inputs = left_padded([models.prompt(model), models.prompt(model, after=3)])
    with (
        ConstantGate(value=0.7, rows="generated")(model),
        watched(locate(model), lambda call: seen.append(call.factor)),
    ):
        model.generate(**inputs, max_new_tokens=3, min_new_tokens=3, do_sample=False)
    layers = len(locate(model).layers)
    prompt, answer = seen[:layers], seen[layers:]
    assert len(answer) == 2 * layers
    assert all(torch.equal(gate[:, :, :-1], torch.ones_like(gate[:, :, :-1])) for gate in prompt)
    assert all(
        torch.equal(gate, torch.full_like(gate, 0.7)) for gate in [*(gate[:, :, -1:] for gate in prompt), *answer]
    )


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "x", (), (0.5, "x"), True])
def test_a_value_without_meaning_is_refused(value: Any) -> None:
    with pytest.raises(SettingError, match="value must be"):
        ConstantGate(value=value)


@pytest.mark.parametrize(("value", "problem"), [((0.5,) * 9, "9 layers"), (((0.5,) * 99,) * 2, "99 heads")])
def test_values_must_fit_the_model(value: Any, problem: str) -> None:
    model = models.llava()
    if problem == "99 heads":
        value = ((0.5,) * 99,) * len(locate(model).layers)
    with pytest.raises(SettingError, match=problem), ConstantGate(value=value)(model):
        pass
