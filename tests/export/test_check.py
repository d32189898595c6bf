"""A model is run to see whether registers can be tokens of it, and the answer has its reason."""

from __future__ import annotations

from typing import Any

import models
import pytest
import torch
from model_state import state
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from farsight.errors import SettingError
from farsight.export.check import behind, check_tokens

TEXT = {
    "vocab_size": models.VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3, "pad_token_id": 0,
}  # fmt: skip


def random(kind: Any, config: Any) -> PreTrainedModel:
    """A model whose biases are as random as its matrices."""
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return model


@pytest.mark.parametrize("tokens", [1, 5, 20])
@pytest.mark.parametrize("name", ["llama", "llava", "llava_next_video", "mistral", "gemma2", "gemma3"])
def test_tokens_are_registers_within_the_windows(name: str, tokens: int) -> None:
    model = widened(getattr(models, name)())
    inputs = models.prompt(model)
    if name == "gemma3":  # a picture's rows read each other, and have fewer registers than there are tokens
        inputs = {"input_ids": inputs["input_ids"].clamp(min=8), "attention_mask": inputs["attention_mask"]}
    found = check_tokens(model, inputs, tokens)
    assert found.possible, found.reason
    assert found.error is not None
    assert found.effect is not None
    assert found.error < 1e-4
    assert found.effect > 0.1
    assert found.window == (None if "llava" in name or name == "llama" else 64)


def widened(model: PreTrainedModel) -> PreTrainedModel:
    """The same model with windows of 64 tokens, longer than any prompt here."""
    for part in (model.config.get_text_config(), *model.modules()):
        if getattr(part, "sliding_window", None) is not None:
            part.sliding_window = 64
    return model


def test_three_dimensional_positions_are_relative_too() -> None:
    model = models.qwen2_vl()  # with the biases that it begins with, which are zeros
    found = check_tokens(model, models.prompt(model))
    assert found.possible, found.reason


@pytest.mark.parametrize("name", ["mistral", "gemma2"])
def test_beyond_a_sliding_window_the_registers_are_lost(name: str) -> None:
    model = getattr(models, name)()
    found = check_tokens(model, models.prompt(model, 2, 12))
    assert (found.possible, found.window) == (False, 6)
    assert "differ from FarSight's by" in str(found.reason)


def test_a_picture_that_is_read_both_ways_has_fewer_registers_than_tokens() -> None:
    model = widened(models.gemma3())
    assert "differ from FarSight's by" in str(check_tokens(model, models.prompt(model)).reason)


def test_biases_are_named_and_the_alternative_with_them() -> None:
    found = check_tokens(random(Qwen2ForCausalLM, Qwen2Config(**TEXT)))
    assert not found.possible
    assert found.error is None
    reason = str(found.reason)
    assert "a key that is not zero in layer 0" in reason
    assert "0.self_attn.q_proj.bias is one of 6 biases" in reason
    assert "vLLM plugin" in reason


def test_the_same_model_without_biases_can() -> None:
    model = random(Qwen3ForCausalLM, Qwen3Config(**TEXT, head_dim=8))
    assert check_tokens(model, models.prompt(model)).possible


def test_a_bias_behind_attention_reaches_the_next_layer() -> None:
    model = random(Qwen3ForCausalLM, Qwen3Config(**TEXT, head_dim=8))
    model.model.layers[0].mlp.down_proj.bias = torch.nn.Parameter(torch.ones(32))
    assert "not zero in layer 1 (0.mlp.down_proj.bias" in str(check_tokens(model).reason)


def test_learned_positions_and_encoder_decoders_are_refused() -> None:
    learned = GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4)
    assert "is not zero in layer 0" in str(check_tokens(random(GPT2LMHeadModel, learned)).reason)
    both = T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)
    assert "encoder-decoder" in str(check_tokens(random(T5ForConditionalGeneration, both)).reason)


def test_a_shifted_embedding_is_seen() -> None:
    model = models.llama()
    embedding = model.get_input_embeddings()
    embedding.register_forward_hook(lambda module, given, found: found + 0.1)
    assert "is not zero in layer 0" in str(check_tokens(model).reason)


def test_looking_changes_nothing() -> None:
    model = models.llava()
    model(**models.prompt(model))  # the first forward of any model leaves attributes behind
    before = state(model)
    check_tokens(model, models.prompt(model))
    assert state(model) == before


def test_what_has_an_entry_per_token_grows() -> None:
    model = models.gemma3()
    inputs = models.prompt(model)
    grown = behind(inputs, 3, 4)
    assert grown["input_ids"][0, :5].tolist() == [3, 3, 3, 3, int(inputs["input_ids"][0, 0])]
    assert grown["attention_mask"].shape == grown["token_type_ids"].shape == grown["input_ids"].shape
    assert grown["attention_mask"].all()
    assert grown["pixel_values"] is inputs["pixel_values"]


def test_a_number_of_tokens_that_is_none_is_refused() -> None:
    with pytest.raises(SettingError, match="tokens must be a whole number"):
        check_tokens(models.llama(), None, 0)
