"""Zero keys and values in front of a cache are FarSight, in models with biases too."""

from __future__ import annotations

import models
import pytest
import torch
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from farsight import FarSight
from farsight.attention.cache import CACHE
from farsight.errors import SettingError, UnsupportedModelError
from farsight.register_tokens import sigma_of
from farsight.zero_cache import with_zero_cache


@pytest.fixture(scope="module")
def qwen2() -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.3, pad_token_id=0, eos_token_id=None,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return model


@pytest.mark.parametrize("tokens", [1, 5, 20])
def test_a_loop_of_one_s_own_decodes_with_registers(qwen2: PreTrainedModel, tokens: int) -> None:
    prompt = models.prompt(qwen2)
    method = FarSight(sigma=sigma_of(tokens), horizon="infinite")
    given = with_zero_cache(qwen2, prompt, tokens)
    ids, mask, cache = given["input_ids"][:, tokens:], given["attention_mask"], given[CACHE]
    text = ids
    with torch.no_grad():
        for _ in range(6):
            logits = qwen2(input_ids=ids, attention_mask=mask, **{CACHE: cache}).logits[:, -1]
            with method(qwen2):
                expected = qwen2(input_ids=text).logits[:, -1]
            plain = qwen2(input_ids=text).logits[:, -1]
            assert (logits - expected).abs().max() < 1e-4
            assert (plain - expected).abs().max() > 0.1
            ids = logits.argmax(-1, keepdim=True)
            text = torch.cat((text, ids), 1)
            mask = torch.cat((mask, torch.ones_like(ids)), 1)


def test_generate_takes_them_for_a_padded_batch(qwen2: PreTrainedModel) -> None:
    ids = torch.tensor([[0, 0, 11, 12, 13], [21, 22, 23, 24, 25]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    how = {"do_sample": False, "max_new_tokens": 8, "output_logits": True, "return_dict_in_generate": True}
    found = qwen2.generate(**with_zero_cache(qwen2, inputs, 5), **how)
    with FarSight(sigma=sigma_of(5), horizon="infinite")(qwen2):
        expected = qwen2.generate(**inputs, **how)
    assert torch.equal(found.sequences[:, 5:], expected.sequences)
    assert (torch.stack(found.logits) - torch.stack(expected.logits)).abs().max() < 1e-4


def test_what_it_cannot_do_is_refused(qwen2: PreTrainedModel) -> None:
    with pytest.raises(SettingError, match="tokens must be a whole number"):
        with_zero_cache(qwen2, models.prompt(qwen2), 0)
    llava = models.llava()
    with pytest.raises(UnsupportedModelError, match="for texts: leave out pixel_values"):
        with_zero_cache(llava, models.prompt(llava), 2)
