"""The routes: ``/v1/chat/completions``, ``/v1/models`` and ``/health``."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hmac import compare_digest
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from farsight.errors import InputError
from farsight.inputs.chat_templates import has_template
from farsight.inputs.checkpoints import LoadedModel
from farsight.method import Method, Plain
from farsight.methods import settings_of
from farsight.methods.registry import GREEDY
from farsight.serve.answers import STREAM_END, ApiError, Completion, encoded, event, model_object
from farsight.serve.batch import Ended, Job, News, Piece
from farsight.serve.body import Bodies, ClientLeftError
from farsight.serve.limits import Limits
from farsight.serve.prompt import served
from farsight.serve.request import ChatRequest, parse
from farsight.serve.worker import Worker

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NAMED = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d*)?")
"""How requests name this machine."""
_SECONDS_TO_END = 1.0
ENDING = ApiError(503, "the server is ending: ask again when it is back")
"""What is told to whoever still waits when uvicorn gives up waiting for them."""


def application(
    loaded: LoadedModel,
    method: Method,
    label: str,
    *,
    only_loopback: bool = True,
    limits: Limits | None = None,
    api_key: str | None = None,
) -> Starlette:
    """The server's routes and the worker behind them, ``application(...).state.worker``.

    Parameters
    ----------
    loaded
        The model.
    method
        What is on for a request, unless it asks for the model as it is (``"method": "greedy"``).
    label
        What ``/health`` and requests call it.
    only_loopback
        Answer only requests that name this machine as theirs, which a page of a browser that was sent elsewhere does
        not.
    limits
        What requests may cost.
    api_key
        What requests have to know, but for ``/health``; None for nothing.

    Raises
    ------
    InputError
        If the model has no chat template, so that it is not known how it is talked to.
    UnsupportedModelError
        If the method cannot be exact on this model.
    """
    if not has_template(loaded.processor):
        raise InputError(f"'{loaded.name}' has no chat template, which a chat needs; pass an instruction-tuned model")
    with method(loaded.model):
        pass
    limits = limits or Limits()
    methods = {label: method} | ({} if label == GREEDY else {GREEDY: Plain()})
    worker = Worker(loaded, methods, served(loaded, methods), limits)
    listed = model_object(
        loaded.name, int(time.time()), {label: settings_of(method) for label, method in methods.items()}
    )

    async def models(_: Request) -> Response:
        return _json({"object": "list", "data": [listed]})

    async def model(request: Request) -> Response:
        if request.path_params["name"] != loaded.name:
            raise ApiError(404, f"there is no such model here, only '{loaded.name}'", "model")
        return _json(listed)

    async def health(_: Request) -> Response:
        return _json({"status": "ok", "model": loaded.name, "method": label})

    @asynccontextmanager
    async def ending_the_worker(_: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(worker.close, _SECONDS_TO_END)

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", Chat(worker, limits), methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", model),
            Route("/health", health),
        ],
        middleware=[
            *([Middleware(ThisMachine)] if only_loopback else []),
            *([Middleware(Key, api_key)] if api_key is not None else []),
        ],
        exception_handlers={ApiError: _refused, HTTPException: _no_route, Exception: _failed},
        lifespan=ending_the_worker,
    )
    app.state.worker = worker
    return app


class Chat:
    """``/v1/chat/completions``: reads a request, waits for the worker, and stops it when the client leaves."""

    def __init__(self, worker: Worker, limits: Limits) -> None:
        self.worker, self.limits, self.bodies = worker, limits, Bodies(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or say why there is no answer."""
        try:
            with self.bodies.admitted():
                body = await self.bodies.read(scope, receive)
                asked = await run_in_threadpool(parse, body, self.worker.served, self.limits)
                del body
                await self._answer(asked, scope, receive, self._patient(send))
        except ApiError as error:
            await _json(error.body, error.status)(scope, receive, send)
        except (ClientLeftError, TimeoutError):
            pass
        except asyncio.CancelledError:  # of a request that is not all there
            await _json(ENDING.body, ENDING.status)(scope, receive, send)

    async def _answer(self, asked: ChatRequest, scope: Scope, receive: Receive, send: Send) -> None:
        news: asyncio.Queue[News | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        job = Job(request=asked, listener=lambda one: loop.call_soon_threadsafe(news.put_nowait, one))
        leaving = asyncio.create_task(_left(receive, news))
        try:
            self.worker.submit(job)
            if asked.stream:
                await self._stream(asked, news, send)
            else:
                while isinstance(one := await _next(news), Piece):
                    pass
                whole = Completion(model=self.worker.served.name).whole(one.text, one.finish_reason, one.usage)
                await _json(whole)(scope, receive, send)
        finally:
            job.cancelled.set()
            leaving.cancel()

    async def _stream(self, asked: ChatRequest, news: asyncio.Queue[News | None], send: Send) -> None:
        one = await _next(news)  # what is refused is refused before the answer begins, and with its status
        completion = Completion(model=self.worker.served.name)
        kind = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})

        async def say(data: bytes, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": more})

        await say(event(completion.chunk({"role": "assistant", "content": ""})))
        try:
            while isinstance(one, Piece):
                await say(event(completion.chunk({"content": one.text})))
                one = await _next(news)
        except ApiError as error:
            await say(event(error.body), more=False)
            return
        await say(event(completion.chunk({}, one.finish_reason)))
        if asked.include_usage:
            await say(event(completion.last_chunk(one.usage)))
        await say(STREAM_END, more=False)

    def _patient(self, send: Send) -> Send:
        """Send, and give up on a client that does not take what it asked for."""

        async def sending(message: Any) -> None:
            async with asyncio.timeout(self.limits.send_seconds):
                await send(message)

        return sending


class ThisMachine:
    """Refuses requests that were led here under another machine's name."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "").lower()
            if not _NAMED.fullmatch(host):
                error = ApiError(400, "this server answers only as 127.0.0.1 or localhost: ask it by that name")
                await _json(error.body, error.status)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class Key:
    """Refuses requests that do not know the key, before anything of them is read."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app, self.key = app, key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] != "/health":
            kind, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not compare_digest(key.strip().encode(), self.key):
                error = ApiError(
                    401, "send the API key of this server: Authorization: Bearer KEY", None, "invalid_api_key"
                )
                await _json(error.body, error.status, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def _next(news: asyncio.Queue[News | None]) -> Piece | Ended:
    try:
        one = await news.get()
    except asyncio.CancelledError:
        raise ENDING from None
    if one is None:
        raise ClientLeftError
    if isinstance(one, ApiError):
        raise one
    return one


async def _left(receive: Receive, news: asyncio.Queue[News | None]) -> None:
    """Wait until the client leaves, and say so as the next news."""
    with suppress(Exception):
        while (await receive())["type"] != "http.disconnect":
            pass
    while not news.empty():
        news.get_nowait()
    news.put_nowait(None)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(encoded(value), status, media_type="application/json", headers=headers)


async def _refused(_: Request, error: ApiError) -> Response:
    return _json(error.body, error.status)


async def _no_route(_: Request, error: HTTPException) -> Response:
    refused = ApiError(error.status_code, f"{error.detail}: there are /v1/chat/completions (POST) and /v1/models (GET)")
    return _json(refused.body, error.status_code, error.headers)


async def _failed(_: Request, error: Exception) -> Response:
    failed = ApiError(500, f"the server failed ({type(error).__name__})")
    return _json(failed.body, failed.status)
