"""FLB against its equation: every step computed from scratch in float64, the first logits anew at each."""

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

from farsight import FLB, BeamSearch, FarSight, SettingError

METHOD = FLB(gamma=0.8, rate=0.3, beta=0.02)


def reference(model: PreTrainedModel, method: FLB) -> contrasts.Reference:
    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        now = contrasts.last_logits(model, prompt, tokens)
        first = contrasts.last_logits(model, prompt, [])
        least = float(now.max()) + math.log(method.beta)
        weight = method.gamma * (1 - math.exp(-method.rate * len(tokens)))
        drawn = [a + weight * b if a >= least else -math.inf for a, b in zip(now.tolist(), first.tolist(), strict=True)]
        return torch.tensor(drawn, dtype=torch.float64)

    return logits


def test_a_second_turn_begins_with_its_own_first_logits() -> None:
    """Also from the cache of the first: what is added is how the new answer began, not how the last one did."""
    model = contrasts.exact(models.llama)
    ids = models.prompt(model)["input_ids"]
    how = {"max_new_tokens": 5, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    with METHOD(model):
        first = model.generate(input_ids=ids, **how)
        turn = torch.cat((first.sequences, torch.tensor([[11, 12, 13]])), dim=1)
        second = model.generate(
            input_ids=turn, attention_mask=torch.ones_like(turn), past_key_values=first.past_key_values, **how
        )
    prompt = {"input_ids": turn, "attention_mask": torch.ones_like(turn)}
    contrasts.check_every_step(second, [prompt], reference(contrasts.exact(models.llama), METHOD))


def test_with_registers_the_logits_are_those_of_the_registers() -> None:
    model = models.llava()
    registers = FarSight(sigma=0.3)
    with registers(model):
        under = greedy(model).logits[0][0]
    with (METHOD + registers)(model):
        found = greedy(model).logits[0][0]
    kept = found > -math.inf
    assert 0 < int(kept.sum()) < len(kept)
    assert torch.equal(found[kept], under[kept])


def test_with_beams_it_is_flb_with_num_beams() -> None:
    model = models.llava()
    with METHOD(model):
        expected = greedy(model, num_beams=3).sequences
    with (METHOD + BeamSearch(num_beams=3))(model):
        assert torch.equal(greedy(model).sequences, expected)


def test_a_forward_of_ones_own_is_refused_with_the_remedy() -> None:
    model = models.llama()
    with METHOD(model), pytest.raises(SettingError, match=r"where the answer begins: call model\.generate"):
        model(**models.prompt(model))


@pytest.mark.parametrize("wrong", [{"gamma": -0.1}, {"rate": math.inf}, {"beta": 2}, {"beta": "few"}])
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        FLB(**wrong)
