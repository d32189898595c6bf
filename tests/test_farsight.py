"""FarSight's settings, its limits, and the models that it leaves alone."""

from __future__ import annotations

import math
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import models
import pytest
import torch
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

from farsight import FarSight, SettingError, UnsupportedModelError
from farsight.attention.layers import locate, visual_token_mask


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"sigma": 0.0}, "sigma"),
        ({"sigma": -1.0}, "sigma"),
        ({"sigma": math.nan}, "sigma"),
        ({"sigma": math.inf}, "sigma"),
        ({"sigma": "0.8"}, "sigma"),
        ({"horizon": "forever"}, "horizon"),
        ({"horizon": 0}, "horizon"),
        ({"horizon": 2.5}, "horizon"),
        ({"horizon": True}, "horizon"),
        ({"profile": "cubic"}, "profile"),
        ({"profile": math.nan}, "profile"),
        ({"profile": 0.0, "horizon": "infinite"}, "infinite"),
        ({"slopes": "linear"}, "slopes"),
        ({"score_scale": 0.0}, "score_scale"),
        ({"strength": -0.1}, "strength"),
        ({"strength": (1.0, math.nan)}, "strength"),
        ({"strength": "strong"}, "strength"),
        ({"strength": ((1.0, 1.0), 1.0)}, "strength"),
        ({"strength": ()}, "strength"),
        ({"layers": ()}, "layers"),
        ({"layers": (-1,)}, "layers"),
        ({"heads": (0.5,)}, "heads"),
        ({"rows": "none"}, "rows"),
    ],
)
def test_a_setting_without_meaning_is_refused_in_one_line(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingError, match=named) as error:
        FarSight(**settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": (0, 2)}, r"layers \[2\] are out of range: this model has 0 to 1"),
        ({"heads": (4,)}, "heads .* out of range: layer 0 has 0 to 3"),
        ({"strength": (1.0, 1.0, 1.0)}, "strength has 3 layers, this model has 2"),
        ({"strength": ((1.0, 1.0), (1.0, 1.0))}, "strength has 2 heads, this model has 4"),
    ],
)
def test_a_setting_that_does_not_fit_the_model_is_refused(settings: dict[str, Any], message: str) -> None:
    model = models.llama()
    with pytest.raises(SettingError, match=message), FarSight(**settings)(model):
        pass
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("build", [models.llava, models.mistral, models.gemma3, models.qwen2_vl])
@pytest.mark.parametrize("horizon", ["generation", "infinite", 100])
def test_sigma_50_gives_the_logits_of_the_plain_model_exactly(build: Any, horizon: str | int) -> None:
    model = build()
    inputs = {**models.prompt(model), "max_new_tokens": 8, "do_sample": False}
    kwargs = {"output_logits": True, "return_dict_in_generate": True}
    plain = model.generate(**inputs, **kwargs)
    with FarSight(sigma=50.0, horizon=horizon)(model):
        registered = model.generate(**inputs, **kwargs)
    assert torch.equal(torch.cat(plain.logits), torch.cat(registered.logits))


def test_vision_tower_and_projector_are_left_alone() -> None:
    model = models.llava()
    pixels = models.prompt(model)["pixel_values"]
    plain = model.get_image_features(pixels).pooler_output
    with FarSight(sigma=0.05)(model):
        registered = model.get_image_features(pixels).pooler_output
        assert model.config.vision_config._attn_implementation == "sdpa"
    for one, other in zip(plain, registered, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (models.llama, "model"),
        (models.llava, "model.language_model"),
        (models.gemma3, "model.language_model"),
        (models.qwen2_vl, "model.language_model"),
    ],
)
def test_the_language_model_is_found(build: Any, name: str) -> None:
    found = locate(build())
    assert found.name == name
    assert [layer.index for layer in found.layers] == [0, 1]
    assert all(layer.name == f"{name}.layers.{layer.index}.self_attn" for layer in found.layers)
    assert {layer.heads for layer in found.layers} == {4}


def test_image_tokens_of_a_prompt_are_found() -> None:
    model = models.llava()
    ids = models.prompt(model, before=2, after=3)["input_ids"]
    assert visual_token_mask(model, ids)[0].tolist() == [False] * 2 + [True] * 9 + [False] * 3
    with pytest.raises(UnsupportedModelError, match=r"reads only text .* try farsight, beam or dola"):
        visual_token_mask(models.llama(), ids)


def test_a_model_without_a_decoder_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="Linear is not a Transformers model"), FarSight()(nn.Linear(2, 2)):
        pass


def test_the_decoder_behind_an_encoder_is_found_only_by_those_that_can_do_with_it() -> None:
    config = T5Config(vocab_size=16, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0)
    model = T5ForConditionalGeneration(config)
    with pytest.raises(UnsupportedModelError, match="T5ForConditionalGeneration is an encoder-decoder"):
        locate(model)
    found = locate(model, encoder_decoder=True)
    assert [layer.name for layer in found.layers] == ["decoder.block.0.layer.0.SelfAttention"]
    assert found.behind_encoder


def test_an_attention_implementation_without_log_sum_exp_is_refused() -> None:
    model = models.llama()
    model.config._attn_implementation_internal = "paged|eager"
    with pytest.raises(UnsupportedModelError, match="attn_implementation='sdpa'"), FarSight()(model):
        pass


def test_registers_that_no_attention_function_reads_are_an_error() -> None:
    """What an eager 4-D mask does to the released code: nothing at all, in silence."""
    model = models.llama()
    with FarSight()(model):
        model.model.layers[1].self_attn.forward = lambda hidden_states, **kwargs: (hidden_states, None)
        with pytest.raises(UnsupportedModelError, match=r"layers \[1\].* did not run"):
            model(torch.tensor([[11, 12, 13]]))


def test_attention_dropout_is_refused() -> None:
    model = models.llama(attention_dropout=0.5).train()
    with FarSight()(model), pytest.raises(UnsupportedModelError, match=r"model\.eval"):
        model(torch.tensor([[11, 12, 13]]))


def test_gradients_flow_through_the_gate() -> None:
    model = models.llama()
    with FarSight(sigma=0.3)(model):
        model(torch.tensor([[11, 12, 13]])).logits.sum().backward()
    gradient = model.model.layers[0].self_attn.q_proj.weight.grad
    assert gradient is not None
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().max()) > 0


def test_importing_changes_nothing_in_transformers() -> None:
    script = """
from transformers import AttentionInterface, AttentionMaskInterface
names = set(AttentionInterface()), set(AttentionMaskInterface())
functions = dict(AttentionInterface())
import farsight
from farsight import FarSight
assert (set(AttentionInterface()), set(AttentionMaskInterface())) == names
assert dict(AttentionInterface()) == functions
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_reference_returns_attention_weights_with_the_registers_share_taken_out() -> None:
    model = models.llava("eager")
    with FarSight(sigma=0.3)(model), torch.no_grad():
        found = model(**models.prompt(model), output_attentions=True).attentions
    with torch.no_grad():
        plain = model(**models.prompt(model), output_attentions=True).attentions
    kept = found[0].sum(-1)
    assert bool((kept[..., :-1] < 1).all())
    assert torch.allclose(kept[..., -1], torch.ones(()))
    # in the first layer, where both see the same states, each row is the plain one times its gate
    torch.testing.assert_close(found[0], plain[0] * kept.unsqueeze(-1), atol=1e-6, rtol=0)


def test_a_model_in_place_of_settings_and_a_pipeline_are_told_what_to_write() -> None:
    cls: Any = FarSight
    model = torch.nn.Linear(1, 1)
    with pytest.raises(SettingError, match=r"with FarSight\(\)\(model\): \.\.\."):
        cls(model)
    pipeline: Any = SimpleNamespace(model=model)
    with pytest.raises(UnsupportedModelError, match=r"write method\(pipeline\.model\)"), FarSight()(pipeline):
        pass
