"""EDVT and FixVPE move visual tokens for text rows and for nothing else, at every step, with the cache."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import models
import pytest
import torch
from decoding import NEW, assert_a_batch_is_each_prompt_alone, continued, left_padded, steps, two_prompts
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    CohereConfig,
    DynamicCache,
    GlmConfig,
    LlavaForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
)

from farsight import FarSight, Method, Plain, SettingError, UnsupportedModelError
from farsight.methods.edvt import EDVT
from farsight.methods.fixvpe import FixVPE, next_text

METHODS: list[Callable[..., Method]] = [EDVT, FixVPE]
BUILDERS: list[Callable[..., Any]] = [models.llava, models.qwen2_vl]
methods = pytest.mark.parametrize("method", METHODS)
builders = pytest.mark.parametrize("build", BUILDERS)


def axes_and_positions(model: PreTrainedModel, ids: list[int]) -> tuple[list[int], list[list[int]]]:
    """Which axis each frequency turns by, and the position of every token along three axes, counted by hand.

    The image of the tiny Qwen2-VL is 2 x 2 tokens; LLaVA's tokens are counted one by one.
    """
    if model.config.model_type != "qwen2_vl":
        return [0, 0, 0, 0], [[i, i, i] for i in range(len(ids))]
    positions: list[list[int]] = []
    following, image = 0, 0
    for token in ids:
        if token == models.IMAGE_TOKEN:
            positions.append([following, following + image // 2, following + image % 2])
            image += 1
            if image == 4:
                following += 2
        else:
            positions.append([following] * 3)
            following += 1
    return [0, 1, 2, 2], positions


@contextmanager
def defined(
    model: PreTrainedModel, ids: list[int], kind: str, strength: float, sigma: float = math.inf, horizon: int = 0
) -> Iterator[None]:
    """The equations in float64 over the whole sequence, from projections before any rotation.

    Slots ahead of a row and before the horizon hold registers of decay ``sigma``, which are erased after the softmax.
    """
    axes, positions = axes_and_positions(model, ids)
    visual = [token == models.IMAGE_TOKEN for token in ids]
    after = visual.index(True) + sum(visual)  # the first text token behind the image
    theta = torch.tensor([1e4 ** (-2 * m / 8) for m in range(4)], dtype=torch.float64)
    angles = torch.tensor([[p[axis] for axis in axes] for p in positions], dtype=torch.float64) * theta
    raw: dict[tuple[int, str], Tensor] = {}

    def attention(
        module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float, **_: Any
    ) -> tuple[Tensor, None]:
        heads, length = query.shape[1], len(ids)
        q, k = (raw[module.layer_idx, n].view(length, -1, 8).transpose(0, 1) for n in ("q", "k"))
        groups = heads // k.shape[0]
        # complex numbers: a rotation by p is a multiplication by exp(i p theta)
        q, k = (torch.complex(x[..., :4], x[..., 4:]) for x in (q, k.repeat_interleave(groups, 0)))
        scores = torch.full((heads, length, length), -torch.inf, dtype=torch.float64)
        for i in range(length):
            for j in range(i + 1):
                distance = angles[i] - angles[j]
                score = (q[:, i] * k[:, j].conj() * torch.exp(1j * distance)).real.sum(-1)
                if visual[j] and not visual[i]:
                    moved = torch.zeros(4) if kind == "edvt" else angles[after] - angles[j]
                    other = (q[:, i] * k[:, j].conj() * torch.exp(1j * moved)).real.sum(-1)
                    score = (1 - strength) * score + strength * other
                scores[:, i, j] = score * scaling
        slots = torch.arange(max(length, horizon), dtype=torch.float64)
        ahead = slots[None] - slots[:length, None]
        filled = nn.functional.pad(scores, (0, len(slots) - length), value=-torch.inf)
        filled = torch.where((ahead > 0) & (slots < horizon), -ahead * sigma, filled)
        weights = filled.softmax(-1)[..., :length].tril()
        output = weights @ value[0].repeat_interleave(groups, 0)
        return output.transpose(0, 1)[None], None

    AttentionInterface.register("moved by hand", attention)
    AttentionMaskInterface.register("moved by hand", AttentionMaskInterface()["eager"])
    config = model.config.get_text_config()
    before, config._attn_implementation_internal = config._attn_implementation, "moved by hand"
    with ExitStack() as stack:
        for index, layer in enumerate(model.get_decoder().layers):
            for name in ("q", "k"):
                projection = getattr(layer.self_attn, f"{name}_proj")
                place = (index, name)
                hook = projection.register_forward_hook(lambda m, a, out, place=place: raw.__setitem__(place, out[0]))
                stack.callback(hook.remove)
        yield
    config._attn_implementation_internal = before


def by_definition(
    model: PreTrainedModel, inputs: dict[str, Tensor], new: Tensor, kind: str, strength: float = 1.0, **registers: Any
) -> Tensor:
    longer = continued(inputs, new)
    exact = copy.deepcopy(model).double()
    with torch.no_grad(), defined(exact, longer["input_ids"][0].tolist(), kind, strength, **registers):
        logits: Tensor = exact(**longer, use_cache=False).logits[0, -1]
    return logits


@methods
@builders
@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_each_step_is_the_equation(build: Callable[..., Any], method: Any, strength: float) -> None:
    model = build()
    inputs = models.prompt(model)
    tokens, logits = steps(model, method(strength=strength), inputs)
    for step in range(NEW):
        expected = by_definition(model, inputs, tokens[:, :step], method.name, strength)
        torch.testing.assert_close(logits[0, step].double(), expected, atol=1e-4, rtol=0)
    assert not torch.allclose(steps(model, Plain(), inputs)[1][0, 0], logits[0, 0], atol=1e-3)


@methods
@builders
def test_registers_join_the_softmax_over_the_moved_scores(build: Callable[..., Any], method: Any) -> None:
    model = build()
    inputs = models.prompt(model)
    tokens, logits = steps(model, method() + FarSight(sigma=0.2), inputs)
    registers = {"sigma": 0.2, "horizon": inputs["input_ids"].shape[1] + NEW}
    for step in range(NEW):
        expected = by_definition(model, inputs, tokens[:, :step], method.name, **registers)
        torch.testing.assert_close(logits[0, step].double(), expected, atol=1e-4, rtol=0)
    for alone in (method(), FarSight(sigma=0.2)):
        assert not torch.allclose(steps(model, alone, inputs)[1][0, 0], logits[0, 0], atol=1e-3)


@methods
@pytest.mark.parametrize("build", [*BUILDERS, models.gemma3])
def test_a_left_padded_batch_is_each_prompt_alone(build: Callable[..., Any], method: Any) -> None:
    assert_a_batch_is_each_prompt_alone(build(), method())


@methods
@pytest.mark.parametrize("build", [*BUILDERS, models.gemma3])
def test_the_cache_changes_nothing(build: Callable[..., Any], method: Any) -> None:
    """Also where sliding windows drop old keys (Gemma 3)."""
    model = build()
    inputs = left_padded(two_prompts(model))
    cached, expected = steps(model, method(), inputs), steps(model, method(), inputs, use_cache=False)
    assert torch.equal(cached[0], expected[0])
    torch.testing.assert_close(cached[1], expected[1], atol=1e-4, rtol=0)


@methods
@pytest.mark.parametrize("build", [*BUILDERS, models.gemma3])
def test_without_strength_the_tokens_are_plain(build: Callable[..., Any], method: Any) -> None:
    model = build()
    batch = left_padded(two_prompts(model))
    assert torch.equal(steps(model, method(strength=0), batch)[0], steps(model, Plain(), batch)[0])


@methods
@pytest.mark.parametrize("build", [models.llava, models.gemma3])
def test_beams_see_the_same_positions_with_and_without_the_cache(build: Callable[..., Any], method: Any) -> None:
    model = build()
    inputs = left_padded(two_prompts(model))
    options = {"max_new_tokens": NEW, "num_beams": 3, "do_sample": False, "suppress_tokens": [models.IMAGE_TOKEN, 6]}
    with method()(model):
        cached = model.generate(**inputs, **options)
        assert torch.equal(model.generate(**inputs, **options, use_cache=False), cached)


@methods
def test_candidates_that_assisted_decoding_takes_back_leave_nothing(method: Any) -> None:
    model = models.llava()
    inputs = models.prompt(model)
    inputs["input_ids"][0, -4:] = torch.tensor([20, 21, 20, 21])
    expected, _ = steps(model, method(), inputs, max_new_tokens=12)
    assisted, _ = steps(model, method(), inputs, max_new_tokens=12, prompt_lookup_num_tokens=3)
    assert torch.equal(assisted, expected)


@methods
@builders
def test_bfloat16_is_near_to_float32(build: Callable[..., Any], method: Any) -> None:
    model = build()
    inputs = models.prompt(model)
    low = {name: value.bfloat16() if value.is_floating_point() else value for name, value in inputs.items()}
    with torch.no_grad():
        with method()(model):
            expected = model(**inputs).logits
        plain = model(**inputs).logits
        with method()(model.bfloat16()):
            found = model(**low).logits.float()
    assert float((found - expected).abs().mean()) < 0.2 * float((plain - expected)[:, -3:].abs().mean())


@methods
def test_a_second_pass_beside_the_first_has_positions_of_its_own(method: Any) -> None:
    """As a contrast runs it: inside the model's forward, on another prompt, with a cache of its own."""
    model = models.llava()
    (first, second), more = two_prompts(model), torch.tensor([[11]])
    found: list[Tensor] = []
    with torch.no_grad(), method()(model):
        expected = [model(**first).logits]
        cache = model(**first, use_cache=True).past_key_values
        expected.append(model(input_ids=more, past_key_values=cache).logits)
        own, caches = model.forward, [DynamicCache(config=model.config), DynamicCache(config=model.config)]

        def beside(**inputs: Any) -> Any:
            output = own(**inputs, past_key_values=caches[0], use_cache=True)
            own(**(second if "pixel_values" in inputs else inputs), past_key_values=caches[1], use_cache=True)
            return output

        model.forward = beside
        found = [model(**first).logits, model(input_ids=more).logits]
        model.forward = own
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@methods
def test_a_conversation_goes_on_from_its_cache(method: Any) -> None:
    model = models.llava()
    prompt = models.prompt(model)
    more = torch.tensor([[11, 12, 13]])
    with torch.no_grad(), method()(model):
        first = model(**prompt, use_cache=True)
        second = model(input_ids=more, past_key_values=first.past_key_values).logits
        whole = model(input_ids=torch.cat((prompt["input_ids"], more), 1), pixel_values=prompt["pixel_values"]).logits
    torch.testing.assert_close(second, whole[:, -3:], atol=1e-5, rtol=0)


def test_images_at_other_places_have_text_of_their_own() -> None:
    visual = torch.tensor([[0, 1, 1, 0, 1, 0, 0], [0, 0, 0, 1, 1, 0, 1]], dtype=torch.bool)
    assert next_text(visual).tolist() == [[0, 3, 3, 3, 5, 5, 6], [0, 1, 2, 5, 5, 5, 6]]


@methods
def test_what_cannot_be_exact_is_refused(method: Any) -> None:
    with pytest.raises(UnsupportedModelError, match="image"):
        method()(models.llama()).__enter__()
    model = models.llava()
    prompt = models.prompt(model)
    cache = model(**prompt, use_cache=True).past_key_values
    with method()(model):
        with pytest.raises(UnsupportedModelError, match="not filled inside the block"):
            model(input_ids=torch.tensor([[11]]), past_key_values=cache)
        with pytest.raises(SettingError, match="input_ids"):
            model(inputs_embeds=torch.zeros(1, 3, 32))
        with pytest.raises(UnsupportedModelError, match="static cache"):
            model.generate(**prompt, max_new_tokens=2, cache_implementation="static")


def llava_with(text: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    config = copy.deepcopy(models.llava().config)
    config.text_config = text
    model = LlavaForConditionalGeneration(config).eval()
    model.generation_config.eos_token_id = model.generation_config.bos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


SIZES: dict[str, Any] = {
    "vocab_size": models.VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
    "eos_token_id": None,
    "initializer_range": 0.3,
}


@methods
def test_queries_that_are_normed_before_their_rotation_are_known(method: Any) -> None:
    model = llava_with(Qwen3Config(**SIZES))
    inputs = left_padded(two_prompts(model))
    cached, expected = steps(model, method(), inputs), steps(model, method(), inputs, use_cache=False)
    torch.testing.assert_close(cached[1], expected[1], atol=1e-4, rtol=0)
    assert not torch.allclose(steps(model, Plain(), inputs)[1][:, 0], cached[1][:, 0], atol=1e-3)


@methods
@pytest.mark.parametrize("text", [GlmConfig, CohereConfig], ids=["half of the head", "neighbours"])
def test_a_model_that_rotates_otherwise_is_refused(method: Any, text: Any) -> None:
    model = llava_with(text(**SIZES))
    with method()(model), pytest.raises(UnsupportedModelError, match="by halves of the whole head"):
        model(**models.prompt(model))


@methods
@pytest.mark.parametrize("strength", [-0.1, 1.1, "1", True, None])
def test_a_strength_without_meaning_is_refused(method: Any, strength: Any) -> None:
    with pytest.raises(SettingError, match="strength"):
        method(strength=strength)
