"""The one thread that owns the model: it answers requests, those that wait together in one batch where they can be.

What may share a batch says `Worker.kind`: where method and settings agree, each row of a batch is what it would be
alone. A batch that cannot be, whatever the reason, is halved.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from queue import Empty, SimpleQueue
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
from farsight.serve.answers import ApiError
from farsight.serve.batch import AllCancelled, Job, Row, Rows
from farsight.serve.limits import Limits
from farsight.serve.prompt import new_tokens, prompts
from farsight.serve.request import ChatRequest, Picture, Served

_LOG = logging.getLogger(__name__)
_SECONDS_TOGETHER = 0.01
"""Requests that arrive within so many seconds arrive together."""


class _SplitError(Exception):
    """Why some jobs cannot be one batch."""


class Worker:
    """Answers jobs in a thread of its own, in the order in which they come; those of one kind together.

    Parameters
    ----------
    loaded
        The model.
    methods
        By label; the one that a request names is on while it is answered.
    served
        What requests may know of the model and its methods.
    limits
        How long answers may be, and how many are made at once.
    """

    def __init__(self, loaded: LoadedModel, methods: Mapping[str, Method], served: Served, limits: Limits) -> None:
        self.loaded, self.methods, self.served, self.limits = loaded, methods, served, limits
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._ending = Event()
        self._current: Sequence[Job] = ()
        self._thread = Thread(target=self._work, name="farsight-worker", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a job is being answered or waits."""
        return bool(self._current or self._waiting) or not self._jobs.empty()

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue."""
        self._jobs.put(job)

    def close(self, seconds: float) -> bool:
        """Stop at the next forward pass, answer nothing more, and say whether the thread has ended in time."""
        self._ending.set()
        for job in self._current:
            job.cancelled.set()
        self._jobs.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def kind(self, request: ChatRequest) -> Hashable:
        """Give what requests must have in common to share a batch; None for one that is answered alone.

        A seed asks for the same answer however many others are there, which rounding and drawing in a batch would not
        give. Padding on the left is not known to encoders, and a batch is not left where the checkpoint's own stop
        strings end a row of it.
        """
        model: Any = self.loaded.model
        stop_strings = getattr(model.generation_config, "stop_strings", None)
        padded = self.loaded.tokenizer.pad_token_id is not None and not model.config.is_encoder_decoder
        if self.limits.batch_size == 1 or request.seed is not None or stop_strings or not padded:
            return None
        pictures = sum(isinstance(part, Picture) for message in request.messages for part in message.parts)
        biases = tuple(sorted(request.logit_bias.items()))
        penalties = request.frequency_penalty, request.presence_penalty
        return request.method, pictures, biases, penalties, tuple(_choosing(request).items())

    def _work(self) -> None:
        while (jobs := self._next()) and not self._ending.is_set():
            self._answer(jobs)
            self._current = ()

    def _next(self) -> Sequence[Job]:
        """Wait for a job, and take with it those that wait and are of its kind; none at the end."""
        if not self._waiting:
            self._take(None)
        until = time.monotonic() + (_SECONDS_TOGETHER if self.limits.batch_size > 1 else 0)
        while self._take(max(0.0, until - time.monotonic())):
            pass
        if not self._waiting:
            return ()
        first = self._waiting[0]
        kind = self.kind(first.request)
        alike = [job for job in self._waiting if job is first or (kind and self.kind(job.request) == kind)]
        self._current = alike[: self.limits.batch_size]
        self._waiting = deque(job for job in self._waiting if job not in self._current)
        return self._current

    def _take(self, seconds: float | None) -> bool:
        """Let one more job wait, if there is one in time."""
        try:
            job = self._jobs.get(timeout=seconds)
        except Empty:
            return False
        if job is not None:
            self._waiting.append(job)
        return job is not None

    def _answer(self, jobs: Sequence[Job]) -> None:
        """Answer jobs together, or if that fails each half of them for itself, or say why one has no answer."""
        jobs = [job for job in jobs if not job.cancelled.is_set()]
        if not jobs or self._ending.is_set():
            return
        rows: list[Row] = []
        try:
            self._generate(jobs, rows)
        except CancelledError:
            pass
        except Exception as error:
            told = {row.job for row in rows if row.told}
            final = set(jobs) if len(jobs) == 1 else {row.job for row in rows if row.begun}  # what is said stays said
            again = [job for job in jobs if job not in told | final]
            for job in final - told:
                job.tell(_refusal(error))
            self._answer(again[: len(again) // 2])
            self._answer(again[len(again) // 2 :])

    def _generate(self, jobs: Sequence[Job], rows: list[Row]) -> None:
        """Answer jobs in one batch, whose ``rows`` are told of as soon as there are some.

        Raises
        ------
        _SplitError
            If the rows of this batch would not be what they are alone.
        """
        model: Any = self.loaded.model
        request, tokenizer, searches = (
            jobs[0].request,
            self.loaded.tokenizer,
            self.served.methods[jobs[0].request.method],
        )
        inputs = prompts(self.loaded, [job.request for job in jobs])
        length = inputs["input_ids"].shape[1]
        lengths = [length] if len(jobs) == 1 else inputs["attention_mask"].sum(1).tolist()
        most = [
            new_tokens(job.request, own, self.served.context, self.limits.usual_new_tokens, self.limits.new_tokens)
            for job, own in zip(jobs, lengths, strict=True)
        ]
        if searches and len(set(most)) > 1:
            raise _SplitError("a search ends all of a batch at one length")
        if len(set(lengths)) > 1 and _reads_prompts(model.generation_config, request):
            raise _SplitError("padding would be read as a part of the prompt")
        ends = end_tokens(model.generation_config)
        rows += [
            Row(job, tokenizer, prompt_tokens=own, most=count, ends=ends)
            for job, own, count in zip(jobs, lengths, most, strict=True)
        ]
        adjusted = AdjustedLogits(request.logit_bias, request.frequency_penalty, request.presence_penalty)
        torch.seed() if request.seed is None else torch.manual_seed(request.seed)
        with self.methods[request.method](model), stops(model, AllCancelled(jobs)):
            output = model.generate(
                **inputs,
                **_choosing(request),
                max_new_tokens=max(most),
                num_return_sequences=1,
                return_dict_in_generate=False,
                **({"logits_processor": LogitsProcessorList([adjusted])} if adjusted.changes_something else {}),
                **({} if searches else {"stopping_criteria": StoppingCriteriaList([Rows(rows)])}),
                **({"tokenizer": tokenizer} if getattr(model.generation_config, "stop_strings", None) else {}),
            )
        start = 1 if model.config.is_encoder_decoder else length
        for row, tokens in zip(rows, output[:, start:].tolist() if searches else [[]] * len(rows), strict=True):
            any(map(row.take, tokens))
            row.finish()


def _reads_prompts(config: Any, request: ChatRequest) -> bool:
    """Whether what chooses tokens looks at those of the prompt, where padding would be some."""
    penalty = request.repetition_penalty or getattr(config, "repetition_penalty", None) or 1.0
    return penalty != 1.0 or any(
        getattr(config, name, None) for name in ("no_repeat_ngram_size", "sequence_bias", "bad_words_ids")
    )


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


def _refusal(error: Exception) -> ApiError:
    """What a client is told of whatever went wrong."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, FarSightError):
        return ApiError(400, str(error))
    _LOG.error("a request failed: %r", error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return ApiError(500, "the request does not fit in the memory of the device: send less, or ask for fewer tokens")
    return ApiError(500, f"the model failed ({type(error).__name__}: {str(error)[:300]})")
