"""Every way in which Transformers generates, with an image, on four architectures: all see the defined registers."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch
from architectures import ROWS, Row
from check import METHOD, NEW, generate
from definition import Definition
from inputs import prompt
from reference import LINEAR, SIGMA, _in_every_decoder_layer, logits_of_definition
from tiny_model import FIRST_WORD, VOCABULARY, tiny_model
from torch import Tensor
from transformers import CompileConfig, DynamicCache, PreTrainedModel, QuantizedCache
from transformers.generation.streamers import BaseStreamer

from farsight import FarSight, UnsupportedModelError

ARCHITECTURES = ["llava", "qwen2_5_vl", "gemma3", "internvl"]
SUPPRESSED = list(range(FIRST_WORD))
OPTIONS: dict[str, Any] = {"max_new_tokens": NEW, "suppress_tokens": SUPPRESSED, "return_dict_in_generate": True}

PROJECTIONS = ("q_proj.weight", "k_proj.weight", "v_proj.weight")
on_each = pytest.mark.parametrize("name", ARCHITECTURES)


@cache
def built(name: str) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    row = ROWS.get(name, Row())
    model = tiny_model(name, row.config)
    return model, prompt(model, row)


def defined(model: PreTrainedModel, inputs: dict[str, Tensor], new: Tensor) -> Tensor:
    """The definition's logits of each new token, ``(1, new, vocabulary)``."""
    return logits_of_definition(model, inputs, new, inputs["input_ids"].shape[1] + NEW)[0]


def drawn(model: PreTrainedModel, inputs: dict[str, Tensor]) -> dict[str, Any]:
    """Options that draw tokens, at a temperature that leaves several likely."""
    _, logits = generate(model, inputs)
    return {"do_sample": True, "top_k": 0, "temperature": float(logits.abs().max()) / 2, "output_logits": True}


def allowed(logits: Tensor) -> Tensor:
    logits = logits.clone()
    logits[..., SUPPRESSED] = -torch.inf
    return logits


def assert_near(found: Tensor, expected: Tensor) -> None:
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found.double(), expected, atol=2e-4 * scale, rtol=0)


@on_each
def test_a_seed_draws_the_tokens_that_the_definition_draws(name: str) -> None:
    model, inputs = built(name)
    options = drawn(model, inputs)
    torch.manual_seed(3)
    with METHOD(model):
        found = model.generate(**inputs, **OPTIONS, **options)
    new = found.sequences[:, -NEW:]
    expected = defined(model, inputs, new)
    assert_near(torch.stack(found.logits, 1), expected)
    torch.manual_seed(3)
    probabilities = [allowed(step.float() / options["temperature"]).softmax(-1) for step in expected[0]]
    assert torch.cat([torch.multinomial(step, 1) for step in probabilities]).tolist() == new[0].tolist()


@on_each
def test_two_returned_sequences(name: str) -> None:
    model, inputs = built(name)
    options = drawn(model, inputs)
    torch.manual_seed(0)
    with METHOD(model):
        found = model.generate(**inputs, **OPTIONS, **options, num_return_sequences=2)
    for i in range(2):
        new = found.sequences[i : i + 1, -NEW:]
        assert_near(torch.stack([step[i] for step in found.logits])[None], defined(model, inputs, new))
    assert not torch.equal(found.sequences[0], found.sequences[1])


@on_each
def test_four_beams_score_a_sequence_by_the_definition(name: str) -> None:
    model, inputs = built(name)
    with METHOD(model):
        found = model.generate(
            **inputs, **OPTIONS, do_sample=False, num_beams=4, length_penalty=0.0, output_scores=True
        )
    new = found.sequences[:, -NEW:]
    scores = defined(model, inputs, new)[0].log_softmax(-1).gather(1, new[0][:, None])
    assert float(found.sequences_scores[0]) == pytest.approx(float(scores.sum()), abs=1e-3)


@on_each
@pytest.mark.parametrize("how", ["draft", "lookup"])
def test_assisted_decoding_gives_the_tokens_of_greedy_decoding(name: str, how: str) -> None:
    model, inputs = built(name)
    expected, _ = generate_mitigated(model, inputs)
    extra: dict[str, Any] = {"prompt_lookup_num_tokens": 2}
    if how == "draft":
        draft = copy.deepcopy(model)
        extra = {"assistant_model": draft}
    with METHOD(model):
        found = model.generate(**inputs, **OPTIONS, do_sample=False, **extra)
    assert found.sequences[:, -NEW:].tolist() == expected.tolist()


def generate_mitigated(model: PreTrainedModel, inputs: dict[str, Tensor], **kwargs: Any) -> tuple[Tensor, Tensor]:
    with METHOD(model):
        return generate(model, inputs, **kwargs)


@pytest.mark.slow
@on_each
def test_greedy_and_a_compiled_step_with_a_static_cache(name: str) -> None:
    model, inputs = built(name)
    new, logits = generate_mitigated(model, inputs)
    assert_near(logits, defined(model, inputs, new))
    torch._dynamo.reset()
    compiled = CompileConfig(backend="eager", fullgraph=False, mode=None)
    compiled._compile_all_devices = True
    tokens, static = generate_mitigated(model, inputs, cache_implementation="static", compile_config=compiled)
    vars(model).pop("_compiled_call", None)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert tokens.tolist() == new.tolist()
    assert_near(static, logits)


@on_each
def test_a_second_turn_continues_from_the_first_ones_cache(name: str) -> None:
    """Each turn has its own horizon; rows in the cache keep the registers that they were computed with."""
    model, inputs = built(name)
    with METHOD(model):
        first = model.generate(**inputs, **OPTIONS, do_sample=False)
        ids = torch.cat((first.sequences, torch.tensor([[70, 71, 72]])), dim=1)
        second = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            past_key_values=first.past_key_values,
            **OPTIONS,
            do_sample=False,
            output_logits=True,
        )
    first_end, second_end = first.sequences.shape[1], ids.shape[1] + NEW
    cached = first_end - 1  # the last token of a turn is not fed in it

    def registers(row: Tensor, slot: Tensor, head: Tensor) -> Tensor:
        beyond = (row < cached) & (slot >= first_end)
        return torch.where(beyond, -torch.inf, LINEAR(row, slot, head))

    new = second.sequences[:, inputs["input_ids"].shape[1] :]
    expected, _ = logits_of_definition(model, inputs, new, second_end, registers)
    assert_near(torch.stack(second.logits, 1), expected[:, -NEW:])


class Collected(BaseStreamer):
    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.ended = False

    def put(self, value: Tensor) -> None:
        self.tokens += value.flatten().tolist()

    def end(self) -> None:
        self.ended = True


@on_each
@pytest.mark.parametrize("rows", [3, 8, 10])
def test_a_prompt_in_chunks_has_the_horizon_of_the_whole(name: str, rows: int) -> None:
    model, inputs = built(name)
    if name == "gemma3" and rows == 3:  # cuts a picture that reads both ways in two, in plain decoding too
        whole, cut = (generate(model, inputs, prefill_chunk_size=size)[1] for size in (None, rows))
        assert float((whole - cut).abs().max()) > 0.1
        return
    new, logits = generate_mitigated(model, inputs, prefill_chunk_size=rows)
    assert_near(logits, defined(model, inputs, new))


@pytest.mark.slow  # the first use compiles optimum-quanto's operators
@on_each
def test_a_quantised_cache_is_the_cache_of_its_rounded_rows(name: str) -> None:
    pytest.importorskip("optimum.quanto", reason="pip install optimum-quanto")
    model, inputs = built(name)
    config, settings = model.config.get_text_config(decoder=True), {"nbits": 4, "q_group_size": 16}
    if name == "gemma3":
        with pytest.raises(ValueError, match="full attention layers"):  # of Transformers, in plain decoding too
            QuantizedCache("quanto", config, **settings)
        return
    quantised, rounded, exact = QuantizedCache("quanto", config, **settings), DynamicCache(), DynamicCache()
    token, length = torch.tensor([[70]]), inputs["input_ids"].shape[1]
    with FarSight(sigma=SIGMA, horizon=length + NEW)(model), torch.no_grad():
        whole = [model(**inputs, past_key_values=cache, use_cache=True).logits for cache in (exact, quantised)]
        for index, layer in enumerate(quantised.layers):
            states = (layer._dequantize(part) for part in (layer._quantized_keys, layer._quantized_values))
            rounded.update(*states, index)
        exactly, found, expected = (
            model(input_ids=token, past_key_values=cache, use_cache=True).logits
            for cache in (exact, quantised, rounded)
        )
    assert torch.equal(*whole)  # the prompt's own rows are computed before they are rounded
    assert_near(found, expected.double())
    assert float((found - exactly).abs().max()) > 0.01
    _, given = generate_mitigated(model, inputs, cache_implementation="quantized", cache_config=settings)
    assert_near(given[:, :1], generate_mitigated(model, inputs)[1][:, :1])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@on_each
def test_gradients_are_those_of_the_definition(name: str, attention: str) -> None:
    """The gate depends on the scores as well, through the log-sum-exp."""
    row = ROWS.get(name, Row())
    model = tiny_model(name, row.config, attention)
    inputs = prompt(model, row)
    length = inputs["input_ids"].shape[1]
    weights = [p for n, p in model.named_parameters() if "language_model" in n and n[-13:] in PROJECTIONS]
    by = torch.randn(length, VOCABULARY, generator=torch.Generator().manual_seed(0))

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad((model(**inputs, use_cache=False).logits[0] * by).sum(), weights))

    plain = gradients()
    with METHOD(model):
        found = gradients()
    with _in_every_decoder_layer(model, Definition(length=length, registers=LINEAR), {}):
        expected = gradients()
    assert len(weights) == 6
    for one, defined_one, plain_one in zip(found, expected, plain, strict=True):
        scale = float(defined_one.abs().max())
        assert float((one - defined_one).abs().max()) < 1e-5 * scale
        assert float((plain_one - defined_one).abs().max()) > 1e-2 * scale


@on_each
def test_a_streamer_gets_the_mitigated_tokens_one_by_one(name: str) -> None:
    model, inputs = built(name)
    expected, _ = generate_mitigated(model, inputs)
    streamer = Collected()
    generate_mitigated(model, inputs, streamer=streamer)
    assert streamer.tokens[-NEW:] == expected[0].tolist()
    assert streamer.ended


@on_each
def test_continuous_batching_is_refused_and_nothing_changes(name: str) -> None:
    model, inputs = built(name)
    _, before = generate(model, inputs)
    with METHOD(model), pytest.raises(UnsupportedModelError, match="continuous batching"):
        model.generate_batch([[70, 71, 72]])
    assert torch.equal(generate(model, inputs)[1], before)


@on_each
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_half_precision_errs_as_plain_decoding_does(name: str, dtype: torch.dtype) -> None:
    model, inputs = built(name)
    low = copy.deepcopy(model).to(dtype)
    exact = copy.deepcopy(model)
    exact.load_state_dict({key: value.float() for key, value in low.state_dict().items()})
    rounded = {key: value.to(dtype) if value.is_floating_point() else value for key, value in inputs.items()}
    plain_tokens, plain = generate(low, rounded)
    plainly = logits_of_definition(exact, inputs, plain_tokens, 0)[0]
    tokens, logits = generate_mitigated(low, rounded)
    error = float((logits - defined(exact, inputs, tokens)).abs().mean())
    assert 0 < error < 2 * float((plain - plainly).abs().mean())
