"""What clients of OpenAI's API ask, and what they get."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from chat_server import Serve, Serving, picture_part
from PIL import Image

from farsight import FarSight
from farsight.images import open_image
from farsight.inputs.checkpoints import LoadedModel
from farsight.inputs.prompts import prompt_inputs
from farsight.method import Plain
from farsight.methods import settings_of
from farsight.methods.beam_search import BeamSearch
from farsight.methods.opera import OPERA

openai = pytest.importorskip("openai", reason="pip install openai")

FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
ASKED: dict[str, tuple[Any, bool]] = {
    "audio": ({"voice": "alloy", "format": "wav"}, False),
    "frequency_penalty": (0.5, True),
    "function_call": ({"name": "f"}, False),
    "functions": ([FUNCTION], False),
    "logit_bias": ({5: -100, "6": 3.5}, True),
    "logprobs": (True, False),
    "max_completion_tokens": (2, True),
    "max_tokens": (2, True),
    "messages": ([{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "What?"}], True),
    "metadata": ({"purpose": "test"}, True),
    "modalities": (["text", "audio"], False),
    "model": ("gpt-4o", False),
    "moderation": ({"model": "omni"}, False),
    "n": (2, False),
    "parallel_tool_calls": (False, False),
    "prediction": ({"type": "content", "content": "a"}, False),
    "presence_penalty": (-0.5, True),
    "prompt_cache_key": ("k", True),
    "prompt_cache_options": ({"mode": "explicit"}, False),
    "prompt_cache_retention": ("24h", False),
    "reasoning_effort": ("high", False),
    "response_format": ({"type": "json_object"}, False),
    "safety_identifier": ("s", True),
    "seed": (7, True),
    "service_tier": ("flex", False),
    "stop": (["\n", "stop"], True),
    "store": (True, False),
    "stream": (True, True),
    "stream_options": ({"include_usage": True}, False),
    "temperature": (0.7, True),
    "tool_choice": ("required", False),
    "tools": ([{"type": "function", "function": FUNCTION}], False),
    "top_logprobs": (3, False),
    "top_p": (0.9, True),
    "user": ("u", True),
    "verbosity": ("low", False),
    "web_search_options": ({}, False),
}
"""Every parameter, a value that asks for something, and whether it is answered or refused."""


def client(server: Serving) -> Any:
    return openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)


def said(server: Serving, **more: Any) -> Any:
    """The first choice of an answer, or of a stream its text and reason."""
    answer = client(server).chat.completions.create(**server.request(**more))
    if not more.get("stream"):
        return answer.choices[0].message.content, answer.choices[0].finish_reason
    chunks = [chunk.choices[0] for chunk in answer]
    return "".join(chunk.delta.content or "" for chunk in chunks), chunks[-1].finish_reason


def test_every_parameter_of_the_api_is_tried() -> None:
    from openai.types.chat import completion_create_params as params

    known: set[str] = set()
    for kind in (params.CompletionCreateParamsNonStreaming, params.CompletionCreateParamsStreaming):
        known |= set(get_type_hints(kind))
    assert known <= set(ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_a_parameter_works_or_is_refused_by_its_name(server: Serving, name: str) -> None:
    value, works = ASKED[name]
    asking = {**server.request(), name: value}
    if name == "max_completion_tokens":
        del asking["max_tokens"]
    if works:
        answer = client(server).chat.completions.create(**asking)
        assert list(answer) if name == "stream" else answer.choices[0].message.content
        return
    with pytest.raises(openai.APIStatusError, match=name) as refused:
        client(server).chat.completions.create(**asking)
    assert refused.value.status_code == (404 if name == "model" else 400)
    assert refused.value.body["param"] == name


def test_values_that_ask_for_nothing_are_taken(server: Serving) -> None:
    nothing = {
        "n": 1, "logprobs": False, "tools": [], "tool_choice": "auto", "response_format": {"type": "text"},
        "service_tier": "auto", "store": False, "stop": [], "logit_bias": {}, "seed": None, "functions": None,
        "modalities": ["text"], "stream": False, "presence_penalty": 0,
    }  # fmt: skip
    assert server.post(server.request(**nothing))[0] == 200


@pytest.fixture(params=["server", "text_server"])
def either(request: pytest.FixtureRequest) -> Serving:
    serving: Serving = request.getfixturevalue(request.param)
    return serving


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_ends_in_front_of_a_stop_text(either: Serving, stream: bool) -> None:
    whole, reason = said(either, max_tokens=24)
    assert reason == "length"
    middle = whole[len(whole) // 2 :][:3]
    cut, reason = said(either, max_tokens=24, stop=["never said", middle], stream=stream)
    assert (cut, reason) == (whole[: whole.index(middle)], "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_cut_off_has_its_length_as_reason(either: Serving, stream: bool) -> None:
    assert said(either, max_tokens=24, stream=stream, stop="never said") == said(either, max_tokens=24)


def test_a_strong_bias_chooses_the_tokens_with_keys_of_any_kind(either: Serving) -> None:
    [token] = either.loaded.tokenizer("z", add_special_tokens=False)["input_ids"]
    assert said(either, max_tokens=3, logit_bias={token: 100})[0] == "zzz"
    assert said(either, max_tokens=3, logit_bias={str(token): 100.0})[0] == "zzz"


def test_penalties_are_taken_from_the_logits_of_what_was_said(either: Serving) -> None:
    """Against greedy decoding written out, with the whole text fed again for every token."""
    asking = {"max_tokens": 12, "frequency_penalty": 0.75, "presence_penalty": 0.5, "logit_bias": {70: 0.25}}
    loaded = either.loaded
    prompt = loaded.processor.apply_chat_template(
        [{"role": "user", "content": "What?" if not loaded.takes_images else [{"type": "text", "text": "What?"}]}],
        add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
    )["input_ids"]  # fmt: skip
    new: list[int] = []
    for _ in range(12):
        ids = torch.cat((prompt, torch.tensor([new], dtype=torch.long)), 1)
        with either.method(loaded.model):
            output = loaded.model.generate(ids, max_new_tokens=1, do_sample=False, output_logits=True,
                                           return_dict_in_generate=True)  # fmt: skip
        logits = output.logits[0][0]
        logits[70] += 0.25
        for token in set(new):
            logits[token] -= 0.75 * new.count(token) + 0.5
        new.append(int(logits.argmax()))
    assert said(either, **asking)[0] == loaded.tokenizer.decode(new, skip_special_tokens=True)


def test_seeds_repeat_among_many_requests_at_once(server: Serving) -> None:
    def say(seed: int) -> Any:
        return said(server, max_tokens=6, temperature=1.0, seed=seed)

    alone = [say(seed) for seed in range(4)]
    with ThreadPoolExecutor(24) as pool:
        together = list(pool.map(say, list(range(4)) * 6))
    assert together == alone * 6
    assert len(set(alone)) > 1
    assert said(server, max_tokens=6, temperature=1.0) != said(server, max_tokens=6, temperature=1.0)


@pytest.mark.parametrize("nothing", ["temperature", "top_p"])
def test_no_temperature_is_greedy_decoding(server: Serving, nothing: str) -> None:
    assert said(server, max_tokens=8, **{nothing: 0}) == said(server, max_tokens=8)


def test_usage_is_streamed_where_it_is_asked_for(server: Serving) -> None:
    asking = server.request(stream=True, stream_options={"include_usage": True})
    *chunks, last = client(server).chat.completions.create(**asking)
    whole = client(server).chat.completions.create(**server.request())
    assert (last.choices, last.usage) == ([], whole.usage)
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in [*chunks, last]}) == 1


def deep(path: Path) -> None:
    Image.fromarray(np.arange(16 * 16, dtype=np.uint16).reshape(16, 16) * 100).save(path)


def clear(path: Path) -> None:
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(path)


@pytest.mark.parametrize("draw", [deep, clear])
def test_a_picture_is_opened_as_every_face_opens_it(server: Serving, tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "a.png")
    inputs = prompt_inputs(server.loaded, open_image(tmp_path / "a.png"), "What?")
    seen: list[Any] = []
    tower = server.loaded.model.get_submodule("model.vision_tower")
    hook = tower.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((*args, kwargs.get("pixel_values"))[0]), with_kwargs=True
    )
    parts = [picture_part(tmp_path / "a.png"), {"type": "text", "text": "What?"}]
    said(server, messages=[{"role": "user", "content": parts}])
    hook.remove()
    [pixels] = seen
    assert torch.equal(pixels, inputs["pixel_values"])


@pytest.mark.parametrize("search", [BeamSearch(num_beams=2), OPERA(num_beams=2, num_attn_candidates=2)])
def test_a_search_answers_as_generate_does_and_refuses_what_it_cannot(
    serve: Serve, free_llava: LoadedModel, search: Any
) -> None:
    method = FarSight() + search
    with serve(free_llava, method) as server:
        text, _ = said(server, max_tokens=5)
        for name, value in {"stream": True, "stop": "a", "temperature": 1.0, "top_p": 0.5}.items():
            with pytest.raises(openai.BadRequestError, match="this method searches"):
                said(server, **{name: value})
        assert said(server, max_tokens=5, temperature=0) == (text, "length")
        words = free_llava.processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "text", "text": "What?"}]}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        )  # fmt: skip
        with method(free_llava.model):
            tokens = free_llava.model.generate(**words, max_new_tokens=5)[0, words["input_ids"].shape[1] :]
        assert text == free_llava.tokenizer.decode(tokens, skip_special_tokens=True)


def test_a_repetition_penalty_is_the_one_of_generate(server: Serving) -> None:
    loaded = server.loaded
    words = loaded.processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "text", "text": "What?"}]}],
        add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
    )  # fmt: skip
    length = words["input_ids"].shape[1]
    for penalty in (1.0, 3.0):
        with server.method(loaded.model):
            tokens = loaded.model.generate(**words, max_new_tokens=12, repetition_penalty=penalty)[0, length:]
        text = loaded.tokenizer.decode(tokens, skip_special_tokens=True)
        assert said(server, max_tokens=12, extra_body={"repetition_penalty": penalty})[0] == text
    assert said(server, max_tokens=12)[0] != text
    with pytest.raises(openai.BadRequestError, match=r"repetition_penalty must be a number from 0.1 to 10"):
        said(server, extra_body={"repetition_penalty": 0})


def test_a_request_may_ask_for_the_model_as_it_is(serve: Serve, free_llava: LoadedModel) -> None:
    with serve(free_llava, Plain()) as server:
        plain = said(server, max_tokens=12)
        for name in ("it", "greedy", "plain"):
            assert said(server, max_tokens=12, extra_body={"method": name}) == plain
    with serve(free_llava) as server:
        usual = said(server, max_tokens=12)
        for name in ("greedy", "plain"):
            assert said(server, max_tokens=12, extra_body={"method": name}) == plain != usual
        assert said(server, max_tokens=12, extra_body={"method": "it"}) == said(server, max_tokens=12) == usual
        [listed] = client(server).models.list()
        assert listed.methods == {"it": settings_of(server.method), "greedy": {"name": "plain"}}
        for other in ("farsight", "farsight(sigma=0.1)", "@method.yaml", "", 1, ["it"]):
            with pytest.raises(openai.BadRequestError, match="method must be one of it, greedy, not"):
                said(server, extra_body={"method": other})


def test_only_a_method_that_searches_refuses_streams(serve: Serve, free_llava: LoadedModel) -> None:
    with serve(free_llava, FarSight() + BeamSearch()) as server:
        plain = said(server, max_tokens=5, temperature=0, extra_body={"method": "plain"})
        assert said(server, max_tokens=5, temperature=0, stream=True, extra_body={"method": "plain"}) == plain


def test_a_model_that_ends_by_itself_says_stop(serve: Serve, free_llava: LoadedModel) -> None:
    free_llava.model.generation_config.eos_token_id = 90
    try:
        with serve(free_llava) as server:
            asking = server.request(max_tokens=5, logit_bias={90: 100})
            answer = client(server).chat.completions.create(**asking)
            assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("stop", 1)
    finally:
        free_llava.model.generation_config.eos_token_id = None


def test_models_and_health(server: Serving) -> None:
    assert client(server).models.retrieve(server.loaded.name).id == server.loaded.name
    assert server.ask("GET", "/health") == (200, {"status": "ok", "model": server.loaded.name, "method": "it"})


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/", "/v1/models/other", "/v1/completions"])
def test_there_is_nothing_else(server: Serving, path: str) -> None:
    status, answer = server.ask("GET", path)
    assert status == 404
    assert answer["error"]["message"]


def test_a_key_is_asked_for_everywhere_but_for_health(serve: Serve, free_llava: LoadedModel) -> None:
    with serve(free_llava, api_key="a secret") as server:
        knowing = openai.OpenAI(base_url=server.url, api_key="a secret", max_retries=0)
        assert knowing.chat.completions.create(**server.request()).choices[0].message.content
        assert [listed.id for listed in knowing.models.list()] == [free_llava.name]
        assert server.ask("GET", "/health")[0] == 200
        for key in ("a secre", "a secret ?", "A SECRET"):
            with pytest.raises(openai.AuthenticationError, match="send the API key") as refused:
                openai.OpenAI(base_url=server.url, api_key=key, max_retries=0).models.list()
            assert (refused.value.status_code, refused.value.code) == (401, "invalid_api_key")
        for headers in ({}, {"Authorization": "a secret"}, {"Authorization": "Basic a secret"}):
            status, answer = server.post(server.request(), **headers)
            assert (status, answer["error"]["type"]) == (401, "invalid_request_error")
            assert server.ask("GET", "/v1/models", **headers)[0] == 401
            assert server.ask("GET", "/nothing", **headers)[0] == 401
