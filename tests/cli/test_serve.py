"""``farsight serve``, asked by OpenAI's own client."""

import base64
import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from processes import started

from farsight import FarSight
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.inputs.prompts import prompt_inputs
from farsight.method import Method, Plain
from farsight.tune.method_file import write_method

openai = pytest.importorskip("openai", reason="pip install openai")
pytest.importorskip("starlette", reason="pip install starlette")
pytest.importorskip("uvicorn", reason="pip install uvicorn")

STRONG = FarSight(profile=3.0, horizon=400)  # a model of the usual initial weights says little else otherwise
QUESTION = "What?"


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs as a user starts it, with the file that ``farsight tune`` writes."""
    tuned = tmp_path_factory.mktemp("tuned") / "method.yaml"
    write_method(tuned, STRONG, comments=["Turn it on."])
    command = ["serve", model, "--device", "cpu", "--port", "0", "--method", f"@{tuned}"]
    with started(*command) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith(f"{model} with farsight(")
        yield said.split()[-1]
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


@pytest.fixture
def client(server: str) -> Any:
    return openai.OpenAI(base_url=server, api_key="none", max_retries=0)


def asked(picture: Path) -> list[dict[str, Any]]:
    url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]
    return [{"role": "user", "content": parts}]


def said_here(loaded: LoadedModel, method: Method, picture: Path, **options: Any) -> str:
    with Image.open(picture) as image:
        inputs = prompt_inputs(loaded, image.convert("RGB"), QUESTION)
    with method(loaded.model):
        tokens = loaded.model.generate(**inputs, **{"do_sample": False, **options})  # type: ignore[operator]
    return loaded.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_a_picture_is_answered_as_generate_answers_inside_the_block(client: Any, model: Path, picture: Path) -> None:
    answer = client.chat.completions.create(model=str(model), messages=asked(picture), max_tokens=8)
    loaded = load(model, device="cpu")
    [choice] = answer.choices
    assert choice.message.content == said_here(loaded, STRONG, picture, max_new_tokens=8)
    assert choice.message.content != said_here(loaded, Plain(), picture, max_new_tokens=8)
    assert (choice.finish_reason, answer.usage.completion_tokens, answer.model) == ("length", 8, str(model))


def test_what_is_streamed_is_the_same_text(client: Any, model: Path, picture: Path) -> None:
    asking = {"model": str(model), "messages": asked(picture), "max_completion_tokens": 8}
    whole = client.chat.completions.create(**asking).choices[0].message.content
    parts = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asking, stream=True)]
    assert "".join(parts) == whole
    assert len([part for part in parts if part]) > 1


def test_a_temperature_draws_and_a_seed_repeats(client: Any, model: Path, picture: Path) -> None:
    def say(seed: int) -> str:
        asking = {"model": str(model), "messages": asked(picture), "max_tokens": 8, "temperature": 1.0, "seed": seed}
        return client.chat.completions.create(**asking).choices[0].message.content

    torch.manual_seed(7)
    options = {"max_new_tokens": 8, "do_sample": True, "temperature": 1.0}
    assert say(7) == said_here(load(model, device="cpu"), STRONG, picture, **options)
    assert say(7) != say(8)


def test_the_model_is_listed_and_the_method_said(client: Any, server: str, model: Path) -> None:
    assert [listed.id for listed in client.models.list()] == [str(model)]
    with urllib.request.urlopen(f"{server.removesuffix('/v1')}/health", timeout=10) as response:
        assert json.load(response)["method"] == "farsight(horizon=400, profile=3.0)"


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"model": "gpt-4o"}, 404, "there is no model 'gpt-4o' here"),
        ({"n": 2}, 400, "n is not supported"),
        ({"logprobs": True}, 400, "logprobs is not supported"),
        ({"messages": []}, 400, "one message or more"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, 400, "text and"),
    ],
)
def test_what_would_be_passed_over_is_refused(
    client: Any, model: Path, changed: dict[str, Any], status: int, words: str
) -> None:
    messages = [{"role": "user", "content": "Hello?"}]
    with pytest.raises(openai.APIStatusError, match=words) as refused:
        client.chat.completions.create(**{"model": str(model), "messages": messages, "max_tokens": 2, **changed})
    assert refused.value.status_code == status


@pytest.mark.parametrize("url", ["https://example.com/a.png", "file:///etc/passwd", "/etc/passwd", "data:text/html,a"])
def test_a_picture_that_is_not_in_the_request_is_not_read(client: Any, model: Path, url: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    with pytest.raises(openai.BadRequestError, match="a picture must be in the request"):
        client.chat.completions.create(model=str(model), messages=[{"role": "user", "content": [part]}])


@pytest.mark.parametrize(
    "more",
    [
        {"chat_template_kwargs": {"images": ["{picture}"]}},
        {"chat_template_kwargs": {"processor_kwargs": {"images": ["{picture}"]}}},
        {"chat_template_kwargs": {"chat_template": "{{ 1 }}"}},
        {"generation_config": '{"num_beams": 4}'},
        {"tools": [{"type": "function"}]},
    ],
)
def test_what_belongs_to_the_operator_cannot_be_set_by_a_request(
    client: Any, model: Path, picture: Path, more: dict[str, Any]
) -> None:
    more = json.loads(json.dumps(more).replace("{picture}", str(picture)))
    asking = {"model": str(model), "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 1}
    with pytest.raises(openai.BadRequestError, match=f"{next(iter(more))} is not supported"):
        client.chat.completions.create(**asking, extra_body=more)


def test_a_picture_that_cannot_be_read_is_the_requests_fault(client: Any, model: Path) -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=str(model), messages=[{"role": "user", "content": [part]}])


def test_a_page_that_was_led_here_under_another_name_gets_nothing(server: str) -> None:
    request = urllib.request.Request(f"{server}/models", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 400


@pytest.mark.parametrize("option", ["--dry-run", "--tensor-parallel-size=2"])
def test_options_of_the_other_engine_are_refused(run: Any, option: str) -> None:
    result = run("serve", option)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {option} is no option of the engine transformers")


def test_a_port_that_is_taken(run: Any, model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", model, "--port", port)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: port {port} cannot be used (")


@pytest.mark.parametrize("host", ["", " ", "no.such.host.invalid", "a" * 300, "256.1.1.1", "a\0b"])
@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_an_address_that_is_none(run: Any, model: Path, host: str, engine: str) -> None:
    if engine == "vllm" and host.strip():
        pytest.skip("vLLM listens itself")
    result = run("serve", model, "--engine", engine, "--host", host, "--port", 0)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "--host" in result.stderr


@pytest.mark.parametrize(
    "template",
    ["{% for %}", "{{ raise_exception('no') }}", "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3],
    ids=["no template", "raises", "loops"],
)
def test_a_chat_template_that_cannot_be_used_ends_the_command(
    run: Any, tmp_path: Path, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiny_checkpoint import save_tiny_llava

    from farsight.inputs import chat_templates

    monkeypatch.setattr(chat_templates, "MOST_SECONDS", 1.0)
    result = run("serve", save_tiny_llava(tmp_path, template=template), "--port", 0, "--device", "cpu")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: the chat template of")


@pytest.mark.parametrize("option", ["--max-new-tokens", "--batch-size"])
def test_a_bound_of_the_other_engine_is_refused(run: Any, model: Path, option: str) -> None:
    result = run("serve", model, "--engine", "vllm", option, 5, "--dry-run")
    assert (result.exit_code, option in result.stderr) == (2, True)


@pytest.mark.parametrize("key", ["", " a", "a b\n", "schlüssel"])
def test_a_key_that_no_client_can_send_is_refused(run: Any, model: Path, key: str) -> None:
    result = run("serve", model, "--api-key", key)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("error: --api-key must be printable ASCII")


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    from tiny_checkpoint import save_tiny_llava

    from farsight.errors import InputError
    from farsight.serve.app import application

    loaded = load(save_tiny_llava(tmp_path, template=None), device="cpu")
    with pytest.raises(InputError, match="no chat template"):
        application(loaded, Plain(), "plain")
