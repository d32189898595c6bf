"""What the API answers: objects of JSON, as OpenAI's clients read them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from farsight.errors import FarSightError


class ApiError(FarSightError):
    """Why a request has no answer.

    Parameters
    ----------
    status
        Of HTTP: 4xx where the request is at fault.
    message
        One line with the remedy.
    param
        Which parameter of the request is meant.
    code
        What clients of the API know the reason by, if they know it.
    """

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(" ".join(message.split()))
        self.status = status
        self.param, self.code = param, code

    @property
    def body(self) -> dict[str, Any]:
        """The API's error object."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of a prompt and of the answer to it."""

    prompt: int
    completion: int

    @property
    def body(self) -> dict[str, int]:
        """As the API has it."""
        total = self.prompt + self.completion
        return {"prompt_tokens": self.prompt, "completion_tokens": self.completion, "total_tokens": total}


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The answer to one request, whole or in chunks, which have one name and time."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, finish_reason: str, usage: Usage) -> dict[str, Any]:
        """Give the whole answer, as one that is not streamed has it."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return self._object("chat.completion", [choice], usage=usage.body)

    def chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        """What came after the chunk before."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._object("chat.completion.chunk", [choice])

    def last_chunk(self, usage: Usage) -> dict[str, Any]:
        """What ``stream_options.include_usage`` asks for."""
        return self._object("chat.completion.chunk", [], usage=usage.body)

    def _object(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            **more,
        }


def model_object(name: str, created: int, methods: Mapping[str, Any]) -> dict[str, Any]:
    """A model as the list of models has it, with the settings of the methods that a request may name."""
    return {"id": name, "object": "model", "created": created, "owned_by": "farsight", "methods": dict(methods)}


def encoded(value: Any) -> bytes:
    """JSON in ASCII, which holds any text, also halves of characters."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def event(value: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + encoded(value) + b"\n\n"


STREAM_END = b"data: [DONE]\n\n"
