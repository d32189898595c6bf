"""IAT against its equation: attention written out in float64 over the whole text at every step."""

from __future__ import annotations

import math
from typing import Any

import contrasts
import models
import pytest
import torch
from literal_attention import Literal, literally
from test_grid import greedy
from torch import Tensor
from transformers import PreTrainedModel

from farsight import IAT, FarSight, SettingError, UnsupportedModelError
from farsight.attention import locate
from farsight.methods.text_keys import paper_layers

METHOD = IAT(alpha=2.0, layers=(0, 1))


def reference(model: PreTrainedModel, method: IAT) -> contrasts.Reference:
    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        length = prompt["input_ids"].shape[1]

        def amplified(layer: int, scores: Tensor) -> Tensor:
            scores = scores.clone()
            if layer in (method.layers or ()):
                for row in range(length, length + len(tokens)):
                    for key in range(length, row + 1):
                        scores[..., row, key] += method.alpha * scores[..., row, key].abs()
            return scores

        with literally(model, Literal(change=amplified)):
            return contrasts.last_logits(model, prompt, tokens)

    return logits


def test_the_first_token_and_the_reading_of_the_prompt_are_the_plain_models() -> None:
    model = models.llava()
    plain = greedy(model).logits
    with IAT(alpha=3, layers=(0, 1))(model):
        found = greedy(model).logits
    assert torch.equal(found[0], plain[0])
    assert not torch.equal(found[2], plain[2])


def test_a_second_turn_reads_its_own_answer_more_and_the_first_as_part_of_the_prompt() -> None:
    model = contrasts.exact(models.llama)
    ids = models.prompt(model)["input_ids"]
    how = {"max_new_tokens": 5, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    turn = torch.cat((ids, torch.tensor([[11, 12, 13, 40, 41]])), dim=1)
    cache = model(turn[:, :-1], use_cache=True).past_key_values
    with METHOD(model):
        second = model.generate(input_ids=turn, attention_mask=torch.ones_like(turn), past_key_values=cache, **how)
    prompt = {"input_ids": turn, "attention_mask": torch.ones_like(turn)}
    contrasts.check_every_step(second, [prompt], reference(contrasts.exact(models.llama), METHOD))


def test_registers_join_the_softmax_over_the_amplified_scores() -> None:
    model = models.llava()
    with IAT(alpha=3, layers=(0, 1))(model):
        alone = torch.cat(greedy(model).logits)
    with (IAT(alpha=3, layers=(0, 1)) + FarSight(sigma=50.0))(model):
        absorbing_nothing = torch.cat(greedy(model).logits)
    with (IAT(alpha=3, layers=(0, 1)) + FarSight(sigma=0.3))(model):
        both = torch.cat(greedy(model).logits)
    torch.testing.assert_close(absorbing_nothing, alone, atol=1e-5, rtol=0)
    assert not torch.equal(both, alone)


@pytest.mark.parametrize(("depth", "expected"), [(32, range(5, 18)), (28, range(4, 16)), (40, range(6, 22)), (2, [0])])
def test_the_papers_layers_are_scaled_as_its_code_has_them_for_qwen(depth: int, expected: Any) -> None:
    language_model = locate(models.llama(num_hidden_layers=depth))
    assert [layer.index for layer in paper_layers(language_model, None)] == list(expected)


def test_a_forward_of_ones_own_and_flash_attention_are_refused_with_the_remedy() -> None:
    model = models.llama()
    with METHOD(model), pytest.raises(SettingError, match=r"where the answer begins: call model\.generate"):
        model(**models.prompt(model))
    model.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(UnsupportedModelError, match="attn_implementation='sdpa'"), METHOD(model):
        pass


@pytest.mark.parametrize("wrong", [{"alpha": -0.1}, {"alpha": math.inf}, {"layers": ()}, {"layers": (1.5,)}])
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        IAT(**wrong)
    with pytest.raises(SettingError, match="out of range"):
        IAT(layers=(2,))(models.llama()).__enter__()
