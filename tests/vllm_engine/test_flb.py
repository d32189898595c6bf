"""First Logit Boosting in vLLM: the tokens of Transformers, whatever is in one batch and whatever was interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from vllm import SamplingParams
from vllm.engine.arg_utils import EngineArgs
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import BeamSearchParams
from vllm_engine import reference
from vllm_engine.conftest import SMALL
from vllm_engine.reference import Request
from vllm_engine.test_registers import STRONG

from farsight import FLB
from farsight.cli import app
from farsight.errors import SettingError, UnsupportedModelError
from farsight.vllm_plugin.boost import PROCESSOR
from farsight_scenes import checkpoint_path

METHOD = FLB(gamma=0.8, rate=0.2, beta=0.02)
SETTINGS: dict[str, Any] = {"gamma": 0.8, "rate": 0.2, "beta": 0.02}
FLB_CONFIG = {"farsight-flb": {}}
COMMAND = [
    "eval", "--task", "scenes:test", "--count", "4", "--question-count", "8", "--batch-size", "4", "--json",
    "--methods", "flb(gamma=0.8, rate=0.2, beta=0.02)", "--dtype", "float32",
]  # fmt: skip


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """Prompts of eight lengths, with and without a picture."""
    asked = [f"{reference.PROMPT} {'Be very exact. ' * 2 * number}" for number in range(4)]
    return [reference.request(reference.picture(number), text) for number, text in enumerate(asked)] + [
        reference.request(None, text) for text in asked
    ]


@pytest.fixture(scope="module")
def engine(start: Callable[..., Any]) -> Any:
    return start(None, flb=SETTINGS)


def said(engine: Any, asked: list[Request], lengths: list[int], **options: Any) -> list[tuple[int, ...]]:
    """Tokens of greedy decoding, so many each."""
    how = [SamplingParams(max_tokens=length, temperature=0, ignore_eos=True, **options) for length in lengths]
    made = engine.generate([one.for_vllm() for one in asked], how, use_tqdm=False)
    return [tuple(output.token_ids) for one in made for output in one.outputs]


def test_every_token_is_that_of_transformers(engine: Any, untouched: Any, requests: list[Request]) -> None:
    lengths = [20 + 4 * number for number in range(len(requests))]
    expected = [reference.generated(asked, METHOD, length)[0] for asked, length in zip(requests, lengths, strict=True)]
    assert [said(engine, [asked], [length])[0] for asked, length in zip(requests, lengths, strict=True)] == expected
    assert said(engine, requests, lengths) == expected
    plain = said(untouched, requests, lengths)
    assert all(one != other for one, other in zip(plain, expected, strict=True))


def test_chunks_of_prompts_beside_answers_that_have_begun(start: Callable[..., Any], requests: list[Request]) -> None:
    """A row of a prompt that is not read to its end has no first logits yet; requests take rows that others left."""
    engine = start(None, flb=SETTINGS, max_num_batched_tokens=32, max_num_seqs=3, enable_prefix_caching=False)
    lengths = [3 + 5 * number for number in range(len(requests))]
    for asked, length, found in zip(requests, lengths, said(engine, requests, lengths), strict=True):
        assert found == reference.generated(asked, METHOD, length)[0]


def test_a_request_that_was_preempted_goes_on_with_its_own_first_logits(
    start: Callable[..., Any], requests: list[Request]
) -> None:
    engine = start(
        None,
        flb=SETTINGS,
        num_gpu_blocks_override=12,
        max_model_len=256,
        max_num_batched_tokens=256,
        enable_prefix_caching=False,
        disable_log_stats=False,
    )
    found = said(engine, requests, [90] * len(requests))
    assert sum(one.value for one in engine.get_metrics() if one.name == "vllm:num_preemptions") > 0
    for asked, tokens in zip(requests, found, strict=True):
        assert tokens == reference.generated(asked, METHOD, 90)[0]


def test_registers_and_first_logits_at_once(start: Callable[..., Any], requests: list[Request]) -> None:
    engine, both = start(STRONG, flb=SETTINGS), METHOD + reference.farsight(STRONG)
    for asked in (requests[0], requests[-1]):
        assert said(engine, [asked], [30])[0] == reference.generated(asked, both, 30)[0]


def test_several_answers_to_one_prompt_are_each_boosted(engine: Any, requests: list[Request]) -> None:
    how = SamplingParams(n=3, max_tokens=30, temperature=0.001, seed=5, ignore_eos=True)
    [made] = engine.generate([requests[1].for_vllm()], how, use_tqdm=False)
    assert {tuple(one.token_ids) for one in made.outputs} == {reference.generated(requests[1], METHOD, 30)[0]}


@pytest.mark.parametrize("option", [{"min_tokens": 3}, {"logit_bias": {11: 2.0}}, {"allowed_token_ids": [11, 12]}])
def test_a_request_whose_first_logits_would_not_be_the_models_is_refused(
    engine: Any, requests: list[Request], option: dict[str, Any]
) -> None:
    with pytest.raises(VLLMValidationError, match=f"which {next(iter(option))} changes: leave it out"):
        said(engine, requests[:1], [4], **option)


def test_what_asks_for_each_token_anew_is_refused(engine: Any, requests: list[Request]) -> None:
    with pytest.raises(SettingError, match="beam search asks for each token anew"):
        engine.beam_search([requests[0].for_vllm()], BeamSearchParams(beam_width=2, max_tokens=2))
    arguments = EngineArgs(
        model=str(checkpoint_path()), additional_config=FLB_CONFIG, skip_tokenizer_init=True, **SMALL
    )
    assert arguments.create_engine_config().model_config.logits_processors == [PROCESSOR]
    assert arguments.create_engine_config().model_config.logits_processors == [PROCESSOR]
    arguments.speculative_config = {"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 2}
    with pytest.raises(UnsupportedModelError, match="leave out --speculative-config"):
        arguments.create_engine_config()


def test_a_run_has_the_local_runs_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    rows = []
    for number, engine in enumerate([[], ["--engine", "vllm", "--enforce-eager"]]):
        out = tmp_path / str(number)
        result = CliRunner().invoke(app, [*COMMAND, *engine, "--out", str(out)])
        assert result.exit_code == 0, result.stderr
        answers = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
        rows.append(sorted((row["item"], row["text"], row["tokens"]) for row in answers))
    assert rows[0] == rows[1]
