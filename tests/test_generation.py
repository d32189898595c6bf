"""Every way to generate sees the same registers: one horizon for the whole call, one per sequence."""

from __future__ import annotations

import threading
from typing import Any

import models
import pytest
import torch
from definition import linear, logits_by_definition
from transformers import (
    DynamicCache,
    GenerationConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    StaticCache,
    StoppingCriteriaList,
)

from farsight import FarSight, SettingError, UnsupportedModelError
from farsight.attention.cache import CACHE, given_cache

METHOD = FarSight(sigma=0.3)
NEW = 8
GREEDY: dict[str, Any] = {"do_sample": False, "output_logits": True, "return_dict_in_generate": True}


@pytest.fixture(scope="module")
def llava() -> PreTrainedModel:
    return models.llava(num_key_value_heads=2)


@pytest.fixture(scope="module")
def inputs(llava: PreTrainedModel) -> dict[str, Any]:
    return models.prompt(llava)


def logits(model: PreTrainedModel, inputs: dict[str, Any], method: FarSight = METHOD, **kwargs: Any) -> torch.Tensor:
    with method(model):
        return torch.cat(model.generate(**inputs, **{**GREEDY, "max_new_tokens": NEW, **kwargs}).logits)


@pytest.mark.parametrize("horizon", ["generation", "infinite", 22])
def test_without_a_cache_as_with_it(llava: PreTrainedModel, inputs: dict[str, Any], horizon: str | int) -> None:
    method = FarSight(sigma=0.3, horizon=horizon)
    cached, recomputed = logits(llava, inputs, method), logits(llava, inputs, method, use_cache=False)
    torch.testing.assert_close(cached, recomputed, atol=1e-4, rtol=0)


def test_max_length_is_the_horizon_when_it_is_what_the_user_gave(llava: PreTrainedModel, inputs: Any) -> None:
    total = inputs["input_ids"].shape[1] + NEW
    by_length = logits(llava, inputs, max_new_tokens=None, max_length=total)
    assert torch.equal(by_length, logits(llava, inputs))
    config = GenerationConfig(max_new_tokens=NEW, **GREEDY)
    with METHOD(llava):
        found = torch.cat(llava.generate(**inputs, generation_config=config).logits)
    assert torch.equal(found, logits(llava, inputs))


def test_a_longer_call_is_a_longer_horizon(llava: PreTrainedModel, inputs: dict[str, Any]) -> None:
    short, long = logits(llava, inputs)[0], logits(llava, inputs, max_new_tokens=3 * NEW)[0]
    assert not torch.equal(short, long)


def test_positional_and_embedded_prompts(llava: PreTrainedModel) -> None:
    text = models.llama()
    ids = models.prompt(text)["input_ids"]
    expected = logits(text, {"input_ids": ids})
    embedded = logits(text, {"inputs_embeds": text.get_input_embeddings()(ids)})
    torch.testing.assert_close(embedded, expected, atol=1e-5, rtol=0)
    with METHOD(text):
        positional = torch.cat(text.generate(ids, max_new_tokens=NEW, **GREEDY).logits)
    assert torch.equal(positional, expected)


def test_sampling_draws_from_the_mitigated_distribution(llava: PreTrainedModel, inputs: dict[str, Any]) -> None:
    torch.manual_seed(0)
    with METHOD(llava):
        found = llava.generate(
            **inputs, max_new_tokens=NEW, do_sample=True, top_k=5, output_logits=True, return_dict_in_generate=True
        )
    generated = found.sequences[:, -NEW:]
    length = inputs["input_ids"].shape[1] + NEW
    expected = logits_by_definition(llava, inputs, generated, length, registers=linear(0.3))
    assert float((torch.cat(found.logits) - expected).abs().max()) < 1e-4


def test_returned_sequences_share_their_prompts_horizon(llava: PreTrainedModel, inputs: dict[str, Any]) -> None:
    torch.manual_seed(0)
    with METHOD(llava):
        found = llava.generate(
            **inputs,
            max_new_tokens=NEW,
            do_sample=True,
            num_return_sequences=3,
            output_logits=True,
            return_dict_in_generate=True,
        )
    length = inputs["input_ids"].shape[1] + NEW
    assert len(found.sequences) == 3
    for i in range(3):
        generated = found.sequences[i : i + 1, -NEW:]
        expected = logits_by_definition(llava, inputs, generated, length, registers=linear(0.3))
        assert float((torch.stack([step[i] for step in found.logits]) - expected).abs().max()) < 1e-4


@pytest.mark.parametrize("horizon", ["generation", "infinite"])
def test_beam_search_scores_sequences_by_the_definition(
    llava: PreTrainedModel, inputs: dict[str, Any], horizon: str
) -> None:
    with FarSight(sigma=0.3, horizon=horizon)(llava):
        found = llava.generate(
            **inputs,
            max_new_tokens=NEW,
            num_beams=3,
            do_sample=False,
            length_penalty=0.0,
            output_scores=True,
            return_dict_in_generate=True,
        )
    generated = found.sequences[:, -NEW:]
    prompt = inputs["input_ids"].shape[1]
    lengths = prompt + NEW + (200 if horizon == "infinite" else 0)
    expected = logits_by_definition(llava, inputs, generated, lengths, registers=linear(0.3)).log_softmax(-1)
    total = float(expected.gather(1, generated[0][:, None]).sum())
    assert float(found.sequences_scores[0]) == pytest.approx(total, abs=1e-4)


def test_beam_search_over_a_left_padded_batch() -> None:
    model = models.llama()
    prompts = [models.prompt(model, after=length, seed=length)["input_ids"] for length in (3, 8)]
    batch = torch.cat([torch.nn.functional.pad(p, (10 - p.shape[1], 0)) for p in prompts])
    kwargs: dict[str, Any] = {"max_new_tokens": NEW, "num_beams": 2, "do_sample": False}
    with METHOD(model):
        together = model.generate(batch, attention_mask=batch.ne(0).long(), **kwargs)
        alone = [model.generate(p, **kwargs) for p in prompts]
    for i, one in enumerate(alone):
        assert together[i, -NEW:].tolist() == one[0, -NEW:].tolist()


def test_padding_that_transformers_infers_from_pad_tokens_counts_as_padding() -> None:
    model = models.llama()
    prompts = [models.prompt(model, after=length, seed=length)["input_ids"] for length in (3, 8)]
    batch = torch.cat([torch.nn.functional.pad(p, (10 - p.shape[1], 0)) for p in prompts])
    inferred = logits(model, {"input_ids": batch})
    given = logits(model, {"input_ids": batch, "attention_mask": batch.ne(0).long()})
    assert torch.equal(inferred, given)


@pytest.mark.parametrize("lookup", [False, True])
def test_assisted_decoding_gives_the_tokens_of_greedy_decoding(lookup: bool) -> None:
    model, assistant = models.llama(), models.llama(num_hidden_layers=1)
    ids = models.prompt(model)["input_ids"].repeat(1, 3)
    helper: dict[str, Any] = {"prompt_lookup_num_tokens": 3} if lookup else {"assistant_model": assistant}
    with METHOD(model):
        expected = model.generate(ids, max_new_tokens=NEW, do_sample=False)
        assert torch.equal(model.generate(ids, max_new_tokens=NEW, do_sample=False, **helper), expected)


@pytest.mark.parametrize("horizon", ["generation", "infinite"])
def test_chunked_prefill(horizon: str) -> None:
    model = models.llama()
    ids = models.prompt(model, after=12)["input_ids"]
    method = FarSight(sigma=0.3, horizon=horizon)
    whole = logits(model, {"input_ids": ids}, method)
    chunked = logits(model, {"input_ids": ids}, method, prefill_chunk_size=5, past_key_values=DynamicCache())
    torch.testing.assert_close(chunked, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("whole_prompt", [True, False])
def test_generation_continues_from_a_given_cache(whole_prompt: bool) -> None:
    """The cached rows keep the registers that they were computed with; the new call fixes a horizon for its rows."""
    model = models.llama()
    ids = models.prompt(model, after=12)["input_ids"]
    method = FarSight(sigma=0.3, horizon=ids.shape[1] + NEW)
    expected = logits(model, {"input_ids": ids}, method)
    for continued in (method, METHOD):
        cache = DynamicCache(config=model.config)
        with torch.no_grad(), method(model):
            model(ids[:, :6], past_key_values=cache)
        rest = {"input_ids": ids if whole_prompt else ids[:, 6:], "attention_mask": torch.ones_like(ids)}
        found = logits(model, {**rest, "past_key_values": cache}, continued)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("horizon", ["generation", "infinite", 22])
@pytest.mark.parametrize("build", [models.llava, models.mistral, models.gemma3])
def test_static_cache(build: Any, horizon: str | int) -> None:
    model = build()
    inputs = models.prompt(model)
    method = FarSight(sigma=0.3, horizon=horizon)
    static = logits(model, inputs, method, cache_implementation="static", disable_compile=True)
    torch.testing.assert_close(static, logits(model, inputs, method), atol=1e-4, rtol=0)


def test_static_cache_of_a_left_padded_batch() -> None:
    model = models.llama()
    batch = torch.tensor([[0, 0, 0, 11, 12, 13], [21, 22, 23, 24, 25, 26]])
    inputs = {"input_ids": batch, "attention_mask": batch.ne(0).long()}
    static = logits(model, inputs, cache_implementation="static", disable_compile=True)
    torch.testing.assert_close(static, logits(model, inputs), atol=1e-4, rtol=0)


def test_compiled_decoding_compiles_one_step_for_all() -> None:
    model = models.llama()
    inputs = models.prompt(model)
    expected = logits(model, inputs, max_new_tokens=12)
    torch._dynamo.reset()
    graphs: list[Any] = []

    def backend(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    ids, new = inputs["input_ids"], 12
    with torch.no_grad(), FarSight(sigma=0.3, horizon=ids.shape[1] + new)(model):
        cache = StaticCache(config=model.config, max_cache_len=ids.shape[1] + new)
        found = [model(ids, past_key_values=cache).logits[:, -1]]
        step = torch.compile(model.forward, backend=backend, fullgraph=True, dynamic=False)
        compiled = []
        for _ in range(new - 1):
            found.append(step(found[-1].argmax(-1, keepdim=True), past_key_values=cache).logits[:, -1])
            compiled.append(len(graphs))
    assert compiled[0] == compiled[-1] == 1
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_quantised_cache() -> None:
    """The first use compiles optimum-quanto's operators, which takes a minute."""
    model = models.llama(hidden_size=64, intermediate_size=64)
    inputs = models.prompt(model)
    quantised: dict[str, Any] = {"cache_implementation": "quantized", "cache_config": {"backend": "quanto", "nbits": 4}}
    found, plain = (logits(model, inputs, method, **quantised) for method in (METHOD, FarSight(profile="none")))
    assert bool((found != plain).any(-1).all())
    # the prompt's own rows are computed before they are quantised, so the first token is that of the default cache
    torch.testing.assert_close(found[0], logits(model, inputs)[0], atol=1e-4, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="an offloaded cache moves tensors between host and GPU")
def test_offloaded_cache() -> None:
    model = models.llama().cuda()
    inputs = {name: tensor.cuda() for name, tensor in models.prompt(model).items()}
    offloaded = logits(model, inputs, cache_implementation="offloaded")
    torch.testing.assert_close(offloaded, logits(model, inputs), atol=1e-4, rtol=0)


def test_two_threads_on_two_models_and_on_one() -> None:
    """Each thread has its own horizon, also on a shared model."""
    one, other = models.llama(), models.llama(num_key_value_heads=2)
    jobs = [(one, 4, 0.3), (one, 24, 0.3), (other, 12, 0.1)]
    ids = {length: models.prompt(one, after=length)["input_ids"] for length in (4, 24, 12)}
    expected = [logits(m, {"input_ids": ids[n]}, FarSight(sigma=s), max_new_tokens=n) for m, n, s in jobs]
    found: dict[int, list[torch.Tensor]] = {i: [] for i in range(len(jobs))}

    def work(i: int) -> None:
        model, length, _ = jobs[i]
        for _ in range(5):
            result = model.generate(ids[length], **{**GREEDY, "max_new_tokens": length})
            found[i].append(torch.cat(result.logits))

    with FarSight(sigma=0.3)(one), FarSight(sigma=0.1)(other):
        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for i, results in found.items():
        assert len(results) == 5
        for result in results:
            torch.testing.assert_close(result, expected[i], atol=1e-5, rtol=0)


def test_a_plain_forward_has_the_length_of_its_own_sequence(llava: PreTrainedModel, inputs: dict[str, Any]) -> None:
    ids = inputs["input_ids"]
    with METHOD(llava), torch.no_grad():
        found = llava(**inputs).logits[0]
        padded = {k: torch.nn.functional.pad(inputs[k], (3, 0)) for k in ("input_ids", "attention_mask")}
        shifted = llava(**{**inputs, **padded}).logits[0, 3:]
    nothing_new = torch.zeros(1, 1, dtype=torch.long)
    for rows in (ids.shape[1], ids.shape[1] - 3):  # a row is the last one of the tokens up to it
        prefix = {**inputs, **{k: inputs[k][:, :rows] for k in ("input_ids", "attention_mask")}}
        expected = logits_by_definition(llava, prefix, nothing_new, ids.shape[1], registers=linear(0.3))[0]
        assert float((found[rows - 1] - expected).abs().max()) < 1e-4
    torch.testing.assert_close(shifted, found, atol=1e-4, rtol=0)


def test_causality(llava: PreTrainedModel, inputs: dict[str, Any]) -> None:
    changed = {**inputs, "input_ids": inputs["input_ids"].clone()}
    changed["input_ids"][0, -2] += 1
    with METHOD(llava), torch.no_grad():
        before, after = llava(**inputs).logits[0], llava(**changed).logits[0]
    assert torch.equal(before[:-2], after[:-2])
    assert not torch.equal(before[-2:], after[-2:])


def test_text_rows_need_the_prompts_tokens() -> None:
    model = models.llava()
    embeds = model.get_input_embeddings()(torch.tensor([[11, 12, 13]]))
    with FarSight(rows="text")(model), pytest.raises(SettingError, match="input_ids"):
        model.generate(inputs_embeds=embeds, max_new_tokens=2)


def test_a_recipe_from_the_hub_is_refused(llava: PreTrainedModel, inputs: dict[str, Any]) -> None:
    with METHOD(llava), pytest.raises(UnsupportedModelError, match="custom_generate"):
        llava.generate(**inputs, custom_generate="someone/recipe", max_new_tokens=2)


@pytest.mark.parametrize("horizon", ["generation", "infinite"])
def test_a_billion_tokens_take_no_memory_beforehand(horizon: str) -> None:
    model = models.llama()
    inputs = models.prompt(model)
    stop = StoppingCriteriaList([lambda ids, scores, **_: ids.shape[1] > inputs["input_ids"].shape[1] + 3])  # type: ignore[list-item]
    with FarSight(sigma=0.3, horizon=horizon)(model):
        if horizon == "generation":
            with pytest.raises(SettingError, match="longer than any text"):
                model.generate(**inputs, max_new_tokens=10**9, stopping_criteria=stop)
            return
        model.generate(**inputs, max_new_tokens=10**9, stopping_criteria=stop)


class Prefixed(LlamaForCausalLM):
    """Puts two rows of its own before the prompt, inside its forward."""

    def forward(self, input_ids: torch.Tensor, **kwargs: Any) -> Any:
        embeds = self.get_input_embeddings()(input_ids)
        cache = given_cache(kwargs)
        if cache.get_seq_length() == 0:
            embeds = torch.cat((self.prefix(embeds), embeds), dim=1)
        return self.model_logits(inputs_embeds=embeds, **{CACHE: cache})

    def prefix(self, embeds: torch.Tensor) -> torch.Tensor:
        return self.get_input_embeddings()(torch.full((len(embeds), 2), 17))

    def model_logits(self, **kwargs: Any) -> Any:
        return super().forward(**kwargs)


def test_rows_that_a_forward_adds_are_refused_where_their_places_matter_and_only_there() -> None:
    plain, ids = models.llama(), models.prompt(models.llama())["input_ids"]
    model = Prefixed(plain.config).eval()
    model.load_state_dict(plain.state_dict())
    with pytest.raises(UnsupportedModelError, match=r"inside its forward.*use horizon='infinite' and rows='all'"):
        logits(model, {"input_ids": ids})
    infinite = FarSight(sigma=0.3, horizon="infinite")
    whole = torch.cat((torch.full((1, 2), 17), ids), dim=1)
    found, expected = logits(model, {"input_ids": ids}, infinite), logits(plain, {"input_ids": whole}, infinite)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
