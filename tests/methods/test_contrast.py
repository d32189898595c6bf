"""The branch follows its cache wherever it goes."""

from __future__ import annotations

import copy
from typing import Any

import contrasts
import models
import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from farsight import Method, SettingError, UnsupportedModelError
from farsight.methods.avisc import AvisC
from farsight.methods.branch_state import BranchState
from farsight.methods.icd import ICD
from farsight.methods.m3id import M3ID
from farsight.methods.pai import PAI
from farsight.methods.vcd import VCD

LOGITS: list[Method] = [VCD(beta=0.0), ICD(beta=0.0, prefix_ids=(33, 34)), M3ID(decay=0.3, alpha=1.0)]
"""Methods whose passes depend on nothing but their tokens, not on which of them were generated."""
METHODS: list[Method] = [*LOGITS, PAI(beta=0.0, start_layer=0), AvisC(beta=0.0)]
methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
builders = pytest.mark.parametrize("build", contrasts.BUILDERS)


def mitigated(build: Any, method: Method) -> tuple[Tensor, Tensor]:
    """Sequences and logits of a left-padded batch, ``(batch, steps, vocabulary)``."""
    model = contrasts.exact(build)
    with method(model):
        out = contrasts.generated(model, contrasts.left_padded(contrasts.two_prompts(model)))
    return out.sequences, torch.stack(out.logits, dim=1)


@methods
@builders
def test_without_a_cache_the_branch_is_computed_anew(method: Method, build: Any) -> None:
    model = contrasts.exact(build)
    sequences, logits = mitigated(build, method)
    with method(model):
        out = contrasts.generated(model, contrasts.left_padded(contrasts.two_prompts(model)), use_cache=False)
    assert torch.equal(out.sequences, sequences)
    torch.testing.assert_close(torch.stack(out.logits, dim=1), logits)


@methods
@builders
def test_assisted_decoding_gives_the_same_tokens(method: Method, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = contrasts.exact(build)
    prompt = contrasts.two_prompts(model)[0]
    prompt["input_ids"][0, -2:] = prompt["input_ids"][0, -4:-2]  # so that the prompt lookup finds candidates
    back = []
    roll_back_to = BranchState.roll_back_to
    monkeypatch.setattr(BranchState, "roll_back_to", lambda s, n: (back.append(s.length - n), roll_back_to(s, n)))
    with method(model):
        expected = contrasts.generated(model, prompt, max_new_tokens=16).sequences
        assert not any(back)
        assisted = contrasts.generated(model, prompt, max_new_tokens=16, prompt_lookup_num_tokens=3).sequences
    assert torch.equal(assisted, expected)
    assert any(back), "no candidate was rejected, so nothing was rolled back"


@methods
@pytest.mark.parametrize("build", [models.gemma3, *contrasts.BUILDERS])
def test_a_loop_of_ones_own_is_mitigated_too(method: Method, build: Any) -> None:
    model = build()
    prompt = models.prompt(model)
    with method(model):
        expected = torch.cat(contrasts.generated(model, prompt).logits)
        found = []
        with torch.no_grad():
            out = model(**prompt, use_cache=True)
            for _ in range(contrasts.STEPS):
                found.append(out.logits[:, -1])
                scores = found[-1].index_fill(1, torch.tensor(contrasts.IMAGE_TOKENS), -torch.inf)
                out = model(scores.argmax(dim=-1, keepdim=True), past_key_values=out.past_key_values)
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-4, rtol=1e-4)


@methods
def test_inside_the_prompt_the_models_own_logits_stay(method: Method) -> None:
    model = models.llava()
    prompt = models.prompt(model)
    with torch.no_grad():
        plain = model(**prompt).logits
        with method(model):
            changed = model(**prompt).logits
            (as_tuple, *_) = model(**prompt, return_dict=False)
    torch.testing.assert_close(changed[:, :-1], plain[:, :-1], atol=1e-5, rtol=1e-4)
    assert (changed[:, -1] - plain[:, -1]).abs().max() > 1e-2
    assert torch.equal(as_tuple, changed)


@methods
@builders
def test_a_copied_cache_goes_its_own_way(method: Method, build: Any) -> None:
    model = contrasts.exact(build)
    prompt = contrasts.two_prompts(model)[0]
    one, other = torch.tensor([[11]]), torch.tensor([[12]])
    with method(model), torch.no_grad():
        cache = model(**prompt, use_cache=True).past_key_values
        copied = copy.deepcopy(cache)
        model(other, past_key_values=copied)
        after = model(one, past_key_values=cache).logits
        fresh = model(**prompt, use_cache=True).past_key_values
        assert torch.equal(model(one, past_key_values=fresh).logits, after)


@methods
def test_rows_taken_from_a_cache_keep_their_branch(method: Method) -> None:
    model = contrasts.exact(models.llava)
    inputs = contrasts.left_padded(contrasts.two_prompts(model))
    next_tokens = torch.tensor([[11], [12]])
    mask = torch.nn.functional.pad(inputs["attention_mask"], (0, 1), value=1)
    with method(model), torch.no_grad():
        caches = [model(**inputs, use_cache=True).past_key_values for _ in range(3)]
        expected = model(next_tokens, past_key_values=caches[0], attention_mask=mask).logits
        caches[1].batch_select_indices(torch.tensor([1]))
        chosen = model(next_tokens[1:], past_key_values=caches[1], attention_mask=mask[1:]).logits
        caches[2].batch_repeat_interleave(2)
        repeated = model(
            next_tokens.repeat_interleave(2, 0), past_key_values=caches[2], attention_mask=mask.repeat_interleave(2, 0)
        ).logits
    torch.testing.assert_close(chosen, expected[1:])
    torch.testing.assert_close(repeated, expected.repeat_interleave(2, dim=0))


@pytest.mark.parametrize("method", LOGITS, ids=lambda method: method.name)
@builders
def test_a_second_turn_goes_on_from_the_cache(method: Method, build: Any) -> None:
    model = contrasts.exact(build)
    prompt = contrasts.two_prompts(model)[0]
    turn = torch.tensor([[21, 22, 23]])
    with method(model):
        first = contrasts.generated(model, prompt)
        ids = torch.cat((first.sequences, turn), dim=1)
        grown = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        second = contrasts.generated(model, grown, past_key_values=first.past_key_values)
        whole = prompt | grown
        if "mm_token_type_ids" in whole:
            width = ids.shape[1] - whole["mm_token_type_ids"].shape[1]
            whole["mm_token_type_ids"] = torch.nn.functional.pad(whole["mm_token_type_ids"], (0, width))
        expected = contrasts.generated(model, whole)
    torch.testing.assert_close(torch.cat(second.logits), torch.cat(expected.logits))


@pytest.mark.parametrize("method", LOGITS, ids=lambda method: method.name)
def test_a_returned_cache_serves_the_plain_model_afterwards(method: Method) -> None:
    model = contrasts.exact(models.llava)
    prompt = contrasts.two_prompts(model)[0]
    with torch.no_grad():
        with method(model):
            cache = model(**prompt, use_cache=True).past_key_values
        found = model(torch.tensor([[11]]), past_key_values=cache).logits
        plain = model(**prompt, use_cache=True).past_key_values
        assert torch.equal(model(torch.tensor([[11]]), past_key_values=plain).logits, found)


def test_the_image_is_encoded_once_for_each_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.llava()
    calls = []
    model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    with VCD()(model):
        contrasts.generated(model, models.prompt(model))
    assert len(calls) == 2


def refused(model: Any, method: Method, error: type[Exception], match: str, **kwargs: Any) -> None:
    prompt = models.prompt(model)
    with method(model), pytest.raises(error, match=match):
        contrasts.generated(model, prompt | kwargs.pop("inputs", {}), **kwargs)


def test_what_cannot_be_exact_is_refused() -> None:
    model = models.llava()
    prompt = models.prompt(model)
    refused(model, VCD(), UnsupportedModelError, "static cache", cache_implementation="static")
    refused(model, M3ID(), UnsupportedModelError, "prefill_chunk_size", prefill_chunk_size=4)
    embeds = model.get_input_embeddings()(prompt["input_ids"])
    with VCD()(model), pytest.raises(SettingError, match="input_ids"):
        model.generate(inputs_embeds=embeds, max_new_tokens=2)
    with VCD()(model), pytest.raises(SettingError, match="loss"):
        model(**prompt, labels=prompt["input_ids"])


def test_a_cache_that_the_branch_has_not_seen_is_refused() -> None:
    model = models.llava()
    prompt = models.prompt(model)
    with torch.no_grad():
        plain = model(**prompt, use_cache=True).past_key_values
        with VCD()(model):
            with pytest.raises(SettingError, match="empty cache"):
                model(torch.tensor([[11]]), past_key_values=plain)
            noised = model(**prompt, past_key_values=DynamicCache(config=model.config.text_config)).past_key_values
        with M3ID()(model), pytest.raises(SettingError, match="empty cache"):
            model(torch.tensor([[11]]), past_key_values=noised)
        with VCD()(model), pytest.raises(UnsupportedModelError, match="first forward"):
            model(**prompt, past_key_values=noised)


def test_two_branches_beside_one_model_are_refused() -> None:
    model = models.llava()
    with VCD()(model):
        with pytest.raises(SettingError, match="already enabled with VCD"), M3ID()(model):
            pass
        contrasts.generated(model, models.prompt(model))
    with M3ID()(model):
        contrasts.generated(model, models.prompt(model))
