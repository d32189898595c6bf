"""The one thread that owns the model: it answers one request after the other, and stops when nobody waits any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList

from farsight.cancelling import CancelledError, stops
from farsight.errors import FarSightError
from farsight.evaluate.engine import end_tokens
from farsight.inputs.checkpoints import LoadedModel
from farsight.method import Method
from farsight.serve.adjusted_logits import AdjustedLogits
from farsight.serve.answers import ApiError, Usage
from farsight.serve.growing_text import GrowingText
from farsight.serve.limits import Limits
from farsight.serve.prompt import new_tokens, prompt
from farsight.serve.request import ChatRequest, Served

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """More of the text, of an answer that is streamed."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The answer is there."""

    text: str
    finish_reason: str
    usage: Usage


News = Piece | Ended | ApiError
"""What is told of a job: at last how it has ended, or why it has not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A request and who waits for the answer.

    Parameters
    ----------
    request
        What is asked.
    tell
        Is called with `News`, in the thread of the worker.
    cancelled
        Set by who does not wait any more.
    """

    request: ChatRequest
    tell: Callable[[News], object]
    cancelled: Event = field(default_factory=Event)


class Worker:
    """Answers jobs in a thread of its own, in the order in which they come.

    Parameters
    ----------
    loaded
        The model.
    methods
        By label; the one that a request names is on while it is answered.
    served
        What requests know of both.
    limits
        How long answers may be.
    """

    def __init__(self, loaded: LoadedModel, methods: Mapping[str, Method], served: Served, limits: Limits) -> None:
        self.loaded, self.methods, self.served, self.limits = loaded, methods, served, limits
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._ending = Event()
        self._current: Job | None = None
        self._thread = Thread(target=self._work, name="farsight-worker", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a job is being answered or waits."""
        return self._current is not None or not self._jobs.empty()

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue."""
        self._jobs.put(job)

    def close(self, seconds: float) -> bool:
        """Stop at the next forward pass, answer nothing more, and say whether the thread has ended in time."""
        self._ending.set()
        if (current := self._current) is not None:
            current.cancelled.set()
        self._jobs.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._current = job
            if self._ending.is_set():
                job.cancelled.set()
            try:
                if not job.cancelled.is_set():
                    self._answer(job)
            except CancelledError:
                pass
            except ApiError as error:
                _tell(job, error)
            except FarSightError as error:
                _tell(job, ApiError(400, str(error)))
            except Exception as error:
                _LOG.error("a request failed: %r", error)
                _tell(job, _failure(error))
            self._current = None

    def _answer(self, job: Job) -> None:
        model: Any = self.loaded.model
        request, tokenizer = job.request, self.loaded.tokenizer
        inputs = prompt(self.loaded, request)
        length = inputs["input_ids"].shape[1]
        most = new_tokens(request, length, self.served.context, self.limits.usual_new_tokens, self.limits.new_tokens)
        text = GrowingText(tokenizer, request.stop, lambda piece: _tell(job, Piece(piece)))
        adjusted = AdjustedLogits(request.logit_bias, request.frequency_penalty, request.presence_penalty)
        followed = request.stream or bool(request.stop)
        torch.seed() if request.seed is None else torch.manual_seed(request.seed)
        with self.methods[request.method](model), stops(model, job.cancelled):
            output = model.generate(
                **inputs,
                **_choosing(request),
                max_new_tokens=most,
                num_return_sequences=1,
                return_dict_in_generate=False,
                **({"logits_processor": LogitsProcessorList([adjusted])} if adjusted.changes_something else {}),
                **({"stopping_criteria": StoppingCriteriaList([text])} if followed else {}),
                **({"tokenizer": tokenizer} if getattr(model.generation_config, "stop_strings", None) else {}),
            )
        new = output[0, 1 if model.config.is_encoder_decoder else length :].tolist()
        ends = end_tokens(model.generation_config)
        ended = next((place for place, token in enumerate(new, 1) if token in ends), None)
        new = new[:ended]
        for token in [] if followed else new:
            text.add(token)
        text.end()
        cut = ended is None and not text.stopped and len(new) >= most
        usage = Usage(prompt=length, completion=len(new))
        _tell(job, Ended(text=text.text, finish_reason="length" if cut else "stop", usage=usage))


def _choosing(request: ChatRequest) -> dict[str, Any]:
    """How tokens are chosen; as the checkpoint has it where the request does not say."""
    penalty = request.repetition_penalty
    return _drawing(request) | ({} if penalty is None else {"repetition_penalty": penalty})


def _drawing(request: ChatRequest) -> dict[str, Any]:
    if request.temperature is None and request.top_p is None:
        return {}
    if 0 in (request.temperature, request.top_p):
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    asked = {"temperature": request.temperature, "top_p": request.top_p}
    return {"do_sample": True, **{name: value for name, value in asked.items() if value is not None}}


def _tell(job: Job, news: News) -> None:
    with suppress(RuntimeError):  # the server has ended, and nobody waits
        job.tell(news)


def _failure(error: Exception) -> ApiError:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return ApiError(500, "the request does not fit in the memory of the device: send less, or ask for fewer tokens")
    return ApiError(500, f"the model failed ({type(error).__name__}: {str(error)[:300]})")
