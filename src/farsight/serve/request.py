"""A request becomes a few values of our own, or the API's error that names what is wrong with it.

Nothing else of a request goes further, so that none of its texts can be a path, an address or a setting of the
operator's: what is not known here is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farsight.errors import InputError
from farsight.files.documents import parse_json
from farsight.methods.registry import called
from farsight.serve.answers import ApiError
from farsight.serve.limits import Limits

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""Of messages, and what templates call them."""
LABELS = {"user": str, "safety_identifier": str, "prompt_cache_key": str, "metadata": dict}
"""What says who asks, and why: no answer depends on it."""
NOTHING: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
}
"""Values that ask for nothing but an answer, of parameters that are not supported."""
_READ = {
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "seed", "stop", "frequency_penalty", "presence_penalty", "logit_bias", "method",
    "repetition_penalty",
}  # fmt: skip
_SHOWN_LETTERS = 80


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a request has to know of the model that it asks."""

    name: str
    takes_pictures: bool
    context: int | None
    """Most tokens of prompt and answer together; None if the model does not say"""
    vocabulary: int
    marks: tuple[str, ...]
    """What stands for a picture in a prompt, and so cannot stand in a text"""
    methods: Mapping[str, bool]
    """Those that a request may name, the usual one first, and whether each searches, so that no token is final before
    the end"""


@dataclass(frozen=True)
class Picture:
    """What a file with a picture would hold."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one side has said."""

    role: str
    parts: tuple[str | Picture, ...]


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """All that is known of a request; None is for what it does not say."""

    messages: tuple[Message, ...]
    stream: bool
    include_usage: bool
    max_new_tokens: int | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    stop: tuple[str, ...]
    frequency_penalty: float
    presence_penalty: float
    logit_bias: Mapping[int, float]
    repetition_penalty: float | None
    method: str


def parse(body: bytes, served: Served, limits: Limits) -> ChatRequest:
    """Read the body of a request to ``/v1/chat/completions``.

    Raises
    ------
    ApiError
        If it is no such request, or asks for what cannot be done; it names the parameter.
    """
    asked = _object(body, limits)
    _check_names(asked)
    if asked.get("model", served.name) != served.name:
        raise ApiError(404, f"there is no model {_shown(asked['model'])} here, only '{served.name}'", "model")
    stream, include_usage = _streaming(asked)
    temperature, top_p = _number(asked, "temperature", 0, 2), _number(asked, "top_p", 0, 1)
    request = ChatRequest(
        messages=_messages(asked.get("messages"), served, limits),
        stream=stream,
        include_usage=include_usage,
        max_new_tokens=_new_tokens(asked, limits),
        temperature=temperature,
        top_p=top_p,
        seed=_whole(asked, "seed", -(2**63), 2**63 - 1),
        stop=_stop(asked.get("stop"), limits),
        frequency_penalty=_number(asked, "frequency_penalty", -2, 2) or 0.0,
        presence_penalty=_number(asked, "presence_penalty", -2, 2) or 0.0,
        logit_bias=_bias(asked.get("logit_bias"), served, limits),
        repetition_penalty=_number(asked, "repetition_penalty", 0.1, 10),
        method=_method(asked.get("method"), served),
    )
    if served.methods[request.method]:
        _check_search(request)
    return request


def _object(body: bytes, limits: Limits) -> dict[str, Any]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8 text: {error.reason}") from error
    if sum(map(text.count, ",[{")) > limits.values:
        raise ApiError(413, f"the body has more than {limits.values} values; send less")
    try:
        asked = parse_json(text, "the body")
    except InputError as error:
        raise ApiError(400, str(error)) from error
    if not isinstance(asked, dict):
        raise ApiError(400, "the body must be a JSON object")
    return asked


def _check_names(asked: dict[str, Any]) -> None:
    for name, value in asked.items():
        if value is None or name in _READ:
            continue
        if name in LABELS:
            if not isinstance(value, LABELS[name]):
                raise ApiError(400, f"{name} must be {_KINDS[LABELS[name]]}, not {_shown(value)}", name)
        elif not any(type(value) is type(nothing) and value == nothing for nothing in NOTHING.get(name, ())):
            raise ApiError(400, f"{_shown(name, quote='')} is not supported: leave it out", name[:_SHOWN_LETTERS])


_KINDS = {str: "a text", dict: "an object"}


def _streaming(asked: dict[str, Any]) -> tuple[bool, bool]:
    stream = _flag(asked.get("stream"), "stream")
    options = asked.get("stream_options")
    if options is None:
        return stream, False
    if not stream or not isinstance(options, dict):
        raise ApiError(400, "stream_options must be an object, and goes with stream=true alone", "stream_options")
    for name, value in options.items():
        if name not in ("include_usage", "include_obfuscation") or (name == "include_obfuscation" and value):
            raise ApiError(400, f"stream_options.{_shown(name, quote='')} is not supported", "stream_options")
    _flag(options.get("include_obfuscation"), "stream_options")
    return stream, _flag(options.get("include_usage"), "stream_options")


def _flag(value: Any, name: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise ApiError(400, f"{name} must be true or false, not {_shown(value)}", name)
    return bool(value)


def _number(asked: dict[str, Any], name: str, low: float, high: float) -> float | None:
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ApiError(400, f"{name} must be a number from {low} to {high}, not {_shown(value)}", name)
    return float(value)


def _whole(asked: dict[str, Any], name: str, low: int, high: int) -> int | None:
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ApiError(400, f"{name} must be a whole number from {low} to {high}, not {_shown(value)}", name)
    return value


def _new_tokens(asked: dict[str, Any], limits: Limits) -> int | None:
    old = _whole(asked, "max_tokens", 1, limits.new_tokens)
    new = _whole(asked, "max_completion_tokens", 1, limits.new_tokens)
    if old is not None and new is not None and old != new:
        raise ApiError(400, "max_tokens and max_completion_tokens differ: send one of them", "max_tokens")
    return old if new is None else new


def _stop(value: Any, limits: Limits) -> tuple[str, ...]:
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if (
        not isinstance(texts, list)
        or len(texts) > limits.stops
        or not all(isinstance(text, str) and 0 < len(text) <= limits.stop_letters for text in texts)
    ):
        raise ApiError(
            400,
            f"stop must be a text or {limits.stops} texts at most, each of 1 to {limits.stop_letters} letters",
            "stop",
        )
    return tuple(_whole_characters(text, "stop") for text in texts)


def _bias(value: Any, served: Served, limits: Limits) -> dict[int, float]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > limits.biased_tokens:
        raise ApiError(400, f"logit_bias must be an object with {limits.biased_tokens} tokens at most", "logit_bias")
    biases = {}
    for key, bias in value.items():
        if not (key.isascii() and key.isdecimal() and len(key) < 20 and int(key) < served.vocabulary):
            raise ApiError(
                400, f"logit_bias: {_shown(key)} is no token, a number from 0 to {served.vocabulary - 1}", "logit_bias"
            )
        if isinstance(bias, bool) or not isinstance(bias, int | float) or not -100 <= bias <= 100:
            raise ApiError(400, f"logit_bias: {_shown(bias)} is no number from -100 to 100", "logit_bias")
        biases[int(key)] = float(bias)
    return biases


def _method(value: Any, served: Served) -> str:
    """Only what the operator has chosen, or the model as it is, by either of its names."""
    if value is None:
        return next(iter(served.methods))
    if not isinstance(value, str) or (name := called(value)) not in served.methods:
        raise ApiError(400, f"method must be one of {', '.join(served.methods)}, not {_shown(value)}", "method")
    return name


def _check_search(request: ChatRequest) -> None:
    if request.stream:
        raise ApiError(400, "this method searches, so no token is final before the end: ask without stream", "stream")
    if request.stop:
        raise ApiError(400, "this method searches, so no text is final before the end: ask without stop", "stop")
    for name in ("temperature", "top_p"):
        if getattr(request, name):
            raise ApiError(400, f"this method searches and draws nothing: ask without {name}, or with 0", name)


def _messages(value: Any, served: Served, limits: Limits) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise ApiError(400, "messages must be a list of one message or more", "messages")
    messages = tuple(_message(message, f"messages[{number}]", served) for number, message in enumerate(value))
    parts = [part for message in messages for part in message.parts]
    if sum(isinstance(part, Picture) for part in parts) > limits.pictures:
        raise ApiError(400, f"a request may have {limits.pictures} pictures at most", "messages")
    letters = sum(len(part) for part in parts if isinstance(part, str))
    most = limits.letters if served.context is None else served.context * limits.letters_per_token
    if letters > most:
        raise ApiError(400, f"the messages have {letters} letters, more than fit into the model: send less", "messages")
    return messages


def _message(message: Any, where: str, served: Served) -> Message:
    if not isinstance(message, dict):
        raise ApiError(400, f"{where} must be an object with role and content", "messages")
    for name, value in message.items():
        if name not in ("role", "content") and value not in (None, []):
            raise ApiError(400, f"{where}.{_shown(name, quote='')} is not supported: leave it out", "messages")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise ApiError(400, f"{where}.role must be one of {', '.join(ROLES)}, not {_shown(role)}", "messages")
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list):
        raise ApiError(400, f"{where}.content must be a text or a list of parts, not {_shown(content)}", "messages")
    return Message(
        role=ROLES[role],
        parts=tuple(_part(part, f"{where}.content[{number}]", served) for number, part in enumerate(parts)),
    )


def _part(part: Any, where: str, served: Served) -> str | Picture:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in ("text", "image_url"):
        raise ApiError(
            400, f"{where}: parts of type {_shown(kind)} are not supported: send text and image_url", "messages"
        )
    for name in part:
        if name not in ("type", kind) and part[name] is not None:
            raise ApiError(400, f"{where}.{_shown(name, quote='')} is not supported: leave it out", "messages")
    if kind == "image_url":
        return _picture(part.get("image_url"), where, served)
    text = part.get("text")
    if not isinstance(text, str):
        raise ApiError(400, f"{where}.text must be a text, not {_shown(text)}", "messages")
    for mark in served.marks:
        if mark in text:
            raise ApiError(
                400, f"{where}.text has '{mark}', by which this model marks pictures: leave it out", "messages"
            )
    return _whole_characters(text, "messages")


def _picture(value: Any, where: str, served: Served) -> Picture:
    """Only what a request itself holds is read: no file of this machine, and nothing from elsewhere."""
    if not served.takes_pictures:
        raise ApiError(400, f"'{served.name}' takes no pictures", "messages")
    inner = value if isinstance(value, dict) else {"url": value}
    for name in inner:
        if name != "url" and (name, inner[name]) not in (("detail", None), ("detail", "auto")):
            raise ApiError(
                400, f"{where}.image_url.{_shown(name, quote='')} is not supported: leave it out", "messages"
            )
    url = inner.get("url")
    kind, _, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not (kind.startswith("data:image/") and kind.endswith(";base64")):
        raise ApiError(
            400, f"{where}: a picture must be in the request: send its URL as data:image/png;base64,...", "messages"
        )
    try:
        return Picture(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, f"{where}: the picture is not base64 ({error})", "messages") from error


def _whole_characters(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ApiError(400, f"{name}: a text has half of a character (a lone surrogate)", name) from error
    return text


def _shown(value: Any, quote: str = "'") -> str:
    """A value of a request in a message: short, whatever it is."""
    text = value if isinstance(value, str) else repr(value) if isinstance(value, int | float | None) else ""
    if isinstance(value, str):
        text = f"{quote}{text[:_SHOWN_LETTERS]}{'...' if len(text) > _SHOWN_LETTERS else ''}{quote}"
    elif not text:
        text = "a list" if isinstance(value, list) else "an object"
    return text
