"""What the collector adds up equals what eager attention weights give, in float64."""

from __future__ import annotations

from typing import Any

import models
import numpy as np
import pytest
import torch
from literal_attention import Literal, literally
from transformers import PreTrainedModel

from farsight import FarSight, Method, Plain
from farsight.attention.layers import locate, visual_token_mask
from farsight.diagnose import collector
from farsight.diagnose.collector import Collected
from farsight.diagnose.layout import Layout
from farsight.diagnose.replay import generated, replayed
from farsight.inputs.checkpoints import LoadedModel
from farsight.methods.beam_search import BeamSearch
from farsight.methods.farsight_released import FarSightReleased
from farsight.methods.pai import PAI
from farsight.methods.vcd import VCD

NEW = 7


def layout_of(model: PreTrainedModel) -> Layout:
    inputs: dict[str, Any] = models.prompt(model)
    inputs = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    visual = np.flatnonzero(visual_token_mask(model, inputs["input_ids"])[0].numpy())
    return Layout(
        inputs=inputs, prompt_slots=inputs["input_ids"].shape[1], visual=visual, frames=1, grid=None, shown=()
    )


def loaded(model: PreTrainedModel) -> LoadedModel:
    return LoadedModel(model, None, "tiny")


def run(build: Any, attention: str, method: Method) -> tuple[PreTrainedModel, Layout, list[int], Collected]:
    model = build(attention).double()
    layout = layout_of(model)
    tokens = generated(loaded(model), layout, method, NEW)
    return model, layout, tokens, replayed(loaded(model), layout, method, tokens, NEW)


def eager_weights(model: PreTrainedModel, layout: Layout, tokens: list[int], method: Method) -> torch.Tensor:
    """Weights of one whole forward without a cache, ``(layers, heads, slots, slots)``, float64.

    Transformers' own eager attention rounds its softmax to float32, so that of plain models is written out here.
    """
    model.set_attn_implementation("eager")
    fed = torch.tensor([tokens[:-1]])
    inputs = dict(layout.inputs)
    for name, added in (("input_ids", fed), ("attention_mask", torch.ones_like(fed))):
        inputs[name] = torch.cat((inputs[name], added), 1)
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in inputs:
            inputs[name] = torch.cat((inputs[name], torch.zeros_like(fed)), 1)
    if isinstance(method, Plain):
        with literally(model, literal := Literal()), torch.no_grad():
            model(**inputs, use_cache=False)
        rounded = model(**inputs, use_cache=False, output_attentions=True).attentions
        weights = torch.cat(list(literal.weights.values()))
        torch.testing.assert_close(weights, torch.cat(rounded), rtol=0, atol=1e-5)
        return weights
    with method(model), torch.no_grad():
        return torch.stack(model(**inputs, use_cache=False, output_attentions=True).attentions)[:, 0]


def check(found: Collected, weights: torch.Tensor, layout: Layout) -> None:
    visual = torch.as_tensor(layout.visual)
    slots, layers = weights.shape[-1], len(weights)
    kept = weights.sum(-1)
    causal = torch.ones(slots, slots, dtype=torch.float64).tril()
    uniform = causal / causal.sum(1, keepdim=True)
    exact = {"rtol": 0, "atol": 5e-6}  # Llama rounds its norms to float32, so steps and one forward differ a little
    torch.testing.assert_close(found.kept, kept, **exact)
    torch.testing.assert_close(found.image, weights[..., visual].sum(-1), **exact)
    torch.testing.assert_close(found.received, weights.sum(-2), **exact)
    shares = weights / kept[..., None]
    torch.testing.assert_close(found.entropy, -(shares * shares.clamp(min=1e-300).log()).sum(-1), **exact)
    torch.testing.assert_close(found.uniform, uniform[:, visual].sum(1).expand(layers, -1), **exact)
    torch.testing.assert_close(found.expected, uniform.sum(0).expand(layers, -1), **exact)
    maps = weights.mean(1)[:, layout.prompt_slots - 1 :][..., visual]
    torch.testing.assert_close(found.maps, maps, **exact)
    flow = torch.eye(slots, dtype=torch.float64)
    for layer in range(layers):  # attention rollout: with the residual stream beside attention, rows of sum 1
        step = torch.eye(slots, dtype=torch.float64) + weights[layer].mean(0)
        flow = step / step.sum(1, keepdim=True) @ flow
        torch.testing.assert_close(found.flow[layer + 1, 0], flow[:, visual].sum(1), **exact)
    torch.testing.assert_close(found.flow.sum(1), torch.ones(layers + 1, slots, dtype=torch.float64), **exact)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("build", [models.llava, models.qwen2_vl, models.llava_next_video])
def test_numbers_equal_those_of_eager_weights(build: Any, attention: str) -> None:
    model, layout, tokens, found = run(build, attention, Plain())
    check(found, eager_weights(model, layout, tokens, Plain()), layout)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_registers_share_is_taken_out_as_generation_takes_it_out(attention: str) -> None:
    horizon = 2 + 9 + 5 + NEW
    model, layout, tokens, found = run(models.llava, attention, FarSight(sigma=0.1))
    weights = eager_weights(model, layout, tokens, FarSight(sigma=0.1, horizon=horizon))
    assert float(weights.sum(-1).min()) < 0.9
    check(found, weights, layout)


def test_rows_are_taken_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "ELEMENTS", 3 * 4 * 20)
    model, layout, tokens, found = run(models.llava, "sdpa", FarSight(sigma=0.1))
    check(found, eager_weights(model, layout, tokens, FarSight(sigma=0.1, horizon=2 + 9 + 5 + NEW)), layout)


def test_log_z_and_value_norms_are_the_models_own() -> None:
    model, layout, tokens, found = run(models.llava, "sdpa", Plain())
    seen: dict[int, torch.Tensor] = {}
    hooks = [
        layer.module.v_proj.register_forward_hook(lambda _, __, out, i=layer.index: seen.__setitem__(i, out))
        for layer in locate(model).layers
    ]
    weights = eager_weights(model, layout, tokens, Plain())
    for hook in hooks:
        hook.remove()
    for index, values in seen.items():
        norms = values[0].unflatten(-1, (4, -1)).norm(dim=-1).T
        torch.testing.assert_close(found.value_norm[index], norms, rtol=0, atol=1e-5)
    # the first row reads itself alone, so its log Z is its own score; of the others the weights tell differences only
    assert bool(found.lse.isfinite().all())
    assert weights.shape[-1] == found.lse.shape[-1]


def test_every_row_counts_once() -> None:
    _, layout, tokens, found = run(models.llava, "sdpa", FarSight(sigma=0.3, horizon="infinite"))
    slots = layout.prompt_slots + len(tokens) - 1
    torch.testing.assert_close(found.received.sum(-1), found.kept.sum(-1))
    torch.testing.assert_close(found.expected.sum(-1), torch.full((2,), float(slots), dtype=torch.float64))


@pytest.mark.parametrize("method", [BeamSearch(num_beams=3), VCD(), PAI(start_layer=0), FarSightReleased(sigma=0.3)])
def test_other_methods_are_seen_through_the_attention_that_they_leave(method: Method) -> None:
    model, layout, tokens, found = run(models.llava, "sdpa", method)
    torch.testing.assert_close(found.received.sum(-1), found.kept.sum(-1))
    if method.name in ("beam", "vcd"):
        check(found, eager_weights(model, layout, tokens, Plain()), layout)
    else:
        assert bool(found.lse.isnan().all()) == (method.name == "pai")


def test_watching_leaves_nothing_behind_and_changes_no_token() -> None:
    model = models.llava().double()
    layout = layout_of(model)
    before = generated(loaded(model), layout, Plain(), NEW)
    attributes = {name: sorted(vars(module)) for name, module in model.named_modules()}
    replayed(loaded(model), layout, FarSight(), before, NEW)
    assert {name: sorted(vars(module)) for name, module in model.named_modules()} == attributes
    assert model.config.get_text_config()._attn_implementation == "sdpa"
    assert generated(loaded(model), layout, Plain(), NEW) == before
