"""SmolLM2 behind OpenAI's API, and inside vLLM where that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from processes import started

from farsight import FarSight, Plain
from farsight.inputs.checkpoints import LoadedModel
from farsight.inputs.prompts import text_inputs
from farsight.inputs.smollm2 import folder
from farsight.method import Method

pytestmark = pytest.mark.slow

ASKED = "Name three things that one finds in a kitchen, please."
NEW = 16
METHOD = FarSight(sigma=0.05, rows="generated")


def said_here(loaded: LoadedModel, method: Method) -> str:
    model: Any = loaded.model
    inputs = text_inputs(loaded, [ASKED], chat=True)
    with method(model):
        tokens = model.generate(**inputs, max_new_tokens=NEW, do_sample=False)
    return loaded.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


@pytest.fixture(scope="module")
def url(smollm2: LoadedModel) -> Iterator[str]:
    """The command, as a user starts it."""
    pytest.importorskip("uvicorn", reason="pip install '.[serve]' in a clone of farsight")
    command = ["serve", "smollm2", "--method", "farsight(sigma=0.05, rows=generated)", "--port", "0", "--device", "cpu"]
    with started(*command) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split(" at ")[1].strip()
        server.terminate()
        server.wait(30)


def test_the_openai_client_hears_what_generate_says_inside_the_block(url: str, smollm2: LoadedModel) -> None:
    openai = pytest.importorskip("openai", reason="pip install openai")
    asking = {"model": "smollm2", "messages": [{"role": "user", "content": ASKED}], "max_tokens": NEW, "temperature": 0}
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        [choice] = client.chat.completions.create(**asking).choices
        parts = [part.choices[0].delta.content or "" for part in client.chat.completions.create(**asking, stream=True)]
        assert choice.message.content == said_here(smollm2, METHOD)
        assert "".join(parts) == choice.message.content
        assert choice.message.content != said_here(smollm2, Plain())
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**asking | {"messages": [{"role": "user", "content": [picture]}]})


def test_vllm_says_with_the_plugin_what_transformers_says(smollm2: LoadedModel, monkeypatch: Any) -> None:
    vllm = pytest.importorskip("vllm", reason="vLLM is not installed here")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    model: Any = smollm2.model
    inputs = text_inputs(smollm2, [ASKED], chat=True)
    with FarSight(sigma=0.05, horizon="infinite")(model):
        found = model.generate(
            **inputs, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, output_logits=True,
            return_dict_in_generate=True,
        )  # fmt: skip
    tokens = found.sequences[0, inputs["input_ids"].shape[1] :]
    expected = torch.cat(found.logits).log_softmax(-1).gather(1, tokens[:, None])[:, 0]
    engine = vllm.LLM(
        model=str(folder()), dtype="float32", enforce_eager=True, max_model_len=256, kv_cache_memory_bytes=2**26,
        additional_config={"farsight": {"sigma": 0.05}},
    )  # fmt: skip
    how = vllm.SamplingParams(max_tokens=NEW, temperature=0, logprobs=0, ignore_eos=True)
    [made] = engine.generate({"prompt_token_ids": inputs["input_ids"][0].tolist()}, how, use_tqdm=False)[0].outputs
    assert list(made.token_ids) == tokens.tolist()
    values = [step[token].logprob for step, token in zip(made.logprobs, made.token_ids, strict=True)]
    assert float((torch.tensor(values) - expected).abs().max()) < 1e-3
