"""An OpenAI-compatible server for one model with a method on: Transformers' own handler, with this model in it.

Transformers parses requests, streams, and runs ``generate`` in one thread of its own, one request after the other. Here
is only what must differ: there is one model, and whatever would be left unsaid or undone is refused.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, Response
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.utils import GenerationState, Modality

from farsight.errors import FarSightError, InputError
from farsight.images import decode_image
from farsight.inputs.checkpoints import LoadedModel
from farsight.method import Method, searches

LOOPBACK = ("127.0.0.1", "localhost")
_READ = {
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "seed", "stop", "frequency_penalty", "logit_bias", "user", "metadata", "store",
}  # fmt: skip
"""All of a request that is looked at. What else reaches Transformers, a template or a processor could be made to read
files and addresses with, or to replace what the operator has set."""
_UNANSWERED: Mapping[str, Any] = {
    "n": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "presence_penalty": 0,
    "response_format": {"type": "text"},
    "modalities": ["text"],
    "functions": [],
    "audio": None,
}
"""What Transformers would pass over although the answer would be another one, and the value that asks for nothing."""


class _Chat(ChatCompletionHandler):
    """``/v1/chat/completions`` of Transformers, for the one model that is loaded."""

    def __init__(self, loaded: LoadedModel, method: Method) -> None:
        super().__init__(ModelManager(), GenerationState())
        self._loaded, self._searches = loaded, searches(method)

    async def handle_request(self, body: dict[str, Any], request_id: str) -> Response:
        try:
            answer: Response = await super().handle_request(body, request_id)
        except (FarSightError, ValueError, TypeError, KeyError) as error:
            raise HTTPException(400, f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        return answer

    def _validate_request(self, body: dict[str, Any]) -> None:
        for name in sorted(set(body) - _READ - set(_UNANSWERED)):
            if body[name] is not None:
                raise HTTPException(400, f"{name} is not supported: leave it out")
        for name, nothing in _UNANSWERED.items():
            if body.get(name) not in (None, nothing):
                raise HTTPException(400, f"{name} is not supported: leave it out")
        if self._searches and body.get("stream"):
            raise HTTPException(400, "this method searches, so no token is final before the end: ask without stream")
        if not isinstance(messages := body.get("messages"), list) or not messages:
            raise HTTPException(400, "messages must be a list of one message or more")
        body["messages"] = [self._message(message) for message in messages]

    def _message(self, message: Any) -> dict[str, Any]:
        """Our own copy of a message: a role, and texts and pictures."""
        if not isinstance(message, Mapping) or message.get("role") not in ("system", "developer", "user", "assistant"):
            raise HTTPException(400, "each message must be an object with the role system, user or assistant")
        if unknown := sorted({str(name) for name in message} - {"role", "content", "name"}):
            raise HTTPException(400, f"messages with '{unknown[0]}' are not supported: send role and content")
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(parts, list):
            raise HTTPException(400, "the content of each message must be a text or a list of parts")
        return {"role": message["role"], "content": [self._part(part) for part in parts]}

    def _part(self, part: Any) -> dict[str, Any]:
        """Only what a request itself holds is read: no file of this machine, and nothing from elsewhere."""
        if not isinstance(part, Mapping):
            raise HTTPException(400, "each part of a message must be an object")
        if part.get("type") == "text":
            if not isinstance(part.get("text"), str):
                raise HTTPException(400, "the text of a part must be a string")
            return {"type": "text", "text": part["text"]}
        if part.get("type") != "image_url":
            raise HTTPException(400, f"parts of type '{part.get('type')}' are not supported: send text and image_url")
        if not self._loaded.takes_images:
            raise HTTPException(400, f"'{self._loaded.name}' takes no pictures")
        url = part.get("image_url")
        url = url.get("url") if isinstance(url, Mapping) else url
        kind, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
        if not (comma and kind.startswith("data:image/") and kind.endswith(";base64")):
            raise HTTPException(400, "a picture must be in the request: send its URL as data:image/png;base64,...")
        return {
            "type": "image",
            "image": decode_image(base64.b64decode(data, validate=True), "a picture of the request"),
        }

    @staticmethod
    def get_processor_inputs_from_messages(messages: list[dict[str, Any]], modality: Any) -> list[dict[str, Any]]:
        """Hand on messages as `_validate_request` has made them; text models take their content as one text."""
        if modality != Modality.LLM:
            return messages
        return [
            {"role": message["role"], "content": " ".join(part["text"] for part in message["content"])}
            for message in messages
        ]

    def _resolve_model(self, body: dict[str, Any]) -> tuple[str, Any, Any]:
        name = self._loaded.name
        if body.get("model", name) != name:
            raise HTTPException(404, f"there is no model '{body['model']}' here, only '{name}'")
        return name, self._loaded.model, self._loaded.processor

    def _build_generation_config(self, body: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        config = super()._build_generation_config(body, *args, **kwargs)
        if body.get("max_completion_tokens") is not None:
            config.max_new_tokens = int(body["max_completion_tokens"])
        asks_to_draw = body.get("temperature") if body.get("temperature") is not None else body.get("top_p")
        if asks_to_draw is not None:
            config.do_sample = asks_to_draw > 0
        return config


def application(loaded: LoadedModel, method: Method, label: str, *, only_loopback: bool = True) -> FastAPI:
    """The server's routes: ``/v1/chat/completions``, ``/v1/models`` and ``/health``.

    Parameters
    ----------
    loaded
        A model on which ``method`` is on for as long as the server runs.
    method
        It.
    label
        What ``/health`` calls it.
    only_loopback
        Answer only requests that name this machine as theirs, which a page of a browser that was sent elsewhere does
        not.

    Raises
    ------
    InputError
        If the model has no chat template, so that it is not known how it is talked to.
    """
    if not getattr(loaded.processor, "chat_template", None):
        raise InputError(f"'{loaded.name}' has no chat template, which a chat needs; pass an instruction-tuned model")
    chat = _Chat(loaded, method)
    app = FastAPI(title="farsight", docs_url=None, redoc_url=None, openapi_url=None)  # their pages load from elsewhere
    if only_loopback:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))
    listed = {"id": loaded.name, "object": "model", "created": int(time.time()), "owned_by": "farsight"}

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        said = {"message": error.detail, "type": "invalid_request_error"}
        return JSONResponse({"error": said}, status_code=error.status_code)

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request, body: dict[str, Any]) -> Response:
        return await chat.handle_request(body, f"chatcmpl-{uuid.uuid4().hex}")

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [listed]}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok", "model": loaded.name, "method": label}

    return app
