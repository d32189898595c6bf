"""Gradients through the gate: rows without keys, autocast, compiled forwards, checkpointed layers."""

from __future__ import annotations

import copy
from typing import Any

import models
import pytest
import torch
from torch import Tensor

from farsight import EDVT, ConstantGate, DeCo, DoLa, FarSight, FixVPE, Method

PADDED = {"left": ([0, 0, 0, 11, 12, 13], [0, 0, 0, 1, 1, 1]), "right": ([11, 12, 13, 0, 0, 0], [1, 1, 1, 0, 0, 0])}
METHODS = [FarSight(sigma=0.3), FarSight(sigma=0.3, rows="text"), ConstantGate(value=0.7), FarSight(score_scale=0.8)]


def padded(side: str) -> dict[str, Tensor]:
    ids, mask = PADDED[side]
    return {
        "input_ids": torch.tensor([ids, [21, 22, 23, 24, 25, 26]]),
        "attention_mask": torch.tensor([mask, [1] * 6]),
    }


def in_float64(model: Any) -> None:
    """Norms that do not go through fp32, whose rounding a finite difference would see."""
    for name, norm in list(model.named_modules()):
        if type(norm).__name__ == "LlamaRMSNorm":
            exact = torch.nn.RMSNorm(norm.weight.shape, eps=norm.variance_epsilon, dtype=torch.float64)
            exact.weight.data.copy_(norm.weight.data)
            model.set_submodule(name, exact)


def loss(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    logits = model(**inputs, use_cache=False).logits
    return (logits * inputs["attention_mask"].unsqueeze(-1)).square().mean()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])  # PyTorch has no gradient of FlexAttention on a CPU
@pytest.mark.parametrize("side", PADDED)
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_gradients_of_a_padded_batch_are_finite_differences(method: Method, side: str, attention: str) -> None:
    if method == METHODS[1]:
        model = models.llava(attention).double()
    else:
        model = models.llama(attention).double()
    inputs = padded(side)
    in_float64(model)
    with method(model):
        loss(model, inputs).backward()
        weights = [
            model.get_decoder().layers[0].self_attn.q_proj.weight,
            model.get_decoder().layers[1].mlp.up_proj.weight,
        ]
        assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
        for weight in weights:
            assert weight.grad is not None
            place = divmod(int(weight.grad.abs().argmax()), weight.shape[1])
            found, step = float(weight.grad[place]), 1e-5
            with torch.no_grad():
                weight[place] += step
                above = float(loss(model, inputs))
                weight[place] -= 2 * step
                below = float(loss(model, inputs))
                weight[place] += step
            assert found == pytest.approx((above - below) / (2 * step), rel=1e-4)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])  # PyTorch has no gradient of FlexAttention on a CPU
@pytest.mark.parametrize("method", [FarSight(sigma=0.3), ConstantGate(value=0.7)], ids=str)
def test_logits_of_real_tokens_are_the_same_where_a_gradient_is_on(method: Method, attention: str) -> None:
    model = models.llama(attention)
    inputs = padded("left")
    with method(model):
        found = model(**inputs, use_cache=False).logits
        with torch.no_grad():
            expected = model(**inputs, use_cache=False).logits
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", [EDVT(), FixVPE(), FarSight(sigma=0.3), FarSight() + EDVT()], ids=str)
@pytest.mark.parametrize("build", [models.llava, models.qwen2_vl])
def test_autocast_errs_no_more_than_half_precision_does(method: Method, build: Any) -> None:
    model = build()
    prompt = models.prompt(model)
    with method(model), torch.no_grad():
        exact = model(**prompt).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(**prompt).logits
    with torch.no_grad():
        plain = model(**prompt).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            noise = (model(**prompt).logits - plain).abs().max()
    assert float((found - exact).abs().max()) < 4 * float(noise)


@pytest.mark.parametrize("attention", ["eager", "sdpa", "flex_attention"])
@pytest.mark.parametrize("method", [FarSight(sigma=0.3), FarSight() + EDVT()], ids=["registers", "moved scores"])
def test_autocast_without_a_cache_attends_in_the_dtype_of_values(method: Method, attention: str) -> None:
    model = models.llava(attention)
    prompt = models.prompt(model)
    with method(model), torch.no_grad():
        exact = model(**prompt, use_cache=False).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(**prompt, use_cache=False).logits
    assert 0 < float((found - exact).abs().max()) < 0.05 * float(exact.abs().max())


@pytest.mark.parametrize("method", [FarSight(sigma=0.3), DoLa(layers=(0, 1)), DeCo(), ConstantGate(value=0.7)], ids=str)
def test_a_forward_compiled_in_one_graph_gives_the_same_logits(method: Method) -> None:
    model = models.llama()
    inputs = models.prompt(model)
    with method(model), torch.no_grad():
        expected = model(**inputs, use_cache=False).logits
        torch._dynamo.reset()
        compiled = torch.compile(model.forward, backend="eager", fullgraph=True)
        found = compiled(**inputs, use_cache=False).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", [FarSight(sigma=0.3), ConstantGate(value=0.7)], ids=str)
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_layers_of_two_forwards_before_one_backward(method: Method, reentrant: bool) -> None:
    model = models.llama().double().train()
    first, second = padded("left"), {name: x[:1, 2:] for name, x in padded("right").items()}

    def gradients(checkpointed: bool) -> list[Tensor]:
        each = copy.deepcopy(model)
        if checkpointed:
            each.gradient_checkpointing_enable({"use_reentrant": reentrant})
            each.enable_input_require_grads()
        with method(each):
            (loss(each, first) + 2 * loss(each, second)).backward()
        return [parameter.grad for parameter in each.parameters() if parameter.grad is not None]

    for found, expected in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(found, expected)
