"""Sink logits for vLLM: what each head gets, and which settings are refused. vLLM itself is in vllm_engine/."""

from __future__ import annotations

import hashlib
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import SettingError
from farsight.registers import PAPER_SIGMA, alibi_slopes
from farsight.vllm_plugin import Sinks
from farsight.vllm_plugin.generated_rows import generated_rows, marking


def summed(sigma: float) -> float:
    """Log mass of infinitely many registers, term by term."""
    return math.log(math.fsum(math.exp(-sigma * slot) for slot in range(1, math.ceil(60 / sigma))))


@pytest.mark.parametrize("sigma", [0.01, 0.05, PAPER_SIGMA, 3])
def test_every_head_gets_the_log_mass_of_an_infinite_horizon(sigma: float) -> None:
    logits = Sinks(sigma=sigma).logits(1, layers=2, heads=3)
    assert logits.dtype == torch.float64
    assert logits.tolist() == pytest.approx([summed(sigma)] * 3, abs=1e-9)


def test_slopes_and_strengths_are_each_heads_own() -> None:
    sinks = Sinks(slopes="alibi", strength=[[1, 2, 3], [4, 5, 6]])
    expected = [
        summed(float(slope)) + math.log(strength) for slope, strength in zip(alibi_slopes(3), (4, 5, 6), strict=True)
    ]
    assert sinks.logits(1, layers=2, heads=3).tolist() == pytest.approx(expected, abs=1e-9)
    assert Sinks(strength=[2, 3]).logits(1, layers=2, heads=1).item() == pytest.approx(
        summed(PAPER_SIGMA) + math.log(3)
    )


def test_what_is_not_chosen_gets_a_finite_logit_that_takes_nothing() -> None:
    sinks = Sinks(layers=[0], heads=[1], strength=2)
    mass = summed(PAPER_SIGMA) + math.log(2)
    assert sinks.logits(0, layers=2, heads=2).tolist() == pytest.approx([-1e4, mass])
    assert sinks.logits(1, layers=2, heads=2).tolist() == [-1e4, -1e4]
    assert Sinks(strength=0).logits(0, layers=1, heads=1).tolist() == [-1e4]


def test_an_engine_in_half_precision_gets_the_same_numbers() -> None:
    sinks = Sinks(slopes="alibi", strength=3)
    expected = sinks.logits(0, layers=1, heads=12)
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert torch.equal(sinks.logits(0, layers=1, heads=12), expected)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("config", [None, {}, {"other": 1}, {"farsight": None}, object()])
def test_a_config_that_does_not_speak_of_farsight_is_none(config: object) -> None:
    assert Sinks.read(config) is None


def test_settings_are_read_as_json_has_them() -> None:
    given = {"sigma": 0.8, "slopes": None, "layers": None, "heads": [0, 2], "horizon": "infinite", "rows": "all"}
    assert Sinks.read({"farsight": given}) == Sinks(sigma=0.8, heads=(0, 2))
    assert Sinks.read({"farsight": {}}) == Sinks()
    assert Sinks.read({"farsight": {"rows": "generated"}}) == Sinks(rows="generated")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (True, "must be settings such as"),
        ({"sigmma": 1}, "no setting 'sigmma'; did you mean 'sigma'"),
        ({"temperature": 1}, "no setting 'temperature'; choose from sigma, slopes, strength, layers, heads, rows"),
        ({"sigma": 0}, "sigma must be"),
        ({"sigma": math.nan}, "sigma must be"),
        ({"sigma": True}, "sigma must be"),
        ({"sigma": "0.8"}, "sigma must be"),
        ({"slopes": "linear"}, "slopes must be"),
        ({"layers": []}, "layers must be"),
        ({"layers": 3}, "layers must be"),
        ({"heads": [-1]}, "heads must be"),
        ({"strength": -1}, "strength must be"),
        ({"strength": [[1, 2], [3]]}, "strength must be"),
        ({"strength": []}, "strength must be"),
        ({"strength": "much"}, "strength must be"),
        ({"horizon": "generation"}, "horizon='generation' is no constant per head"),
        ({"rows": "text"}, "rows must be one of all, generated in vLLM, got 'text'"),
    ],
)
def test_settings_without_meaning_are_refused(settings: Any, problem: str) -> None:
    with pytest.raises(SettingError) as caught:
        Sinks.read({"farsight": settings})
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"layers": [2, 5]}, "layers [2, 5] are out of range: this model has 0 to 1"),
        ({"heads": [3]}, "heads [3] are out of range: this model has 0 to 2"),
        ({"strength": [1, 1, 1]}, "strength has 3 layers, this model has 2"),
        ({"strength": [[1, 1], [1, 1]]}, "strength has 2 heads, this model has 3"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused(settings: Any, problem: str) -> None:
    with pytest.raises(SettingError) as caught:
        Sinks(**settings).logits(0, layers=2, heads=3)
    assert problem in str(caught.value)


@given(requests=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 40), st.integers(1, 12)), min_size=1, max_size=6))
def test_rows_are_generated_from_the_last_token_of_the_request_s_prompt_on(
    requests: list[tuple[int, int, int]],
) -> None:
    prompts, computed, scheduled = (np.array(column) for column in zip(*requests, strict=True))
    expected = [place >= prompt - 1 for prompt, before, now in requests for place in range(before, before + now)]
    assert generated_rows(computed, scheduled, prompts).tolist() == expected


def test_a_cached_block_with_a_generated_row_belongs_to_one_end_of_the_prompt() -> None:
    """Blocks of 4 tokens: those before the last token of the prompt serve any request, the others only one like it."""

    def hasher(request: Any) -> list[bytes]:
        before = request.block_hashes[-1] if request.block_hashes else b""
        new = range(len(request.block_hashes) * 4, len(request.tokens) - 3, 4)
        return [before := hashlib.sha256(before + bytes(request.tokens[at : at + 4])).digest() for at in new]

    def blocks(tokens: list[int], prompt: int) -> list[bytes]:
        request = SimpleNamespace(tokens=tokens[:prompt], num_prompt_tokens=prompt, block_hashes=[])
        for _ in range(len(tokens) - prompt + 1):
            request.block_hashes += marked(request)
            request.tokens = tokens[: len(request.tokens) + 1]
        return request.block_hashes

    marked, tokens = marking(hasher, 4), list(range(20))
    plain = hasher(SimpleNamespace(tokens=tokens, block_hashes=[]))
    assert blocks(tokens, 20)[:4] == plain[:4]
    for prompt in range(1, 20):
        its, kept = blocks(tokens, prompt), (prompt - 1) // 4
        assert len(its) == 5
        assert its == blocks(tokens, prompt)
        assert its[:kept] == plain[:kept]
        assert not set(its[kept:]) & {block for other in (*range(1, prompt), 20) for block in blocks(tokens, other)}
