"""A block never does nothing in silence, never changes more than its model, and leaves nothing behind."""

from __future__ import annotations

import copy
import gc
import logging
import subprocess
import sys
import weakref
from typing import Any

import models
import pytest
import torch
from model_state import state
from test_grid import LEAVE_THE_FIRST_TOKEN, ROWS, greedy, grid

import farsight
from farsight import ConstantGate, FarSight, FarSightError, Method, Plain, SettingError
from farsight.method import searches
from farsight.methods.pai import PAI

PARTS = {
    "the multimodal model without its head": lambda model: model.model,
    "the language model": lambda model: model.model.language_model,
}
FIRST_TURN = {"pai", "avisc", *LEAVE_THE_FIRST_TOKEN}
"""Methods that change the rows of an answer, which a next turn finds in its cache"""
LOOK_AT_ATTENTION = {"opera", "avisc"}


@grid
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_a_method_on_a_part_works_on_the_whole_or_says_that_it_does_not(method: Method, part: Any) -> None:
    model = models.llava()
    plain = torch.cat(greedy(model).logits)
    try:
        with method(part(model)):
            changed = torch.cat(greedy(model).logits)
    except FarSightError:
        assert torch.equal(torch.cat(greedy(model).logits), plain)
        return
    if not isinstance(method, Plain):
        with method(model):
            torch.testing.assert_close(changed, torch.cat(greedy(model).logits))
        assert not torch.equal(changed, plain)


@pytest.mark.parametrize("rows", ["all", "generated"])
def test_a_loop_of_ones_own_needs_a_horizon_that_it_can_know(rows: str) -> None:
    model = models.llama()
    ids = models.prompt(model)["input_ids"]
    past = model(ids, use_cache=True).past_key_values
    with torch.no_grad(), FarSight(rows=rows)(model), pytest.raises(SettingError, match="set horizon='infinite'"):
        model(ids[:, :1], past_key_values=past)
    with torch.no_grad(), FarSight(sigma=0.1, rows=rows, horizon="infinite")(model):
        past = model(ids, use_cache=True).past_key_values
        found = model(ids[:, :1], past_key_values=past).logits
    past = model(ids, use_cache=True).past_key_values
    assert not torch.allclose(found, model(ids[:, :1], past_key_values=past).logits, atol=1e-4)


@grid
@pytest.mark.parametrize("part", [lambda model: model, *PARTS.values()], ids=["whole", *PARTS])
@pytest.mark.parametrize("how", [copy.deepcopy, copy.copy])
def test_a_copy_inside_a_block_is_refused(method: Method, part: Any, how: Any) -> None:
    model = models.llava()
    greedy(model)
    before = state(model)
    with method(model), pytest.raises(SettingError, match="cannot be copied"):
        how(part(model))
    assert state(model) == before
    again = copy.deepcopy(model)
    assert torch.equal(torch.cat(greedy(again).logits), torch.cat(greedy(model).logits))


@grid
def test_an_implementation_set_inside_a_block_is_followed_or_an_error(method: Method) -> None:
    model = models.llava()
    with method(model):
        expected = torch.cat(greedy(model).logits)
    with method(model):
        model.set_attn_implementation("eager")
        if not {"scores", "gate"} & set(method.changes.split(" and ")) and method.name not in LOOK_AT_ATTENTION:
            torch.testing.assert_close(torch.cat(greedy(model).logits), expected, atol=1e-4, rtol=1e-4)
        else:
            with pytest.raises(FarSightError, match="inside a method's block"):
                greedy(model)
    configs = [model.config, model.config.text_config, model.config.vision_config]
    assert {config._attn_implementation for config in configs} == {"eager"}


def test_an_enabled_model_is_freed_like_any_other() -> None:
    model = models.llama()
    farsight.enable(model, FarSight())
    model(torch.tensor([[11, 12, 13]]))
    kept = weakref.ref(model)
    del model
    gc.collect()
    assert kept() is None


def test_a_program_that_ends_while_a_method_is_enabled_ends_quietly() -> None:
    program = (
        "import sys; sys.path.insert(0, 'tests'); import models, farsight\n"
        "model = models.llama(); farsight.enable(model, farsight.FarSight()); model.generate(**models.prompt(model), "
        "max_new_tokens=2)"
    )
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


@grid
def test_disable_inside_a_with_block_says_to_leave_it(method: Method) -> None:
    model = models.llava()
    with method(model):
        with pytest.raises(SettingError, match="with block: leave that block"):
            farsight.disable(model)
        with pytest.raises(SettingError, match="leave that block before enabling"), FarSight()(model):
            pass
        assert farsight.active_method(model) is method
    farsight.enable(model, method)
    with pytest.raises(SettingError, match=r"call farsight\.disable\(model\) before enabling"), FarSight()(model):
        pass
    farsight.disable(model)


@pytest.mark.parametrize("second", [FarSight(sigma=0.1), ConstantGate(value=0.5), PAI(start_layer=0)], ids=str)
@pytest.mark.parametrize("first_is_left_first", [True, False])
def test_two_models_of_one_config_have_a_method_each(second: Method, first_is_left_first: bool) -> None:
    one = models.llava()
    other = type(one)(one.config).eval()
    other.load_state_dict(one.state_dict())
    assert other.config is one.config
    first = FarSight(sigma=0.3)
    plain = torch.cat(greedy(one).logits)
    with first(one):
        alone = torch.cat(greedy(one).logits)
        assert torch.equal(torch.cat(greedy(other).logits), plain)
    with second(other):
        other_alone = torch.cat(greedy(other).logits)
    farsight.enable(one, first)
    farsight.enable(other, second)
    assert torch.equal(torch.cat(greedy(one).logits), alone)
    assert torch.equal(torch.cat(greedy(other).logits), other_alone)
    farsight.disable(one if first_is_left_first else other)
    left, still = (one, other) if first_is_left_first else (other, one)
    assert torch.equal(torch.cat(greedy(left).logits), plain)
    assert torch.equal(torch.cat(greedy(still).logits), other_alone if first_is_left_first else alone)
    farsight.disable(still)
    assert torch.equal(torch.cat(greedy(still).logits), plain)
    assert one.config.text_config._attn_implementation == "sdpa"


@pytest.mark.parametrize("method", [m for m in ROWS.values() if not isinstance(m, Plain)], ids=str)
def test_a_loss_is_that_of_the_logits_or_refused(method: Method) -> None:
    model = models.llava()
    prompt = models.prompt(model)
    with method(model):
        try:
            output = model(**prompt, labels=prompt["input_ids"], use_cache=False)
        except FarSightError:
            return
    logits, labels = output.logits[0, :-1].float(), prompt["input_ids"][0, 1:]
    torch.testing.assert_close(output.loss, torch.nn.functional.cross_entropy(logits, labels))


@pytest.mark.parametrize("name", ["vcd", "m3id", "pai", "avisc"])
@pytest.mark.parametrize("batch", ["alone", "mixed"])
def test_a_prompt_without_a_picture_is_refused_alone_and_in_a_batch(name: str, batch: str) -> None:
    model = models.llava()
    seen = models.prompt(model)
    blind = torch.arange(10, 10 + seen["input_ids"].shape[1])[None]
    ids = blind if batch == "alone" else torch.cat((seen["input_ids"], blind))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": seen["pixel_values"]}
    if batch == "alone":
        del inputs["pixel_values"]
    which = "the prompt has none" if batch == "alone" else r"prompts \[1\] of the batch have none"
    with ROWS[name](model), pytest.raises(SettingError, match=f"{name} needs an image, and {which}"):
        model.generate(**inputs, max_new_tokens=2)


@grid
def test_a_cache_that_is_given_back_has_the_models_own_layers_and_goes_on(method: Method) -> None:
    """A second turn goes on from the first one's cache as from the whole text, or is refused."""
    model = models.llava()
    prompt = models.prompt(model)
    how = {"do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    with method(model):
        first = model.generate(**prompt, max_new_tokens=4, **how)
        cache = first.past_key_values
        if cache is None:
            assert method.name == "farsight-released"  # it runs without one
            return
        assert len(cache.layers) == len(model.model.language_model.layers)
        assert all(layer.keys is not None for layer in cache.layers)
        assert len(cache.layers[0].keys) > 1 or cache.get_seq_length() == first.sequences.shape[1] - 1
        if searches(method):  # beams begin with a cache of their own
            return
        turn = torch.cat((first.sequences, torch.tensor([[11, 12, 13]])), dim=1)
        mask = torch.ones_like(turn)
        try:
            found = model.generate(input_ids=turn, attention_mask=mask, past_key_values=cache, max_new_tokens=3, **how)
        except FarSightError:
            return
        # the first turn's rows keep what that turn made of them: its horizon, its generated rows, its blind tokens
        of_the_turn = (getattr(method, "horizon", None), getattr(method, "rows", None))
        if "generation" in of_the_turn or "generated" in of_the_turn or method.name in FIRST_TURN:
            return
        whole = model.generate(**{**prompt, "input_ids": turn, "attention_mask": mask}, max_new_tokens=3, **how)
    torch.testing.assert_close(torch.cat(found.logits), torch.cat(whole.logits), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["opera", "beam search"])
def test_a_generation_config_and_beams_warn_of_nothing(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("transformers")
    monkeypatch.setattr(logger, "propagate", True)
    logging.getLogger("transformers.generation.utils").warning_once.cache_clear()  # type: ignore[attr-defined]
    model = models.llava()
    config = copy.deepcopy(model.generation_config)
    config.max_new_tokens = 4
    with ROWS[name](model):
        expected = model.generate(**models.prompt(model), max_new_tokens=4)
        given = model.generate(**models.prompt(model), generation_config=config)
    assert torch.equal(given, expected)
    assert "generation_config" not in caplog.text
    assert config.num_beams in (None, 1)
