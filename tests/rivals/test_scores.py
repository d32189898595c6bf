"""Attention whose scores can be edited is the model's own attention until they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import models
import pytest
import torch
from torch import Tensor
from transformers import GptOssConfig, GptOssForCausalLM, PreTrainedModel

from farsight import FarSight, SettingError, UnsupportedModelError
from farsight.language_model import locate
from farsight.rivals.scores import AttentionCall, edited

BUILDERS = [models.llama, models.mistral, models.gemma2, models.llava, models.gemma3, models.qwen2_vl]


def logits(model: PreTrainedModel, inputs: dict[str, Tensor]) -> Tensor:
    output = model.generate(
        **inputs, max_new_tokens=6, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    return torch.stack(output.logits)


def padded(model: PreTrainedModel) -> dict[str, Tensor]:
    """One prompt, and the same with two slots of padding in front of its text: no picture in the second."""
    ids = torch.randint(10, models.VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    ids[1, :3], mask[1, :3] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("inputs", [models.prompt, padded])
def test_without_an_edit_it_is_the_eager_implementation(build: Callable[..., Any], inputs: Callable[..., Any]) -> None:
    model = build("eager")
    given = inputs(model)
    expected = logits(model, given)
    with edited(locate(model)):
        assert torch.equal(logits(model, given), expected)


@pytest.mark.parametrize("build", [models.llava, models.gemma3, models.qwen2_vl])
def test_layers_that_are_not_chosen_run_what_they_ran(build: Callable[..., Any]) -> None:
    model = build("sdpa")
    prompt = models.prompt(model)
    expected = logits(model, prompt)
    seen: list[int] = []
    with edited(locate(model), [1], seen=lambda layer, weights: seen.append(layer)):
        torch.testing.assert_close(logits(model, prompt), expected)
    assert seen == [1] * 6


def test_what_is_seen_are_the_attention_weights() -> None:
    model = models.llava("eager")
    prompt = models.prompt(model)
    expected = model(**prompt, output_attentions=True).attentions
    seen: dict[int, Tensor] = {}
    with edited(locate(model), seen=seen.__setitem__):
        model(**prompt)
    assert all(torch.equal(seen[layer], expected[layer]) for layer in (0, 1))


def test_an_edit_changes_the_scores_before_the_mask() -> None:
    """Whatever an edit adds to masked slots, no row reads the future."""
    model = models.llava()
    prompt = models.prompt(model)
    later = {**prompt, "input_ids": prompt["input_ids"].clone()}
    later["input_ids"][0, -1] = 11

    def edit(layer: int, scores: Tensor, call: AttentionCall) -> Tensor:
        assert torch.equal(scores, call.scores(call.query, call.key))
        return scores + torch.arange(scores.shape[-1])

    with edited(locate(model), edit=edit):
        first, second = model(**prompt).logits, model(**later).logits
    assert torch.equal(first[:, :-1], second[:, :-1])
    assert not torch.allclose(first, model(**prompt).logits, atol=1e-3)


def test_columns_that_an_edit_adds_take_their_share_and_are_dropped() -> None:
    model = models.qwen2_vl()
    sums: list[Tensor] = []

    def edit(layer: int, scores: Tensor, call: AttentionCall) -> Tensor:
        allowed = scores if call.allowed is None else scores.masked_fill(~call.allowed, -torch.inf)
        return torch.cat((scores, allowed.logsumexp(-1, keepdim=True)), dim=-1)

    with edited(locate(model), edit=edit, seen=lambda layer, weights: sums.append(weights.sum(-1))):
        model(**models.prompt(model))
    torch.testing.assert_close(torch.stack(sums), torch.full_like(torch.stack(sums), 0.5))


def test_the_models_own_sinks_take_their_share() -> None:
    torch.manual_seed(0)
    config = GptOssConfig(
        vocab_size=models.VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        num_local_experts=2,
        num_experts_per_tok=1,
        sliding_window=6,
        pad_token_id=0,
        eos_token_id=None,
        initializer_range=0.3,
    )
    model = GptOssForCausalLM(config).eval()
    model.set_attn_implementation("eager")
    for layer in model.get_decoder().layers:
        torch.nn.init.normal_(layer.self_attn.sinks)
    inputs = padded(model)
    expected = logits(model, inputs)
    with edited(locate(model)):
        torch.testing.assert_close(logits(model, inputs), expected)


def test_nested_blocks_apply_both_edits_and_leave_one_by_one() -> None:
    model = models.llama()
    prompt = models.prompt(model)

    def bias(by: float) -> Callable[[int, Tensor, AttentionCall], Tensor]:
        return lambda layer, scores, call: scores + by * torch.arange(scores.shape[-1])

    plain = model(**prompt).logits
    with edited(locate(model), edit=bias(0.5)):
        once = model(**prompt).logits
        with edited(locate(model), [1], edit=bias(0.25)):
            twice = model(**prompt).logits
        assert torch.equal(model(**prompt).logits, once)
    assert torch.equal(model(**prompt).logits, plain)
    with edited(locate(model), [0], edit=bias(0.5)), edited(locate(model), [1], edit=bias(0.75)):
        torch.testing.assert_close(model(**prompt).logits, twice)
    assert model.config._attn_implementation == "sdpa"
    assert not any("farsight_edits" in vars(module) for module in model.modules())


def test_what_cannot_be_edited_is_refused() -> None:
    model = models.llama()
    language_model = locate(model)
    with pytest.raises(SettingError, match=r"layers \[7\] are out of range: this model has 0 to 1"):
        edited(language_model, [7]).__enter__()
    model.set_attn_implementation("flex_attention")
    with pytest.raises(UnsupportedModelError, match=r"flex_attention.*attn_implementation='sdpa'"):
        edited(language_model).__enter__()
    model.set_attn_implementation("sdpa")
    with FarSight()(model), pytest.raises(UnsupportedModelError, match=r"farsight_sdpa.*another method"):
        edited(language_model).__enter__()
