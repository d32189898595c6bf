"""Answers from any server that speaks OpenAI's chat API: one request for each prompt, a batch of them at once.

What is wrong with a request is the error of its item, and the run goes on. Where it may be the server, or a whole batch
has no answer, the server is asked something that it cannot but answer; if that has no answer either, the run ends,
and nothing of the batch is written, so that the same command asks it again.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from PIL import Image

from farsight.errors import InputError, SettingError
from farsight.evaluate.engine import Answer, Failure, Request, Said, read
from farsight.evaluate.openai_server import RETRIES, Server, Trouble
from farsight.evaluate.tasks import Medium
from farsight.method import Method

NO_VIDEOS = "--engine openai sends pictures and texts: OpenAI's API has no videos; pass --engine local for them"
NO_COMPLETIONS = (
    "OpenAI's chat API takes requests, and this task has texts to go on with: choose one that asks, such as "
    "--task lists:chat, or --engine local"
)
_MOST_CONTEXT = 131_072
_PENALTY: dict[str, Callable[[float], dict[str, Any]]] = {
    "farsight": lambda penalty: {"repetition_penalty": penalty},
    "vllm": lambda penalty: {"repetition_penalty": penalty},
    "sglang": lambda penalty: {"repetition_penalty": penalty},
    "llamacpp": lambda penalty: {"repeat_penalty": penalty, "repeat_last_n": _MOST_CONTEXT},
}
"""What a repetition penalty of `generate` is called, by the owner of the models that a server lists. The API has none,
and some servers pass over what they do not know."""
_CARRIED = {"temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"}
_GREEDY = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0}
"""Settings of `generate` that ask for nothing with these values."""


@dataclass(frozen=True, kw_only=True)
class OpenAIEngine:
    """Answers from a server.

    Parameters
    ----------
    base_url, model, timeout, retries
        As of `farsight.evaluate.openai_server.Server`.
    owner
        What the server says whose its model is.
    asked
        What is said of each method, beside what the API has: see `farsight.methods.in_requests`.
    """

    base_url: str
    model: str
    timeout: float
    asked: Mapping[Method, Mapping[str, Any]]
    owner: str = ""
    retries: int = RETRIES

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Said], None, None]:
        """Answer in the order in which is asked; see `farsight.evaluate.engine.Engine`.

        Raises
        ------
        SettingError
            If the API cannot carry what a request says.
        InputError
            If the server is gone, or takes no request of ours.
        """
        with Server(base_url=self.base_url, model=self.model, timeout=self.timeout, retries=self.retries) as server:
            for request in requests:
                yield request.number, self._answer(server, request)

    def _answer(self, server: Server, request: Request) -> Said:
        how, more = self.carried(request.medium, request.generation)
        how["max_tokens"] = request.max_new_tokens
        more |= self.asked[request.method]
        visuals = read(request)
        asked = [
            server.body(messages(visual, prompt, earlier), how, more)
            for visual, (prompt, earlier) in zip(visuals, request.asked, strict=True)
            if not isinstance(visual, Failure)
        ]
        made = server.ask(asked) if asked else []
        if made and (any(isinstance(one, Trouble) for one in made) or not any(isinstance(one, Answer) for one in made)):
            self._see_that_it_answers(server, request, more)
        rest = iter(made)
        said: list[Answer | Failure] = []
        for visual in visuals:
            one = visual if isinstance(visual, Failure) else next(rest)
            said.append(one if isinstance(one, Answer | Failure) else Failure(reason=one.reason))
        return said

    def _see_that_it_answers(self, server: Server, request: Request, more: Mapping[str, Any]) -> None:
        grey = Image.new("RGB", (224, 224), (128, 128, 128)) if request.medium in ("picture", "talk") else None
        body = server.body([message(grey, "What is this?")], {"max_tokens": 1, "temperature": 0}, more)
        [one] = server.ask([body])
        if not isinstance(one, Answer):
            raise InputError(
                f"the server at {self.base_url} does not answer ({one.reason}); what is answered is safe, and the "
                "same command goes on: see what the server says"
            )

    def carried(self, medium: Medium, generation: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a request says of how tokens are chosen: what the API has, and what it has not.

        Parameters
        ----------
        medium
            What the prompts are about.
        generation
            Arguments of ``generate``.

        Raises
        ------
        SettingError
            If a request cannot say it.
        """
        if medium == "video":
            raise SettingError(NO_VIDEOS)
        if medium == "completion":
            raise SettingError(NO_COMPLETIONS)
        wanted = {name: value for name, value in generation.items() if value is not None and _GREEDY.get(name) != value}
        how: dict[str, Any] = {"temperature": 0}
        more: dict[str, Any] = {}
        if wanted.pop("do_sample", False):
            how["temperature"] = 1
        elif drawing := wanted.keys() & {"temperature", "top_p", "seed"}:
            raise SettingError(f"{min(drawing)} is given without do_sample: add that, or leave it out")
        if (penalty := wanted.pop("repetition_penalty", None)) is not None:
            if self.owner not in _PENALTY:
                raise SettingError(
                    f"OpenAI's API has no repetition_penalty ({penalty:g}), and a server of '{self.owner}' is not "
                    f"known to take one, as those of {', '.join(_PENALTY)} do: use one of them, or --engine local"
                )
            more = _PENALTY[self.owner](penalty)
        if missing := sorted(set(wanted) - _CARRIED):
            raise SettingError(
                f"OpenAI's API does not carry {', '.join(missing)}: leave it out, or pass --engine local"
            )
        return how | wanted, more


def messages(visual: object, prompt: str, earlier: Sequence[str]) -> list[dict[str, Any]]:
    """A conversation: what was said about a picture before, by user and assistant in turn, and the prompt."""
    first, *others = (*earlier, prompt)
    roles = cycle(("assistant", "user"))
    return [message(visual, first), *({"role": next(roles), "content": text} for text in others)]


def message(visual: object, prompt: str) -> dict[str, Any]:
    """What a user says: a prompt, behind the picture that it is about, if it is about one.

    Pictures are sent as they are asked about everywhere else, upright and in RGB, without loss.
    """
    if visual is None:
        return {"role": "user", "content": prompt}
    if not isinstance(visual, Image.Image):
        raise SettingError(NO_VIDEOS)
    data = io.BytesIO()
    visual.save(data, "PNG", compress_level=1)
    url = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": prompt}]
    return {"role": "user", "content": parts}
