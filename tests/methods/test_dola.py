"""DoLa decodes from what the last layer knows and an early one does not, at every step."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import models
import pytest
import torch
from decoding import NEW, assert_a_batch_is_each_prompt_alone, left_padded, steps, two_prompts
from layer_logits import layer_logits
from torch import Tensor
from transformers import GraniteConfig, GraniteForCausalLM

from farsight import Plain, SettingError, UnsupportedModelError
from farsight.methods.dola import DoLa


def deep_llava() -> Any:
    return models.llava(num_hidden_layers=6)


BUILDERS: list[Callable[..., Any]] = [deep_llava, models.qwen2_vl, models.mistral]


def by_definition(final: Tensor, earlier: list[Tensor], layers: list[int], relative_top: float) -> Tensor:
    """Equations 2 to 5, one probability at a time."""
    p = final.softmax(-1)

    def divergence(layer: int) -> float:
        q = earlier[layer].softmax(-1)
        m = (p + q) / 2
        return float(0.5 * (p * (p / m).log()).sum() + 0.5 * (q * (q / m).log()).sum())

    premature = max(layers, key=divergence)
    q = earlier[premature].softmax(-1)
    scores = [(p[x].log() - q[x].log()).item() if p[x] >= relative_top * p.max() else -torch.inf for x in range(len(p))]
    return torch.tensor(scores, dtype=torch.float64)


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("relative_top", [0.1, 0.0])
@pytest.mark.parametrize("final_norm", [True, False])
@pytest.mark.parametrize("layers", [(0, 1), (1,)], ids=["dynamic", "static"])
def test_each_step_is_the_equation(
    build: Callable[..., Any], relative_top: float, final_norm: bool, layers: tuple[int, ...]
) -> None:
    model = build()
    inputs = models.prompt(model)
    method = DoLa(layers=layers, relative_top=relative_top, final_norm=final_norm)
    tokens, logits = steps(model, method, inputs)
    for step in range(NEW):
        exact = layer_logits(model, inputs, tokens[:, :step], final_norm=final_norm)
        expected = by_definition(*exact, list(layers), relative_top)
        torch.testing.assert_close(logits[0, step].double(), expected, atol=1e-4, rtol=0)


def test_the_premature_layer_is_chosen_for_each_token() -> None:
    model = deep_llava()
    inputs = models.prompt(model)
    candidates = [2, 3, 4, 5]
    tokens, logits = steps(model, DoLa(layers=candidates, relative_top=0.0), inputs, max_new_tokens=12)
    chosen = set()
    for step in range(12):
        final, earlier = layer_logits(model, inputs, tokens[:, :step])
        expected = by_definition(final, earlier, candidates, 0.0)
        torch.testing.assert_close(logits[0, step].double(), expected, atol=1e-4, rtol=0)
        chosen |= {
            layer for layer in candidates if torch.allclose(expected, by_definition(final, earlier, [layer], 0.0))
        }
    assert len(chosen) > 1


@pytest.mark.parametrize("build", BUILDERS)
def test_a_left_padded_batch_is_each_prompt_alone(build: Callable[..., Any]) -> None:
    assert_a_batch_is_each_prompt_alone(build(), DoLa(layers=(0, 1)))


@pytest.mark.parametrize("build", [*BUILDERS, models.gemma2, models.gemma3])
def test_keeping_the_most_probable_token_alone_gives_the_plain_tokens(build: Callable[..., Any]) -> None:
    model = build()
    batch = left_padded(two_prompts(model))
    plain, _ = steps(model, Plain(), batch, suppress_tokens=None)
    assert torch.equal(steps(model, DoLa(relative_top=1.0), batch, suppress_tokens=None)[0], plain)


def test_a_final_soft_cap_applies_to_early_layers_too() -> None:
    model = models.gemma2()
    model.config.final_logit_softcapping = 3.0
    inputs = models.prompt(model)
    _, logits = steps(model, DoLa(layers=1, relative_top=0.0), inputs, max_new_tokens=1)
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
        early = model.lm_head(model.get_decoder().norm(output.hidden_states[1][:, -1]))
    expected = output.logits[:, -1].log_softmax(-1) - (3.0 * torch.tanh(early / 3.0)).log_softmax(-1)
    torch.testing.assert_close(logits[:, 0], expected)


def test_beams_and_sampling_decode_from_the_same_logits() -> None:
    model = deep_llava()
    prompt = models.prompt(model)
    options = {"max_new_tokens": NEW, "return_dict_in_generate": True, "output_logits": True, "output_scores": True}
    with DoLa()(model):
        beams = model.generate(**prompt, num_beams=3, do_sample=False, **options)
        torch.manual_seed(0)
        sampled = model.generate(**prompt, do_sample=True, **options)
    final, earlier = layer_logits(model, prompt, prompt["input_ids"][:, :0])
    expected = by_definition(final, earlier, [0, 2], 0.1)
    for found in (beams, sampled):
        torch.testing.assert_close(found.logits[0][0].double(), expected, atol=1e-4, rtol=0)


def test_a_plain_forward_gives_the_contrast_of_every_row() -> None:
    model = deep_llava()
    prompt = models.prompt(model)
    with torch.no_grad(), DoLa(layers=2)(model):
        every = model(**prompt).logits
        some = model(**prompt, logits_to_keep=torch.tensor([3, 7])).logits
        last = model(**prompt, logits_to_keep=2).logits
    torch.testing.assert_close(some, every[:, [3, 7]])
    torch.testing.assert_close(last, every[:, -2:])


@pytest.mark.parametrize(
    ("layers", "depth", "tied", "expected"),
    [
        ("low", 32, False, [0, 2, 4, 6, 8, 10, 12, 14]),
        ("high", 32, False, [16, 18, 20, 22, 24, 26, 28, 30]),
        ("low", 28, True, [2, 4, 6, 8, 10, 12]),
        ("low", 48, False, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]),
        ("high", 48, False, [28, 30, 32, 34, 36, 38, 40, 42, 44, 46]),
        ("high", 5, False, [2, 4]),
        ("low", 2, True, [1]),
        ("low", 4, True, [2]),
        ("low", 1, False, [0]),
        ((3, 1), 32, True, [3, 1]),
    ],
)
def test_the_candidates_are_those_of_the_published_buckets(
    layers: Any, depth: int, tied: bool, expected: list[int]
) -> None:
    found: Any = SimpleNamespace(depth=depth, is_tied=tied)
    assert list(DoLa(layers=layers).candidates(found)) == expected


def test_a_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingError, match=r"layers \[2\] are out of range: earlier layers of this model are 0 to 1"):
        DoLa(layers=(0, 2))(models.llava()).__enter__()


def test_a_model_whose_logits_are_made_otherwise_is_refused() -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}
    model = GraniteForCausalLM(GraniteConfig(vocab_size=models.VOCABULARY, logits_scaling=2.0, **sizes)).eval()
    with DoLa()(model), pytest.raises(UnsupportedModelError, match="more between its last layer and its logits"):
        model(**models.prompt(model))


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": "middle"},
        {"layers": ()},
        {"layers": (-1,)},
        {"layers": True},
        {"relative_top": 1.5},
        {"relative_top": "0.1"},
        {"final_norm": 1},
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(settings))):
        DoLa(**settings)
