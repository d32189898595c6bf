"""An unmodified llama.cpp says what FarSight says: SmolLM2 in three quantisations, by its server."""

from __future__ import annotations

import json
import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
import torch
from engines.llama_server import LlamaServer
from engines.requantised import requantised
from gguf import GGMLQuantizationType as Kind
from typer.testing import CliRunner

from farsight import FarSight, Plain
from farsight.cli import app
from farsight.inputs import smollm2
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.register_tokens import sigma_of

TALK: Any = [{"role": "user", "content": "Describe a picture of a dog on a beach."}]
FORCED = 12


@pytest.fixture(scope="module")
def smol() -> LoadedModel:
    return load(smollm2.folder(), device="cpu")


@pytest.fixture(scope="module", params=[Kind.Q4_1, Kind.Q8_0, Kind.F32], ids=lambda kind: kind.name)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server of the exported model, what `farsight export` said, and the type of its weights."""
    folder, kind = tmp_path_factory.mktemp("models"), request.param
    source = smollm2.packaged()
    if kind != Kind.Q4_1:
        source = requantised(source, folder / f"{kind.name}.gguf", kind)
    token = ["--token", "<gh_stars>"] if kind != Kind.F32 else []  # there one is appended
    command = ["export", str(source), "--registers", "10", "--json", "--out", str(folder / "out"), *token]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.stderr
    return LlamaServer(folder / "out" / source.name, slots=4), json.loads(found.stdout), kind


def original(smol: LoadedModel) -> list[int]:
    made = smol.tokenizer.apply_chat_template(TALK, add_generation_prompt=True, return_dict=True)
    ids: list[int] = made["input_ids"]
    return ids


def expected(smol: LoadedModel, ids: list[int], start: int, registers: int) -> torch.Tensor:
    method = FarSight(sigma=sigma_of(registers), horizon="infinite") if registers else Plain()
    with torch.no_grad(), method(smol.model):
        return smol.model(input_ids=torch.tensor([ids])).logits[0, start - 1 : -1].log_softmax(-1)


def test_forced_tokens_have_the_log_probabilities_of_farsight(smol: LoadedModel, served: Any) -> None:
    server, about, kind = served
    ids = original(smol)
    forced = smol.tokenizer("The dog is running on the sand, and the waves are behind it.")["input_ids"][:FORCED]
    plain = expected(smol, ids + forced, len(ids), 0)
    own = None
    for registers in (0, 1, 10):
        tops = [server.top([about["token_id"]] * registers + ids + forced[:step]) for step in range(len(forced))]
        method = expected(smol, ids + forced, len(ids), registers)
        gaps = [
            [
                abs(value - float(row[token]))
                for one, row in zip(tops, rows, strict=True)
                for token, value in one.items()
            ]
            for rows in (method, plain)
        ]
        to_method, to_plain = map(statistics.mean, gaps)
        if own is None:
            own = to_method
            continue
        assert to_method < 1.5 * own or kind == Kind.F32
        assert to_method < to_plain / 2
        if kind == Kind.F32:
            assert max(gaps[0]) < 1e-3


def test_a_request_says_how_many_registers_stand_in_front(smol: LoadedModel, served: Any) -> None:
    server, about, kind = served
    client = openai.OpenAI(base_url=f"{server.address}/v1", api_key="none")
    ids = original(smol)
    for registers in (None, 0, 20):
        given = {} if registers is None else {"chat_template_kwargs": {"registers": registers}}
        count = 10 if registers is None else registers
        prompt = server.post("/apply-template", messages=TALK, **given)["prompt"]
        assert prompt.startswith(about["token"] * count + "<|im_start|>system")
        cut = server.post("/tokenize", content=prompt, add_special=True, parse_special=True)["tokens"]
        assert cut == [about["token_id"]] * count + ids
        answer = client.chat.completions.create(
            model="smollm2", messages=TALK, max_tokens=1, temperature=0, logprobs=True, top_logprobs=5,
            logit_bias={str(about["token_id"]): -100}, extra_body=given,
        )  # fmt: skip
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == count + len(ids)
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        assert logprobs.content is not None
        rows = expected(smol, [*ids, 0], len(ids), count)[0]
        close = 1e-3 if kind == Kind.F32 else 0.6
        found = {one.model_extra["id"]: one.logprob for one in logprobs.content[0].top_logprobs if one.model_extra}
        assert len(found) == 5
        assert all(abs(value - float(rows[token])) < close for token, value in found.items())


def test_requests_of_different_strengths_at_once_are_what_each_is_alone(smol: LoadedModel, served: Any) -> None:
    server, about, kind = served
    ids = original(smol)
    prompts = [[about["token_id"]] * registers + ids for registers in (0, 1, 2, 5, 10, 20)]
    alone = [server.top(prompt) for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(server.top, prompts))
    for one, other in zip(alone, together, strict=True):
        assert one.keys() == other.keys()
        assert max(abs(one[token] - other[token]) for token in one) < (1e-3 if kind == Kind.F32 else 0.1)
    assert len({tuple(one) for one in alone}) > 3
