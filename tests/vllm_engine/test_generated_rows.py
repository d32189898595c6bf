"""Registers on generated rows alone, in vLLM as in Transformers, whatever is in one batch and whatever was cached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from vllm import SamplingParams
from vllm.config import CUDAGraphMode
from vllm.sampling_params import BeamSearchParams
from vllm_engine import reference
from vllm_engine.reference import Request
from vllm_engine.test_registers import CLOSE, FAR, PER_HEAD, STRONG, generated, teacher_forced

from farsight.errors import SettingError, UnsupportedModelError
from farsight.vllm_plugin import Sinks
from farsight.vllm_plugin.engine import check_model

GENERATED: dict[str, Any] = {**STRONG, "rows": "generated"}
BLOCK = 32


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """Prompts of eight lengths, with and without a picture."""
    asked = [f"{reference.PROMPT} {'Be very exact. ' * 2 * number}" for number in range(4)]
    return [reference.request(reference.picture(number), text) for number, text in enumerate(asked)] + [
        reference.request(None, text) for text in asked
    ]


@pytest.fixture(scope="module")
def engine(start: Callable[..., Any]) -> Any:
    return start(GENERATED)


def all_at_once(engine: Any, asked: list[Request], lengths: list[int]) -> list[tuple[tuple[int, ...], torch.Tensor]]:
    """Tokens and log-probabilities of greedy decoding of so many tokens each."""
    how = [SamplingParams(max_tokens=length, temperature=0, logprobs=0, ignore_eos=True) for length in lengths]
    made = [one.outputs[0] for one in engine.generate([one.for_vllm() for one in asked], how, use_tqdm=False)]
    return [
        (
            tuple(one.token_ids),
            torch.tensor([found[token].logprob for found, token in zip(one.logprobs, one.token_ids, strict=True)]),
        )
        for one in made
    ]


def check(asked: Request, settings: dict[str, Any], tokens: tuple[int, ...], values: torch.Tensor) -> None:
    said, expected = reference.generated(asked, reference.farsight(settings), len(tokens))
    assert tokens == said
    assert float((values - expected).abs().max()) < CLOSE


@pytest.mark.parametrize(
    "settings",
    [GENERATED, {**PER_HEAD, "rows": "generated"}, {**GENERATED, "strength": 50.0, "layers": [1, 3]}],
    ids=["strong", "per head", "layers"],
)
def test_log_probabilities_equal_farsight_on_generated_rows_in_transformers(
    start: Callable[..., Any], requests: list[Request], settings: dict[str, Any]
) -> None:
    engine = start(settings)
    for asked in (requests[0], requests[-1]):
        tokens, values, _ = generated(engine, asked)
        check(asked, settings, tokens, values)
        plain, on_all = (
            reference.forced(asked, reference.farsight(other), tokens) for other in (None, {**settings, "rows": "all"})
        )
        assert float((values - plain).abs().max()) > FAR
        assert float((values - on_all).abs().max()) > 100 * CLOSE


def test_the_prompt_is_read_as_the_plain_model_reads_it(engine: Any, untouched: Any, requests: list[Request]) -> None:
    for asked in (requests[0], requests[-1]):
        following = reference.continued(asked, reference.farsight(None), 20)
        assert torch.equal(teacher_forced(engine, asked, following), teacher_forced(untouched, asked, following))


def test_prompts_and_answers_in_one_batch_are_each_as_alone(start: Callable[..., Any], requests: list[Request]) -> None:
    """Prompts in chunks of at most 32 rows, beside the rows of answers that have begun, and that end at other times."""
    engine = start(GENERATED, max_num_batched_tokens=32, max_num_seqs=4, enable_prefix_caching=False)
    lengths = [3 + 5 * number for number in range(len(requests))]
    for asked, (tokens, values) in zip(requests, all_at_once(engine, requests, lengths), strict=True):
        check(asked, GENERATED, tokens, values)


def test_what_is_cached_of_an_answer_is_not_taken_for_a_prompt(engine: Any, requests: list[Request]) -> None:
    """The blocks of a prompt serve a longer prompt, and those of an answer only the same request."""
    for asked in (requests[2], requests[-1]):
        first, again = generated(engine, asked), generated(engine, asked)
        assert again[:1] == first[:1]
        assert again[2] == (len(asked.ids) - 1) // BLOCK * BLOCK > 0
        check(asked, GENERATED, *again[:2])
        longer = Request(asked.ids + first[0], asked.picture, asked.pixels)
        tokens, values, cached = generated(engine, longer)
        assert cached == (len(asked.ids) - 1) // BLOCK * BLOCK
        check(longer, GENERATED, tokens, values)


@pytest.mark.parametrize("cached", [False, True], ids=["no cache", "prefix cache"])
def test_a_request_that_was_preempted_goes_on_with_its_generated_rows(
    start: Callable[..., Any], requests: list[Request], cached: bool
) -> None:
    engine = start(
        GENERATED,
        num_gpu_blocks_override=12,
        max_model_len=256,
        max_num_batched_tokens=256,
        enable_prefix_caching=cached,
        disable_log_stats=False,
    )
    lengths = [90] * len(requests)
    answers = all_at_once(engine, requests, lengths)
    preempted = sum(one.value for one in engine.get_metrics() if one.name == "vllm:num_preemptions")
    assert preempted > 0
    for asked, (tokens, values) in zip(requests, answers, strict=True):
        check(asked, GENERATED, tokens, values)


def test_beam_search_which_asks_anew_for_each_token_is_refused(engine: Any, requests: list[Request]) -> None:
    with pytest.raises(SettingError, match="rows=generated, and flb's first token, cannot be told"):
        engine.beam_search([requests[-1].for_vllm()], BeamSearchParams(beam_width=2, max_tokens=4))


@pytest.mark.parametrize(
    ("part", "name", "value", "because"),
    [
        ("compilation_config", "cudagraph_mode", CUDAGraphMode.FULL_AND_PIECEWISE, "CUDA graphs"),
        ("parallel_config", "enable_dbo", True, "cut in two"),
        ("cache_config", "kv_sharing_fast_prefill", True, "--kv-sharing-fast-prefill"),
        (None, "kv_transfer_config", object(), "kept elsewhere"),
    ],
)
def test_where_rows_could_not_be_told_apart_is_refused(
    engine: Any, monkeypatch: pytest.MonkeyPatch, part: str | None, name: str, value: Any, because: str
) -> None:
    config = engine.llm_engine.vllm_config
    check_model(config, Sinks(rows="generated"))
    monkeypatch.setattr(config if part is None else getattr(config, part), name, value)
    with pytest.raises(UnsupportedModelError, match=because):
        check_model(config, Sinks(rows="generated"))
    check_model(config, Sinks())


def test_the_second_model_runner_is_refused(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = engine.llm_engine.vllm_config
    monkeypatch.setattr(type(config), "use_v2_model_runner", True)
    with pytest.raises(UnsupportedModelError, match="set VLLM_USE_V2_MODEL_RUNNER=0"):
        check_model(config, Sinks(rows="generated"))
