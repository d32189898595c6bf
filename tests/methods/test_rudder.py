"""RUDDER against its equations: the layer's attention of the whole text, steered row by row in float64."""

from __future__ import annotations

import math
from typing import Any

import contrasts
import models
import pytest
import torch
from test_grid import greedy
from torch import Tensor
from transformers import PreTrainedModel

from farsight import FLB, RUDDER, FarSight, SettingError

builders = pytest.mark.parametrize("build", [*contrasts.BUILDERS, models.llama])
METHOD = RUDDER(strength=6.0, k=4.0, c=0.7, least=0.82, layer=0)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def reference(model: PreTrainedModel, method: RUDDER, gates: list[float] | None = None) -> contrasts.Reference:
    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        length = prompt["input_ids"].shape[1]

        def steered(module: Any, args: Any, output: Any) -> Any:
            updates = output[0][0].clone()
            total = torch.zeros_like(updates[0])
            for row in range(length):
                total += updates[row].norm() * updates[row]
            direction = total / total.norm()
            for row in range(length - 1, length + len(tokens)):
                cosine = float(updates[row] @ direction / updates[row].norm())
                towards, away = softplus(method.k * cosine + method.c), softplus(-method.k * cosine + method.c)
                gate = max(towards / (towards + away), method.least)
                if gates is not None:
                    gates.append(gate)
                updates[row] += method.strength * gate * direction
            return (updates[None], *output[1:])

        hook = model.get_decoder().layers[method.layer].self_attn.register_forward_hook(steered)
        try:
            return contrasts.last_logits(model, prompt, tokens)
        finally:
            hook.remove()

    return logits


@builders
def test_the_cases_reach_the_clamp_and_leave_it(build: Any) -> None:
    gates: list[float] = []
    contrasts.check_greedy_batch(contrasts.exact(build), METHOD, reference(contrasts.exact(build), METHOD, gates))
    assert METHOD.least in gates
    assert max(gates) > METHOD.least


def test_a_cache_whose_prompt_it_has_not_seen_is_refused_with_the_remedy() -> None:
    model = models.llama()
    with METHOD(model):
        first = greedy(model)
        with pytest.raises(SettingError, match="start with an empty cache"):
            model.generate(first.sequences, past_key_values=first.past_key_values, max_new_tokens=2)
        with pytest.raises(SettingError, match=r"call model\.generate"):
            model(**models.prompt(model))


def test_registers_are_in_the_updates_that_it_reads() -> None:
    model = models.llava()
    with METHOD(model):
        alone = torch.cat(greedy(model).logits)
    with (METHOD + FarSight(sigma=50.0))(model):
        torch.testing.assert_close(torch.cat(greedy(model).logits), alone, atol=1e-5, rtol=0)
    with (METHOD + FarSight(sigma=0.3))(model):
        assert not torch.equal(torch.cat(greedy(model).logits), alone)
    with pytest.raises(SettingError, match="rudder goes with methods that change the scores or the gate or the search"):
        METHOD + FLB()


@pytest.mark.parametrize(("depth", "expected"), [(32, 30), (28, 26), (4, 3), (2, 1), (1, 0)])
def test_the_papers_layer_is_scaled_to_the_depth(depth: int, expected: int) -> None:
    model = models.llama(num_hidden_layers=depth)
    plain = model(**models.prompt(model), output_hidden_states=True).hidden_states
    with RUDDER()(model):
        found = model.generate(
            **models.prompt(model), max_new_tokens=1, output_hidden_states=True, return_dict_in_generate=True
        ).hidden_states[0]
    changed = [not torch.equal(one, other) for one, other in zip(plain, found, strict=True)]
    assert changed.index(True) == expected + 1


@pytest.mark.parametrize(
    "wrong", [{"strength": -1}, {"k": math.inf}, {"c": "much"}, {"least": 2}, {"layer": -1}, {"layer": 0.5}]
)
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        RUDDER(**wrong)
    with pytest.raises(SettingError, match="layer 2 is out of range: this model has 0 to 1"):
        RUDDER(layer=2)(models.llama()).__enter__()
