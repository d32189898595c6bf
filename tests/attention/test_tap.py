"""Attention that carries taps is the model's own attention until they change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import models
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from farsight import FarSight, SettingError, UnsupportedModelError
from farsight.attention import LayerCall, Tap, chosen_layers, locate, tapped, watched

Edit = Callable[[Tensor, LayerCall], Tensor]


class Edited(Tap):
    def __init__(self, change: Edit) -> None:
        self.change = change

    def edit(self, scores: Tensor, call: LayerCall) -> Tensor:
        return self.change(scores, call)


def edited(
    model: PreTrainedModel, edit: Edit = lambda scores, call: scores, layers: Sequence[int] | None = None
) -> AbstractContextManager[None]:
    language_model = locate(model)
    return tapped(language_model, [(layer, Edited(edit)) for layer in chosen_layers(language_model, layers)])


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
    with edited(model):
        assert torch.equal(logits(model, given), expected)


@pytest.mark.parametrize("build", [models.llava, models.gemma3, models.qwen2_vl])
def test_layers_that_are_not_chosen_run_what_they_ran(build: Callable[..., Any]) -> None:
    model = build("sdpa")
    prompt = models.prompt(model)
    expected = logits(model, prompt)
    seen: list[int] = []
    with edited(model, layers=[1]), watched(locate(model), lambda call: seen.append(call.index * call.edited)):
        torch.testing.assert_close(logits(model, prompt), expected)
    assert seen == [0, 1] * 6


def test_what_is_seen_are_the_attention_weights() -> None:
    model = models.llava("eager")
    prompt = models.prompt(model)
    expected = model(**prompt, output_attentions=True).attentions
    seen: dict[int, Tensor] = {}
    with watched(locate(model), lambda call: seen.__setitem__(call.index, call.rows(0, call.query.shape[2]))):
        model(**prompt)
    assert all(torch.equal(seen[layer], expected[layer]) for layer in (0, 1))


def test_an_edit_changes_the_scores_before_the_mask() -> None:
    """Whatever an edit adds to masked slots, no row reads the future."""
    model = models.llava()
    prompt = models.prompt(model)
    later = {**prompt, "input_ids": prompt["input_ids"].clone()}
    later["input_ids"][0, -1] = 11

    def edit(scores: Tensor, call: LayerCall) -> Tensor:
        assert torch.equal(scores, call.scores(call.query, call.key))
        return scores + torch.arange(scores.shape[-1])

    with edited(model, edit):
        first, second = model(**prompt).logits, model(**later).logits
    assert torch.equal(first[:, :-1], second[:, :-1])
    assert not torch.allclose(first, model(**prompt).logits, atol=1e-3)


def test_gates_multiply_and_see_the_scores_that_edits_made() -> None:
    """A gate of Z / (Z + Z) halves every row, whatever an edit has added to the scores of all keys."""
    model = models.qwen2_vl()
    sums: list[Tensor] = []
    seen: list[Tensor] = []

    class Halved(Tap):
        def gate(self, lse: Tensor, call: LayerCall) -> Tensor:
            seen.append(lse)
            return torch.sigmoid(lse - lse)

    language_model = locate(model)
    halves = [(layer, Halved()) for layer in language_model.layers]
    with (
        edited(model, lambda scores, call: scores + 1.0),
        tapped(language_model, halves),
        tapped(language_model, halves[:1]),
        watched(language_model, lambda call: sums.append(call.rows(0, call.query.shape[2]).sum(-1))),
    ):
        model(**models.prompt(model))
    torch.testing.assert_close(sums[0], torch.full_like(sums[0], 0.25))
    torch.testing.assert_close(sums[1], torch.full_like(sums[1], 0.5))
    with watched(language_model, lambda call: seen.append(call.scored(0, call.query.shape[2]).lse)):
        model(**models.prompt(model))
    torch.testing.assert_close(seen[0], seen[3] + 1.0)


def test_the_models_own_sinks_take_their_share() -> None:
    model = models.gpt_oss()
    inputs = padded(model)
    expected = logits(model, inputs)
    with edited(model):
        torch.testing.assert_close(logits(model, inputs), expected)


def test_blocks_overlap_and_are_left_in_any_order() -> None:
    model = models.llama()
    prompt = models.prompt(model)

    def bias(by: float) -> Edit:
        return lambda scores, call: scores + by * torch.arange(scores.shape[-1])

    plain = model(**prompt).logits
    outer, inner = edited(model, bias(0.5)), edited(model, bias(0.25), [1])
    outer.__enter__()
    once = model(**prompt).logits
    inner.__enter__()
    twice = model(**prompt).logits
    assert not torch.equal(twice, once)
    outer.__exit__(None, None, None)
    with edited(model, bias(0.25), [1]):
        pass
    with edited(model, bias(0.5)):
        torch.testing.assert_close(model(**prompt).logits, twice)
    inner.__exit__(None, None, None)
    assert torch.equal(model(**prompt).logits, plain)
    assert model.config._attn_implementation == "sdpa"
    assert not any("farsight_taps" in vars(module) for module in model.modules())


def test_what_cannot_be_edited_is_refused() -> None:
    model = models.llama()
    with pytest.raises(SettingError, match=r"layers \[7\] are out of range: this model has 0 to 1"):
        edited(model, layers=[7])
    for config in locate(model).configs:
        config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(UnsupportedModelError, match=r"flash_attention_2.*attn_implementation='sdpa'"):
        edited(model).__enter__()


def test_an_implementation_that_is_changed_inside_a_block_is_an_error_and_stays_changed_after_it() -> None:
    model = models.llama()
    prompt = models.prompt(model)
    with FarSight()(model):
        model.set_attn_implementation("eager")
        with pytest.raises(UnsupportedModelError, match="changed to 'eager' inside a method's block"):
            model.generate(**prompt, max_new_tokens=2)
    assert model.config._attn_implementation == "eager"
    with FarSight()(model):
        model.generate(**prompt, max_new_tokens=2)
    assert model.config._attn_implementation == "eager"
