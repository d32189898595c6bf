"""Requests that are no requests, that ask for too much, or that want what is not theirs."""

import base64
import json
import os
import socket
import struct
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import Serve, Serving, picture_part
from PIL import Image

from farsight.inputs import chat_templates
from farsight.inputs.checkpoints import LoadedModel

pytest.importorskip("starlette", reason="pip install starlette")


def png_header(width: int, height: int) -> bytes:
    """A PNG file that ends where its pixels would begin."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"")


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


def url(text: Any) -> list[Any]:
    return user([{"type": "image_url", "image_url": {"url": text}}])


RED = Image.new("RGB", (16, 16), "red")
CUT = base64.b64decode(picture_part(RED)["image_url"]["url"].partition(",")[2])[:-30]
BROKEN: list[Any] = [
    b"", b"{", b"null", b"[]", b'"a"', b"1", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"{" + b"1" * 6000 + b"}",
    b'{"max_tokens": 1' + b"0" * 6000 + b"}", b'{"temperature": NaN, "messages": [{"role": "user", "content": "a"}]}',
    *({"messages": wrong} for wrong in (
        None, [], {}, "a", 1, [None], ["a"], [[]], [1], [{}], [{"role": "user"}], [{"role": None, "content": "a"}],
        [{"role": ["user"], "content": "a"}], [{"role": "tool", "content": "a"}], [{"role": "x", "content": "a"}],
        user(None), user(1), user({}), user([None]), user(["a"]), user([[]]), user([{}]), user([{"type": "text"}]),
        user([{"type": "text", "text": None}]), user([{"type": "text", "text": 1}]), user([{"type": ["text"]}]),
        user([{"type": "input_audio", "input_audio": {}}]), user([{"type": "file", "file": {}}]),
        user([{"type": "text", "text": "a", "more": 1}]), user("\ud800"), user("a <image> b"), user("a" * 20_000),
        user([{"type": "text", "text": "<image>"}, picture_part(RED)]),
        [{"role": "user", "content": "a", "name": "n"}], [{"role": "assistant", "content": "a", "tool_calls": [{}]}],
        [{"role": "assistant", "content": None, "audio": {"id": "a"}}],
        user([{"type": "image_url"}]), user([{"type": "image_url", "image_url": None}]), url(None), url(1), url(""),
        url("data:"), url("data:image/png"), url("data:image/png;base64"), url("data:image/png,AAAA"),
        url("data:image/png;base64,"), url("data:image/png;base64,!!"), url("data:image/png;base64,AAA"),
        url("data:image/png;base64,AAAA"), url("data:text/html;base64,AAAA"), url("DATA:IMAGE/PNG;BASE64,\ud800"),
        user([picture_part(b"")]), user([picture_part(b"a red ball")]), user([picture_part(CUT)]),
        user([picture_part(png_header(10_000, 6_000))]), user([picture_part(png_header(60_000, 60_000))]),
        user([picture_part(png_header(1, 40_000_000))]), user([picture_part(RED)] * 17),
        user([{"type": "image_url", "image_url": {**picture_part(RED)["image_url"], "detail": "high"}}]),
    )),
    *({"temperature": wrong} for wrong in ("1", -1, -0.1, 2.1, True, [], {}, 1e999)),
    *({"top_p": wrong} for wrong in ("1", -1, 1.5, True, float("nan"))),
    *({"max_tokens": wrong} for wrong in ("2", 0, -1, 1.5, 2.0, True, 10**12, 5 * 10**8, 4097, 500, [])),
    *({"max_completion_tokens": wrong} for wrong in (0, True, 3, 10**12)),
    *({"seed": wrong} for wrong in ("1", 1.5, True, 2**63, -(10**30))),
    *({"stop": wrong} for wrong in ("", 1, [""], [1], ["a"] * 5, {}, "a" * 501, "\ud800", [None], True)),
    *({"logit_bias": wrong} for wrong in ([], "a", 1, {"a": 1}, {"-1": 1}, {"1.5": 1}, {"99999": 1}, {"5": 101},
                                          {"5": None}, {"5": "1"}, {"5": True}, {"²": 1}, {"1" * 5000: 1})),
    *({"frequency_penalty": wrong} for wrong in ("1", 3, True)), {"presence_penalty": -2.5},
    *({"stream": wrong} for wrong in ("true", 1, [])), {"stream_options": {}}, {"stream": True, "stream_options": 1},
    {"stream": True, "stream_options": {"include_usage": 1}}, {"stream": True, "stream_options": {"a": 1}},
    {"stream": True, "stream_options": {"include_obfuscation": True}},
    *({"model": wrong} for wrong in ("gpt-4o", 1, [], "\ud800", "a" * 10_000)),
    *({"n": wrong} for wrong in (0, 2, "1", True, 1.0)), {"user": 1}, {"metadata": "a"},
    {"tools": [{"type": "function"}]}, {"functions": [{}]}, {"chat_template": "{{ 1 }}"}, {"top_k": 5}, {"": 1},
    {"chat_template_kwargs": {}}, {"generation_config": "{}"}, {"\ud800": 1}, {"a" * 10_000: 1}, {"num_beams": 5},
    {"mm_processor_kwargs": {}}, {"add_generation_prompt": False}, {"documents": []}, {"custom_generate": "a"},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_broken_request_is_the_apis_error_object(server: Serving, number: int) -> None:
    broken = BROKEN[number]
    status, answer = server.post(broken if isinstance(broken, bytes) else server.request(**broken))
    assert 400 <= status < 500, answer
    error = answer["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert "\n" not in error["message"]
    assert len(error["message"]) < 600
    if isinstance(broken, dict) and (name := next(iter(broken))) not in ("stream", "model") and len(name) < 100:
        assert name.encode("utf-16", "surrogatepass").decode("utf-16", "replace") in str(error).replace(
            "\\ud800", "\ufffd"
        )


def test_pictures_are_refused_by_a_text_model(text_server: Serving) -> None:
    status, answer = text_server.post(text_server.request(messages=user([picture_part(RED)])))
    assert (status, "takes no pictures" in answer["error"]["message"]) == (400, True)


def test_a_picture_has_the_limit_of_the_command_line(server: Serving) -> None:
    _, answer = server.post(server.request(messages=user([picture_part(png_header(10_000, 6_000))])))
    assert "60.0 megapixels (10000 x 6000), more than the limit of 50" in answer["error"]["message"]


def test_all_pictures_of_a_request_have_the_limit_of_one(server: Serving) -> None:
    white = picture_part(Image.new("1", (4000, 4000)))
    status, answer = server.post(server.request(messages=user([white, picture_part(png_header(6_000, 6_000))])))
    assert status == 400
    assert "picture 2 of the request, after 16.0 megapixels of others, has 36.0" in answer["error"]["message"]


def test_prompt_and_answer_have_to_fit_into_the_context(server: Serving) -> None:
    status, answer = server.post(server.request(messages=user("a" * 600)))
    assert (status, "context of 512" in answer["error"]["message"]) == (400, True)
    status, answer = server.post({**server.request(messages=user("a" * 480)), "max_tokens": None})
    assert (status, answer["choices"][0]["finish_reason"], answer["usage"]["total_tokens"]) == (200, "length", 512)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_only_json_is_taken_which_a_page_from_elsewhere_cannot_send(server: Serving, kind: str) -> None:
    assert server.post(server.request(), **{"Content-Type": kind})[0] == 415


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1].evil", ""])
def test_who_asks_for_another_host_gets_nothing(server: Serving, host: str) -> None:
    status, answer = server.ask("GET", "/v1/models", Host=host)
    assert (status, "error" in answer) == (400, True)


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_this_machine_has_several_names(server: Serving, host: str) -> None:
    assert server.ask("GET", "/v1/models", Host=host)[0] == 200


def test_a_wrong_method_is_an_error_object(server: Serving) -> None:
    status, answer = server.ask("GET", "/v1/chat/completions")
    assert (status, "error" in answer) == (405, True)


def test_bodies_are_bounded_in_bytes_values_and_time(serve: Serve, free_llava: LoadedModel) -> None:
    with serve(free_llava, body_bytes=20_000, values=100, body_seconds=0.3) as server:
        assert server.post(b" " * 30_000)[0] == 413
        assert server.post(server.request(messages=user("a," * 200)))[0] == 413
        with socket.create_connection(("127.0.0.1", server.port)) as half:
            half.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n"
                b"Content-Type: application/json\r\n\r\n{"
            )
            assert half.recv(1000).startswith(b"HTTP/1.1 408")
        with socket.create_connection(("127.0.0.1", server.port)) as endless:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
            endless.sendall(head + b"Content-Type: application/json\r\n\r\n" + 2 * chunk)
            assert endless.recv(1000).startswith(b"HTTP/1.1 413")
        assert server.post(server.request())[0] == 200


def test_so_many_requests_wait_and_no_more(serve: Serve, free_llava: LoadedModel) -> None:
    with serve(free_llava, slowly=0.05, requests=2) as server:
        waiting = [server.sent(server.request(max_tokens=100)) for _ in range(2)]
        while not server.forwards:
            pass
        status, answer = server.post(server.request())
        assert (status, "wait" in answer["error"]["message"]) == (429, True)
        for connection in waiting:
            connection.close()


def test_a_chat_template_that_loops_on_some_messages_is_left(
    serve: Serve, free_llava: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_templates, "MOST_SECONDS", 0.5)
    loops = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
    before = free_llava.processor.chat_template
    monkeypatch.setattr(
        free_llava.processor, "chat_template", "{% if messages | length > 1 %}" + loops + "{% endif %}" + before
    )
    with serve(free_llava) as server:
        status, answer = server.post(server.request(messages=user("a") * 2))
        assert (status, "the chat template" in answer["error"]["message"]) == (400, True)
        assert server.post(server.request())[0] == 200


@pytest.fixture(scope="module")
def opened() -> Iterator[list[str]]:
    """What this process opens, and whom it calls, from now on."""
    seen: list[str] = []
    active = [True]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if active[0] and event in ("open", "socket.connect", "socket.getaddrinfo", "os.listdir", "urllib.Request"):
            seen.append(f"{event} {args}")

    sys.addaudithook(hook)  # which cannot be taken away again
    yield seen
    active[0] = False


def texts(value: Any, change: Callable[[Any], Any]) -> Iterator[Any]:
    """The value with one of its texts changed at a time."""
    if isinstance(value, str):
        yield change(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: changed} for changed in texts(inner, change))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ([*value[:place], changed, *value[place + 1 :]] for changed in texts(inner, change))


def test_no_text_of_a_request_is_a_path_or_an_address(server: Serving, tmp_path: Path, opened: list[str]) -> None:
    secret = tmp_path / "secret.png"
    RED.save(secret)
    calls: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=lambda: [calls.append(listener.accept()) for _ in range(9)], daemon=True).start()
        address = f"http://127.0.0.1:{port}/secret.png"
        full = {
            "model": server.loaded.name, "user": "u", "stop": ["a", "b"], "metadata": {"a": "b"},
            "service_tier": "auto", "safety_identifier": "s", "prompt_cache_key": "k",
            "tool_choice": "none", "modalities": ["text"],
            "response_format": {"type": "text"}, "verbosity": "medium", "max_tokens": 1, "reasoning_effort": "low",
            "messages": [
                {"role": "system", "content": "a", "name": "n"},
                {"role": "user", "name": "n", "content": [
                    {"type": "text", "text": "What?"}, {**picture_part(RED)}, {"type": "image", "image": "i"},
                    {"type": "image_url", "image_url": "i"}, {"type": "image", "url": "i", "path": "i", "base64": "i"},
                    {"type": "video", "video": "v"}, {"type": "video_url", "video_url": {"url": "v"}},
                    {"type": "input_audio", "input_audio": {"data": "d", "format": "wav"}},
                    {"type": "file", "file": {"filename": "f", "file_data": "d", "file_id": "i"}},
                ]},
                {"role": "assistant", "content": "c", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            ],
            "chat_template": "t", "chat_template_kwargs": {"images": ["i"], "processor_kwargs": {"images": ["i"]}},
            "generation_config": "{}", "custom_generate": "c", "documents": [{"text": "t"}], "images": ["i"],
            "tools": [{"type": "function", "function": {"name": "f"}}], "mm_processor_kwargs": {"images": ["i"]},
            "prediction": {"type": "content", "content": "c"}, "audio": {"voice": "v", "format": "wav"},
            "functions": [{"name": "n"}], "function_call": "none", "web_search_options": {"search_context_size": "low"},
        }  # fmt: skip
        smallest = {key: full[key] for key in ("model", "user", "stop", "metadata", "max_tokens")}
        requests = [
            {**smallest, key: changed[key]}
            for text in (str(secret), f"file://{secret}", address, os.path.relpath(secret))
            for changed in texts(full, lambda _, text=text: text)
            for key in full
            if changed[key] != full[key] or key == "messages"
        ]
        # each message and part alone too, so that what stands beside it is not what is refused
        for text in (str(secret), f"file://{secret}", address, f"data:image/png;base64,{secret}"):
            for message in full["messages"]:
                parts = message["content"] if isinstance(message["content"], list) else [message["content"]]
                for part in parts:
                    alone = user([part] if isinstance(part, dict) else part)
                    changes = texts(alone, lambda _, text=text: text)
                    requests += [{**smallest, "messages": changed} for changed in changes]
        requests = list({json.dumps(one): one for one in requests}.values())
        opened.clear()
        statuses = [server.post(one)[0] for one in requests]
        assert all(status == 200 or 400 <= status < 500 for status in statuses)
        assert 200 in statuses  # texts of messages and labels are only texts
        assert [one for one in opened if "secret" in one or str(port) in one] == []
        assert calls == []
