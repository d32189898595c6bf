"""The plausibility constraint alone: exactly the tokens of its inequality, and no call that it would not change."""

from __future__ import annotations

import math
from typing import Any

import contrasts
import models
import pytest
import torch
from test_grid import greedy
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from farsight import FLB, VCD, BeamSearch, Plausible, SettingError

builders = pytest.mark.parametrize("build", [*contrasts.BUILDERS, models.llama])
METHOD = Plausible(beta=0.1)


def reference(model: PreTrainedModel, method: Plausible) -> contrasts.Reference:
    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        own = contrasts.last_logits(model, prompt, tokens)
        probabilities = own.softmax(-1).tolist()
        kept = [p >= method.beta * max(probabilities) for p in probabilities]
        assert 1 <= sum(kept) < len(kept)
        return torch.tensor([z if keep else -math.inf for z, keep in zip(own.tolist(), kept, strict=True)])

    return logits


@builders
def test_every_sampled_step_is_the_inequality(build: Any) -> None:
    contrasts.check_sampling(contrasts.exact(build), METHOD, reference(contrasts.exact(build), METHOD))


def test_beams_see_the_kept_tokens_alone() -> None:
    model = contrasts.exact(models.llava)
    prompts = contrasts.two_prompts(model)
    with METHOD(model):
        out = contrasts.generated(model, contrasts.left_padded(prompts), num_beams=2, max_new_tokens=1)
    expected = reference(contrasts.exact(models.llava), METHOD)
    for row, found in enumerate(out.logits[0]):
        torch.testing.assert_close(found, expected(prompts[row // 2], []).float(), atol=2e-5, rtol=2e-5)


def test_it_is_what_contrast_and_boost_have_beside_what_they_are_known_for() -> None:
    model = models.llava()
    how = {"do_sample": True, "max_new_tokens": 6, "top_k": 0}
    found = []
    for method in (METHOD, VCD(alpha=0.0, beta=0.1), FLB(gamma=0.0, beta=0.1)):
        torch.manual_seed(0)
        with method(model):
            found.append(model.generate(**models.prompt(model), **how))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


GREEDY: list[dict[str, Any]] = [
    {"do_sample": False},
    {},
    {"generation_config": GenerationConfig(max_new_tokens=2, pad_token_id=0)},
    {"do_sample": False, "prompt_lookup_num_tokens": 2},
]


@pytest.mark.parametrize("how", GREEDY, ids=["asked for", "the default", "of a config", "looked up"])
def test_greedy_decoding_is_refused_since_nothing_would_change(how: dict[str, Any]) -> None:
    model = models.llama()
    with METHOD(model), pytest.raises(SettingError, match="greedy decoding says the same without it: pass do_sample"):
        model.generate(**models.prompt(model), **how)
    plain = greedy(model)
    logits = torch.cat(plain.logits)
    kept = logits >= logits.max(-1, keepdim=True).values + math.log(METHOD.beta)
    assert bool(kept.gather(1, plain.sequences[0, -len(logits) :, None]).all())


@pytest.mark.parametrize(
    "how",
    [
        {"do_sample": True},
        {"num_beams": 2},
        {"generation_config": GenerationConfig(max_new_tokens=2, do_sample=True, pad_token_id=0)},
    ],
)
def test_drawing_and_searching_are_taken(how: dict[str, Any]) -> None:
    model = models.llama()
    with METHOD(model):
        model.generate(**models.prompt(model), **{"max_new_tokens": 2, **how})
    with (METHOD + BeamSearch(num_beams=2))(model):
        model.generate(**models.prompt(model), max_new_tokens=2)


@pytest.mark.parametrize("wrong", [{"beta": 0}, {"beta": 2}, {"beta": "few"}])
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match="beta"):
        Plausible(**wrong)
