"""Log-probabilities of vLLM with our plugin are those of our own FarSight at the infinite horizon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from vllm import SamplingParams
from vllm_engine import reference
from vllm_engine.reference import LENGTH, Request

CLOSE = 5e-5
"""Largest difference of two log-probabilities in fp32; the least that is asked for is 1e-3."""
FAR = 0.05
STRONG = {"sigma": 0.02, "strength": 8.0}
PER_HEAD = {"slopes": "alibi", "strength": [[0.5, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [1] * 6, [0, 0, 9, 9, 0, 0]]}


def teacher_forced(engine: Any, asked: Request, following: tuple[int, ...]) -> torch.Tensor:
    """Log-probabilities of given tokens, of which vLLM reads several at a time."""
    made = engine.generate(
        asked.for_vllm(following), SamplingParams(max_tokens=1, prompt_logprobs=0, temperature=0), use_tqdm=False
    )
    newest = made[0].prompt_logprobs[-len(following) :]
    return torch.tensor([found[token].logprob for found, token in zip(newest, following, strict=True)])


def generated(engine: Any, asked: Request) -> tuple[tuple[int, ...], torch.Tensor, int]:
    """Tokens of greedy decoding, their log-probabilities, and how many of the prompt's tokens were in the cache."""
    how = SamplingParams(max_tokens=LENGTH, temperature=0, logprobs=0, ignore_eos=True)
    made = engine.generate(asked.for_vllm(), how, use_tqdm=False)[0]
    tokens = tuple(made.outputs[0].token_ids)
    values = [found[token].logprob for found, token in zip(made.outputs[0].logprobs, tokens, strict=True)]
    return tokens, torch.tensor(values), made.num_cached_tokens


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape == (LENGTH,)
    return float((one - other).abs().max())


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    return [reference.request(reference.picture(3)), reference.request(None)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        STRONG,
        {"sigma": 0.02, "strength": 50.0, "layers": [1, 3], "heads": [0, 2, 5]},
        PER_HEAD,
    ],
    ids=["paper", "strong", "layers and heads", "per head"],
)
def test_log_probabilities_equal_farsight_in_transformers(
    start: Callable[..., Any], untouched: Any, requests: list[Request], settings: dict[str, Any]
) -> None:
    engine, method = start(settings), reference.farsight(settings)
    for asked in requests:
        following = reference.continued(asked, reference.farsight(None))
        expected = reference.log_probabilities(asked, following, method)
        found = teacher_forced(engine, asked, following)
        assert difference(found, expected) < CLOSE
        if settings:
            assert difference(found, teacher_forced(untouched, asked, following)) > FAR
        tokens, values, _ = generated(engine, asked)
        assert difference(values, reference.log_probabilities(asked, tokens, method)) < CLOSE


def test_without_settings_nothing_changes(start: Callable[..., Any], untouched: Any, requests: list[Request]) -> None:
    engine = start(None)
    for asked in requests:
        following = reference.continued(asked, reference.farsight(None))
        plain = teacher_forced(untouched, asked, following)
        assert difference(plain, reference.log_probabilities(asked, following, reference.farsight(None))) < CLOSE
        assert torch.equal(teacher_forced(engine, asked, following), plain)
        before, after = generated(untouched, asked), generated(engine, asked)
        assert before[0] == after[0]
        assert torch.equal(before[1], after[1])


def test_registers_without_mass_give_plain_log_probabilities(
    start: Callable[..., Any], untouched: Any, requests: list[Request]
) -> None:
    engine = start({"strength": 0.0})
    for asked in requests:
        following = reference.continued(asked, reference.farsight(None))
        assert torch.equal(teacher_forced(engine, asked, following), teacher_forced(untouched, asked, following))


def test_what_the_prefix_cache_gives_back_has_seen_the_registers(
    start: Callable[..., Any], requests: list[Request]
) -> None:
    engine, method = start(STRONG), reference.farsight(STRONG)
    for asked in requests:
        longer = Request(asked.ids + reference.continued(asked, method), asked.picture, asked.pixels)
        first, again = generated(engine, longer), generated(engine, longer)
        assert first[2] < again[2]
        assert again[2] >= 32
        assert again[0] == first[0]
        assert difference(again[1], reference.log_probabilities(longer, again[0], method)) < CLOSE


def test_chunked_prefill_sees_the_same_registers(start: Callable[..., Any], requests: list[Request]) -> None:
    chunk = 32
    engine = start(STRONG, max_num_batched_tokens=chunk, max_num_seqs=2, enable_prefix_caching=False)
    method = reference.farsight(STRONG)
    for asked in requests:
        following = reference.continued(asked, method)
        longer = Request(asked.ids + following, asked.picture, asked.pixels)
        tokens, values, cached = generated(engine, longer)
        assert cached == 0
        assert len(longer.ids) > chunk
        assert difference(values, reference.log_probabilities(longer, tokens, method)) < CLOSE
        expected = reference.log_probabilities(asked, following, method)
        assert difference(teacher_forced(engine, asked, following), expected) < CLOSE


def test_each_rank_of_tensor_parallelism_has_the_registers_of_its_heads(
    start: Callable[..., Any], requests: list[Request]
) -> None:
    engine, method = start(PER_HEAD, tensor_parallel_size=2), reference.farsight(PER_HEAD)
    for asked in requests:
        following = reference.continued(asked, reference.farsight(None))
        found = teacher_forced(engine, asked, following)
        assert difference(found, reference.log_probabilities(asked, following, method)) < CLOSE
        tokens, values, _ = generated(engine, asked)
        assert difference(values, reference.log_probabilities(asked, tokens, method)) < CLOSE


def test_only_the_language_model_has_registers(start: Callable[..., Any]) -> None:
    engine = start({"layers": [0]})
    worker = engine.llm_engine.model_executor.driver_worker
    names = [name for name, _ in worker.get_model().named_buffers() if "farsight" in name]
    assert names == [f"language_model.model.layers.{layer}.self_attn.attn.farsight_sinks" for layer in range(4)]
