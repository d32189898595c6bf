"""The page that shows how a method is added: its code runs, changes what a model says, and leaves nothing behind."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import models
import pytest
import torch
from model_state import state
from test_grid import greedy

from farsight import EDVT, FarSight, Method, SettingError

PAGE = (Path(__file__).parents[1] / "docs" / "add_a_method.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
NEUTRAL = {
    "sharper": {"scale": 1.0},
    "softmax-one": {"mass": 1e-30},
    "min-p": {"share": 1e-30},
    "presence": {"penalty": 1e-30},
}


def made_by(code: str) -> type[Method]:
    names: dict[str, Any] = {"__name__": "a_file_in_methods"}
    exec(compile(code, "docs/add_a_method.md", "exec", dont_inherit=True), names)
    [kind] = [kind for kind in names.values() if isinstance(kind, type) and kind.__module__ == "a_file_in_methods"]
    return kind


EXAMPLES: dict[str, Any] = {kind.name: kind for kind in map(made_by, BLOCKS)}
examples = pytest.mark.parametrize("kind", EXAMPLES.values(), ids=EXAMPLES.keys())


def logits(model: Any, method: Method | None = None) -> torch.Tensor:
    if method is None:
        return torch.cat(greedy(model).logits)
    with method(model):
        return logits(model)


def test_there_is_an_edit_a_gate_and_two_rules_for_logits_each_of_at_most_40_lines() -> None:
    assert [kind.changes for kind in EXAMPLES.values()] == ["scores", "gate", "logits", "logits"]
    assert all(len(code.splitlines()) <= 40 for code in BLOCKS)


@examples
@pytest.mark.parametrize("build", [models.llava, models.qwen2_vl, models.gemma2])
def test_it_changes_the_logits_and_leaves_the_model_as_it_was(kind: Any, build: Any) -> None:
    model = build()
    plain, before = logits(model), state(model)
    first_changed = 1 if kind.name == "presence" else 0  # in front of the first token nothing was said
    assert not torch.equal(logits(model, kind())[first_changed], plain[first_changed])
    assert state(model) == before
    assert torch.equal(logits(model), plain)


@examples
def test_its_neutral_setting_is_the_plain_model_and_one_without_meaning_is_refused(kind: Any) -> None:
    model = models.llava()
    [(setting, neutral)] = NEUTRAL[kind.name].items()
    torch.testing.assert_close(logits(model, kind(**{setting: neutral})), logits(model), atol=1e-5, rtol=0)
    for value in (0, math.nan, "1"):
        with pytest.raises(SettingError, match=setting):
            kind(**{setting: value})


@examples
def test_it_is_used_together_with_what_changes_something_else(kind: Any) -> None:
    model = models.llava()
    other = EDVT() if kind.changes == "gate" else FarSight(sigma=0.1)
    both = logits(model, kind() + other)
    assert not torch.equal(both, logits(model, kind()))
    assert not torch.equal(both, logits(model, other))


def test_the_edit_is_the_softmax_of_scaled_scores() -> None:
    model = models.llama()
    found = logits(model, EXAMPLES["sharper"](scale=2.0))
    for layer in model.model.layers:
        layer.self_attn.scaling *= 2
    torch.testing.assert_close(found, logits(model), atol=1e-5, rtol=0)


def test_the_gate_of_one_mass_is_farsight_with_an_infinite_horizon() -> None:
    model = models.llava()
    expected = logits(model, FarSight(sigma=0.3, horizon="infinite"))
    found = logits(model, EXAMPLES["softmax-one"](mass=1 / math.expm1(0.3)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_rule_leaves_tokens_that_are_likely_enough() -> None:
    model = models.llava()
    plain = logits(model)
    p = plain.double().softmax(-1)
    kept = p >= 0.2 * p.amax(-1, keepdim=True)
    assert 0 < kept.sum() < kept.numel()
    assert torch.equal(logits(model, EXAMPLES["min-p"](share=0.2)), plain.masked_fill(~kept, -torch.inf))


@torch.no_grad()
def test_the_rule_that_reads_the_answer_gives_each_token_what_its_own_answer_makes_of_it() -> None:
    model = models.llama()
    prompt = models.prompt(model)["input_ids"]
    prompt = torch.cat([prompt, prompt.flip(-1)])
    penalised = EXAMPLES["presence"](penalty=2.0)

    def expected(texts: torch.Tensor) -> torch.Tensor:
        """The definition, row by row: the plain logits minus the penalty, ``(texts, new tokens, vocabulary)``."""
        rows = model(texts).logits[:, prompt.shape[1] - 1 : -1].clone()
        for text, answer in enumerate(texts[:, prompt.shape[1] :]):
            for said in range(len(answer)):
                rows[text, said, answer[:said].unique()] -= 2.0
        return rows

    how: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    ways: list[dict[str, Any]] = [{}, {"use_cache": False}, {"prompt_lookup_num_tokens": 3}]
    for settings in ways:
        ids = prompt[:1] if "prompt_lookup_num_tokens" in settings else prompt
        with penalised(model):
            found = model.generate(ids, **how, **settings)
        assert torch.equal(expected(found).argmax(-1), found[:, prompt.shape[1] :]), settings
        assert not torch.equal(found, model.generate(ids, **how, **settings)), settings
    with penalised(model):
        beams = model.generate(prompt, **how, num_beams=3, return_dict_in_generate=True, output_scores=True)
    said = beams.sequences[:, prompt.shape[1] :]
    each = expected(beams.sequences).log_softmax(-1).gather(-1, said.unsqueeze(-1))
    torch.testing.assert_close(each.mean((1, 2)), beams.sequences_scores, atol=1e-4, rtol=0)
    with penalised(model), pytest.raises(SettingError, match=r"call model\.generate"):
        model(prompt)
