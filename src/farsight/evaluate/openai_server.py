"""One server that speaks OpenAI's chat API: what it says of itself, and many requests to it at once.

Retries, with a growing time in between, are those of the client ``openai``. The key is the environment's
``OPENAI_API_KEY``, and is taken out of whatever the server says.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from farsight.errors import InputError, SettingError
from farsight.evaluate.engine import Answer, Failure
from farsight.files import parse_json

KEY = "OPENAI_API_KEY"
RETRIES = 5
"""By the client; the waits in between double from half a second to 8."""
_NO_MATTER_WHAT = (401, 403, 404, 429)
"""Statuses that say nothing of the request: the key, the model or its limits are wrong."""
_SHOWN_LETTERS = 300


class ServerError(InputError):
    """A server that cannot be asked, whatever the request is."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why there is no answer, where the server is at fault or nobody knows."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a server says of a model that it has."""

    owner: str = ""
    """``vllm``, ``sglang``, ``llamacpp``, ``farsight``, ..."""
    methods: Mapping[str, Mapping[str, Any]] | None = None
    """Settings of the methods that a request may name; None for a server that knows of none."""


@dataclass(kw_only=True)
class Server:
    """A server, asked from this process inside a ``with`` block.

    Parameters
    ----------
    base_url
        Where its API is, such as ``http://127.0.0.1:8000/v1``.
    model
        The model's name on the server.
    timeout
        Seconds for which one request may be without an answer before it is sent again.
    retries
        How often it is.

    Raises
    ------
    SettingError
        If the address is none, or the package ``openai`` is not installed.
    """

    base_url: str
    model: str
    timeout: float
    retries: int = RETRIES
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner, init=False)
    _client: Any = field(default=None, init=False)
    _key: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        check_address(self.base_url)
        openai = import_openai()
        self._key = os.environ.get(KEY, "")
        self._client = openai.AsyncOpenAI(
            base_url=self.base_url, api_key=self._key or "none", timeout=self.timeout, max_retries=self.retries
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def described(self) -> Described:
        """Ask for the list of models.

        Raises
        ------
        ServerError
            If the server cannot be reached, refuses the key, or does not have the model.
        """
        openai = import_openai()
        try:
            raw = self._runner.run(self._client.models.with_raw_response.list())
            models = self._json(raw, "data", list)
        except openai.NotFoundError:
            return Described()  # whether it is a server at all is seen when it is asked
        except openai.OpenAIError as error:
            raise ServerError(f"--base-url {self.base_url}: {self._said(error)}") from error
        except ValueError as error:
            raise ServerError(f"--base-url {self.base_url}: the list of models {error}") from error
        found = {str(one.get("id")): one for one in models if isinstance(one, dict)}
        if self.model not in found:
            raise ServerError(
                f"--model '{self.model}': the server at {self.base_url} has "
                f"{', '.join(map(repr, list(found)[:5])) or 'none'}; pass one of its own"
            )
        methods = found[self.model].get("methods")
        known = isinstance(methods, dict) and all(isinstance(settings, dict) for settings in methods.values())
        return Described(owner=str(found[self.model].get("owned_by", "")), methods=methods if known else None)

    def prompt_tokens(self, more: Mapping[str, Any]) -> int | None:
        """How many tokens the server makes of one short prompt with more parameters; None if it refuses them.

        Raises
        ------
        ServerError
            If it does not answer at all.
        """
        openai = import_openai()
        body = self.body([{"role": "user", "content": "Hello"}], {"max_tokens": 1, "temperature": 0}, more)
        try:
            raw = self._runner.run(self._send(body))
            return int(self._json(raw, "usage", dict)["prompt_tokens"])
        except openai.APIStatusError as error:
            if error.status_code in (400, 422) and more:
                return None
            remedy = "; does it end in /v1?" if error.status_code == 404 else ""
            raise ServerError(f"--base-url {self.base_url}: {self._said(error)}{remedy}") from error
        except openai.OpenAIError as error:
            raise ServerError(f"--base-url {self.base_url}: {self._said(error)}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ServerError(
                f"--base-url {self.base_url}: an answer does not say how long its prompt is (usage.prompt_tokens)"
            ) from error

    def body(
        self, messages: Sequence[Mapping[str, Any]], how: Mapping[str, Any], more: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write a request; ``more`` is what the API itself does not have."""
        return {"model": self.model, "messages": list(messages), **how, "extra_body": dict(more)}

    def ask(self, bodies: Sequence[Mapping[str, Any]]) -> list[Answer | Failure | Trouble]:
        """Ask all at once; the answers are in the order of the requests.

        Raises
        ------
        ServerError
            If the server takes no request of ours.
        """

        async def together() -> list[Answer | Failure | Trouble | ServerError]:
            return await asyncio.gather(*(self._asked(body) for body in bodies))

        made = self._runner.run(together())
        if (stop := next((one for one in made if isinstance(one, ServerError)), None)) is not None:
            raise stop
        return [one for one in made if not isinstance(one, ServerError)]

    async def _asked(self, body: Mapping[str, Any]) -> Answer | Failure | Trouble | ServerError:
        openai = import_openai()
        try:
            return self._answer(await self._send(body), body["max_tokens"])
        except openai.APIStatusError as error:
            said = self._said(error)
            if error.status_code in _NO_MATTER_WHAT:
                return ServerError(
                    f"the server at {self.base_url} takes no request: {said}; what is answered is safe, and the same "
                    "command goes on"
                )
            return Failure(reason=said) if error.status_code < 500 else Trouble(reason=said)
        except (openai.OpenAIError, TimeoutError) as error:
            return Trouble(reason=self._said(error))
        except ValueError as error:
            return Trouble(reason=f"the answer {error}")

    async def _send(self, body: Mapping[str, Any]) -> Any:
        async with asyncio.timeout(self.timeout * (self.retries + 1) + 60):  # also if it only trickles
            return await self._client.chat.completions.with_raw_response.create(**body)

    def _json(self, raw: Any, key: str, kind: type) -> Any:
        """One value of an answer.

        Raises
        ------
        ValueError
            If it is not there; the message goes on after "the answer".
        """
        try:
            found = parse_json(raw.http_response.text, "the answer")
        except InputError as error:
            raise ValueError("is not JSON") from error
        if not isinstance(found, dict) or not isinstance(found.get(key), kind):
            raise ValueError(f"has no '{key}': is this OpenAI's API?")
        return found[key]

    def _answer(self, raw: Any, max_tokens: int) -> Answer | Failure:
        choices, usage = self._json(raw, "choices", list), self._json(raw, "usage", dict)
        first = choices[0] if choices and isinstance(choices[0], dict) else {}
        message, reason = first.get("message"), first.get("finish_reason")
        text = message.get("content") if isinstance(message, dict) else None
        tokens = usage.get("completion_tokens")
        if not isinstance(text, str) or not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            raise ValueError("has no text, or does not say how many tokens it has (usage.completion_tokens)")
        if reason not in ("stop", "length"):
            return Failure(reason=f"the answer was ended by '{self._line(str(reason))}'")
        if reason == "length" and tokens < max_tokens:
            return Failure(
                reason=f"the answer was cut off after {tokens} of {max_tokens} tokens: the server has no more room"
            )
        return Answer(text=text.strip(), tokens=tokens, ended=reason == "stop", absorbed=None)

    def _said(self, error: Exception) -> str:
        """What went wrong, in one line without the key."""
        status = getattr(error, "status_code", None)
        inner = getattr(error, "body", None)
        text = inner.get("message") if isinstance(inner, dict) else None
        cause = error.__cause__
        text = text if isinstance(text, str) else str(error) or type(error).__name__
        if status is None:
            text = f"{text} ({type(cause or error).__name__})"
        return self._line(text) + (f" (status {status})" if status is not None else "")

    def _line(self, text: str) -> str:
        line = " ".join(text.split())
        line = line.replace(self._key, "***") if self._key else line
        return line if len(line) <= _SHOWN_LETTERS else f"{line[:_SHOWN_LETTERS]}..."


def check_address(base_url: str) -> None:
    """Raise `SettingError` for what is no address of a server, or has more in it than that."""
    try:
        parts = urlsplit(base_url)
        _ = parts.port
    except ValueError as error:
        raise SettingError(
            f"--base-url '{base_url}' is no address ({error}); write http://127.0.0.1:8000/v1"
        ) from error
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingError(f"--base-url has more in it than an address: put a key into ${KEY}, and leave the rest out")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"--base-url '{base_url}' is no address; write it like http://127.0.0.1:8000/v1")


def import_openai() -> Any:
    """Give the library.

    Raises
    ------
    SettingError
        If it is not installed.
    """
    try:
        import openai
    except ImportError as error:
        raise SettingError(
            "--engine openai needs OpenAI's client, not installed: pip install '.[openai]' in a clone of farsight"
        ) from error
    return openai
