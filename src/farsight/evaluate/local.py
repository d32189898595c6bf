"""Answers from a model in this process: greedy, in batches with left padding, with what the registers absorbed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from farsight.attention import LayerCall, locate, watched
from farsight.errors import InputError, SettingError
from farsight.evaluate.common_prefix import leaves_prompts, read_prefix
from farsight.evaluate.engine import Answer, Failure, Request, Said, Visual, end_tokens, read
from farsight.evaluate.memory import begin_counting, most_beside
from farsight.evaluate.tasks import Medium
from farsight.inputs.checkpoints import LoadedModel
from farsight.inputs.prompts import PromptError, picture_inputs, text_inputs, video_inputs
from farsight.method import Method, parts
from farsight.methods.verified import PICTURES_ALONE, Verified, apart
from farsight.metrics.vocabulary import Vocabulary

LINE_END = "\n"
"""Ends a completion."""

Asked = tuple[str, Sequence[str]]
"""A prompt, and what was said before it."""


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """Answers in this process, batch by batch.

    Parameters
    ----------
    load
        Gives the model; called at the first request.
    """

    load: Callable[[], LoadedModel]

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Said], None, None]:
        """Answer in the order in which is asked; see `farsight.evaluate.engine.Engine`."""
        loaded: LoadedModel | None = None
        for request in requests:
            loaded = loaded or self.load()
            yield request.number, answer_request(loaded, request)


def answer_request(loaded: LoadedModel, request: Request) -> Said:
    """Answer one batch: all prompts at once whose pictures can be read, and that the model's processor takes.

    Raises
    ------
    InputError
        If it does not fit in the memory of the device; see also `answer`.
    """
    visuals = read(request)
    try:
        return _answers(loaded, request, visuals)
    except PromptError as error:
        taken = [
            visual if isinstance(visual, Failure) else _taken(loaded, visual, asked, request.medium)
            for visual, asked in zip(visuals, request.asked, strict=True)
        ]
        if not any(isinstance(one, Failure) and one is not visual for one, visual in zip(taken, visuals, strict=True)):
            raise InputError(f"{error}; each alone is taken: choose a new folder and --batch-size 1") from error
        return _answers(loaded, request, taken)


def _answers(loaded: LoadedModel, request: Request, visuals: Sequence[Visual | Failure]) -> Said:
    readable = [
        (visual, asked) for visual, asked in zip(visuals, request.asked, strict=True) if not isinstance(visual, Failure)
    ]
    answers = iter(_fitting(loaded, request, readable) if readable else [])
    return [visual if isinstance(visual, Failure) else next(answers) for visual in visuals]


def _taken(loaded: LoadedModel, visual: Visual, asked: Asked, medium: Medium) -> Visual | Failure:
    """What a prompt is about, or why the processor does not take it."""
    try:
        _inputs(loaded, [visual], [asked[0]], medium, [asked[1]])
    except PromptError as error:
        return Failure(reason=str(error))
    return visual


def _inputs(
    loaded: LoadedModel,
    pictures: Sequence[Visual],
    prompts: Sequence[str],
    medium: Medium,
    earlier: Sequence[Sequence[str]],
) -> dict[str, Any]:
    if medium in ("text", "completion"):
        return text_inputs(loaded, prompts, chat=medium == "text")
    stills = [picture for picture in pictures if isinstance(picture, Image.Image)]
    videos = [frames for frames in pictures if frames is not None and not isinstance(frames, Image.Image)]
    return video_inputs(loaded, videos, prompts) if videos else picture_inputs(loaded, stills, prompts, earlier)


def _fitting(loaded: LoadedModel, request: Request, readable: list[tuple[Visual, Asked]]) -> list[Answer]:
    generation = {name: value for name, value in request.generation.items() if name != "seed"}
    try:
        with _drawn(loaded, request):
            return answer(
                loaded,
                request.method,
                [visual for visual, _ in readable],
                [prompt for _, (prompt, _) in readable],
                max_new_tokens=request.max_new_tokens,
                generation=generation,
                medium=request.medium,
                watch=request.watched,
                earlier=[earlier for _, (_, earlier) in readable],
                vocabulary=request.vocabulary,
            )
    except torch.OutOfMemoryError as error:
        count = len(readable)
        raise InputError(
            f"a batch of {count} does not fit in the memory of the device; choose a new folder and a --batch-size "
            f"below {count}"
        ) from error


@contextmanager
def _drawn(loaded: LoadedModel, request: Request) -> Iterator[None]:
    """Have each batch of a seed its own stream of numbers, so that it is drawn alike whenever it is asked."""
    if (seed := request.generation.get("seed")) is None:
        yield
        return
    devices = [] if loaded.device.type == "cpu" else [loaded.device]
    with torch.random.fork_rng(devices, device_type="cuda" if not devices else loaded.device.type):
        torch.manual_seed(int(np.random.SeedSequence([seed, request.number]).generate_state(1)[0]))
        yield


@torch.inference_mode()
def answer(
    loaded: LoadedModel,
    method: Method,
    pictures: Sequence[Visual],
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    generation: Mapping[str, Any] | None = None,
    medium: Medium = "picture",
    watch: bool = True,
    earlier: Sequence[Sequence[str]] = (),
    vocabulary: Vocabulary | None = None,
) -> list[Answer]:
    """Answer one prompt about each picture, or about each video, all in one batch.

    Parameters
    ----------
    loaded
        The model with its processor.
    method
        How to decode; applied for this call alone.
    pictures, prompts
        As many of one as of the other; a video is the list of its frames.
    max_new_tokens
        Where an answer is cut off.
    generation
        More arguments of ``generate``; greedy decoding by default.
    medium
        What the prompts are about; see `farsight.evaluate.tasks.Medium`. Without pictures, ``pictures`` are None.
    watch
        Whether to see what gates absorb.
    earlier
        What was said before each prompt (`farsight.evaluate.tasks.Item.earlier`); empty if nothing was.
    vocabulary
        Which words name objects, for a method that checks descriptions; None if the answers are none, and stay as they
        are.

    Raises
    ------
    SettingError
        If descriptions of what is no picture are to be checked.
    InputError
        If the model takes no pictures, or no videos where there are some, or its pad token is not known.
    PromptError
        If its processor does not take a prompt.
    """
    method, verified = apart(method)
    if verified is not None and vocabulary is not None and medium != "picture":
        raise SettingError(PICTURES_ALONE)
    inputs = _inputs(loaded, pictures, prompts, medium, earlier)
    how = {"do_sample": False, "num_beams": 1, "temperature": None, "top_p": None, "top_k": None, **(generation or {})}
    if medium == "completion":
        how |= {"stop_strings": [LINE_END], "tokenizer": loaded.tokenizer}
    if medium == "completion" and how["num_beams"] == 1 and leaves_prompts(method):
        inputs = read_prefix(loaded.model, inputs)
    length = inputs["input_ids"].shape[1]
    absorbed = _Absorbed()
    stood = begin_counting(loaded.device)
    started = perf_counter()
    with method(loaded.model), absorbed.watching(loaded.model, method) if watch else nullcontext():
        output: Tensor = loaded.model.generate(**inputs, max_new_tokens=max_new_tokens, **how)  # type: ignore[operator]
    ends = end_tokens(loaded.model.generation_config)
    said = [
        Answer.of(
            row,
            ends=ends,
            tokenizer=loaded.tokenizer,
            absorbed=partial(absorbed.mean, number),
            stop=LINE_END if medium == "completion" else None,
        )
        for number, row in enumerate(output[:, length:].tolist())
    ]
    if verified is not None and vocabulary is None:  # untimed: what passes unchanged does not say what checks take
        return said
    if verified is not None and vocabulary is not None:
        seen = cast("Sequence[Image.Image]", pictures)
        said = [_checked(loaded, verified, *one, vocabulary, len(said)) for one in zip(seen, said, strict=True)]
    peak_bytes = most_beside(stood, loaded.device)
    seconds = (perf_counter() - started) / len(said)
    return [replace(one, seconds=seconds, peak_bytes=peak_bytes) for one in said]


def _checked(
    loaded: LoadedModel, verified: Verified, picture: Image.Image, said: Answer, vocabulary: Vocabulary, together: int
) -> Answer:
    found = verified.checked(loaded, picture, said.text, vocabulary, together=together)
    return replace(said, text=found.text, checked=found.record())


class _Absorbed:
    """Adds up what the gates of a batch took away, step by step: layers differ in heads but not in steps."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []
        self.layers: list[int] = []
        self.place: dict[int, int] = {}

    def watching(self, model: nn.Module, method: Method) -> AbstractContextManager[None]:
        """Look on inside a block of ``method``, if it takes anything away."""
        if not any("gate" in part.changed for part in parts(method)):
            return nullcontext()
        return watched(locate(model, encoder_decoder=True), self._see)

    def _see(self, call: LayerCall) -> None:
        """Take the newest row of each forward of each layer."""
        if call.factor is None:
            return
        step = self.place.get(call.index, 0)
        self.place[call.index] = step + 1
        share = 1 - call.factor[:, :, -1].float().mean(1)
        if step == len(self.steps):
            self.steps.append(share)
            self.layers.append(1)
        else:
            self.steps[step] = self.steps[step] + share.to(self.steps[step].device)
            self.layers[step] += 1

    def mean(self, number: int, steps: int) -> float | None:
        """Mean over the rows from which a sequence's own tokens were read."""
        shares = [
            float(step[number]) / layers
            for step, layers in zip(self.steps, self.layers, strict=True)
            if number < len(step)
        ][:steps]
        return round(sum(shares) / len(shares), 5) if shares else None
