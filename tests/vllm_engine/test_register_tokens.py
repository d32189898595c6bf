"""vLLM without our plugin, with a model whose registers are tokens: each request has its own strength."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner
from vllm import SamplingParams
from vllm_engine import reference
from vllm_engine.reference import LENGTH, Request
from vllm_engine.test_registers import difference, generated, teacher_forced

from farsight.cli import app
from farsight.register_tokens import sigma_of

CLOSE = 1e-3
STRENGTHS = (0, 1, 2, 5, 10, 20)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    out = tmp_path_factory.mktemp("models") / "out"
    found = CliRunner().invoke(app, ["export", "embedded", "--out", str(out), "--json"])
    assert found.exit_code == 0, found.stderr
    return out, json.loads(found.stdout)["token_id"]


@pytest.fixture(scope="module")
def engine(start: Callable[..., Any], exported: tuple[Path, int]) -> Any:
    made = start(None, model=exported[0], max_num_seqs=32)
    worker = made.llm_engine.model_executor.driver_worker
    assert not [name for name, _ in worker.get_model().named_buffers() if "farsight" in name]
    return made


def behind(asked: Request, token: int, registers: int) -> Request:
    return Request((token,) * registers + asked.ids, asked.picture, asked.pixels)


def log_probabilities(asked: Request, following: tuple[int, ...], under: Any) -> torch.Tensor:
    """What `FarSight` says in Transformers, beside the one token that was appended."""
    return reference.log_probabilities(asked, following, under, appended=1)


def method(registers: int) -> Any:
    return reference.farsight({"sigma": sigma_of(registers)} if registers else None)


@pytest.mark.parametrize("with_picture", [True, False])
def test_forced_and_generated_tokens_have_farsight_s_log_probabilities(
    engine: Any, exported: tuple[Path, int], with_picture: bool
) -> None:
    asked = reference.request(reference.picture(0) if with_picture else None)
    following = reference.continued(asked, method(0))
    plain = log_probabilities(asked, following, method(0))
    for registers in STRENGTHS:
        expected = log_probabilities(asked, following, method(registers))
        prompt = behind(asked, exported[1], registers)
        found = teacher_forced(engine, prompt, following)
        assert difference(found, expected) < min(CLOSE, difference(plain, expected) / 2 or CLOSE)
        tokens, values, _ = generated(engine, prompt)
        assert difference(values, log_probabilities(asked, tokens, method(registers))) < CLOSE


def test_registers_are_in_the_prefix_cache(engine: Any, exported: tuple[Path, int]) -> None:
    asked = reference.request(reference.picture(1))
    longer = Request(asked.ids + reference.continued(asked, method(10)), asked.picture, asked.pixels)
    prompt = behind(longer, exported[1], 10)
    first, again = generated(engine, prompt), generated(engine, prompt)
    assert again[2] >= 32
    assert again[0] == first[0]
    assert difference(again[1], log_probabilities(longer, again[0], method(10))) < CLOSE


def test_chunked_prefill_sees_the_same_registers(start: Callable[..., Any], exported: tuple[Path, int]) -> None:
    chunked = start(None, model=exported[0], max_num_batched_tokens=32, max_num_seqs=2, enable_prefix_caching=False)
    asked = reference.request(reference.picture(2))
    following = reference.continued(asked, method(10))
    prompt = behind(asked, exported[1], 10)
    assert len(prompt.ids) > 32
    expected = log_probabilities(asked, following, method(10))
    assert difference(teacher_forced(chunked, prompt, following), expected) < CLOSE


def test_32_requests_of_different_strengths_in_one_batch_are_what_each_is_alone(
    engine: Any, exported: tuple[Path, int]
) -> None:
    asked = [reference.request(reference.picture(number % 4)) for number in range(32)]
    counts = [STRENGTHS[number % len(STRENGTHS)] for number in range(32)]
    prompts = [behind(one, exported[1], count) for one, count in zip(asked, counts, strict=True)]
    how = SamplingParams(max_tokens=LENGTH, temperature=0, logprobs=0, ignore_eos=True)
    together = engine.generate([one.for_vllm() for one in prompts], how, use_tqdm=False)
    sums = set()
    for one, count, made in zip(asked, counts, together, strict=True):
        tokens = tuple(made.outputs[0].token_ids)
        values = torch.tensor([row[token].logprob for row, token in zip(made.outputs[0].logprobs, tokens, strict=True)])
        assert difference(values, log_probabilities(one, tokens, method(count))) < CLOSE
        sums.add(round(float(values.sum()), 3))
    for number in range(6):
        assert generated(engine, prompts[number])[0] == tuple(together[number].outputs[0].token_ids)
    assert len(sums) == 12  # four pictures and six strengths meet in so many ways
