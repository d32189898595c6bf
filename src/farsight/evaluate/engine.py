"""The seam between what a run has left to ask and the rows that it writes: an engine answers in between.

A run makes the batches and writes the rows; an engine only answers, in any order and anywhere. So what is asked
together, what is asked again after a kill, and what a row has in it is the same with all engines.
`farsight.evaluate.local` answers in this process, `farsight.evaluate.ray_engine` in those of a Ray cluster,
`farsight.evaluate.vllm_engine` inside vLLM, `farsight.evaluate.openai_engine` in a server that runs already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from farsight.errors import InputError
from farsight.evaluate.tasks import Medium
from farsight.images import open_frames, open_image
from farsight.method import Method
from farsight.metrics.vocabulary import Vocabulary

Visual = Image.Image | Sequence[Image.Image] | None
"""A picture, the frames of a video, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model said to one prompt about one picture."""

    text: str
    tokens: int
    ended: bool
    """False if it was cut off at ``max_new_tokens``."""
    absorbed: float | None
    """Share of attention that the gates took away, mean over layers, heads and generated rows; None without gates."""
    seconds: float | None = None
    """Its share of the time that its batch took; None where batches do not have the machine to themselves, and where a
    method passes an answer by that takes its time on others."""
    peak_bytes: int | None = None
    """Most memory that its batch had beside what stood before it; None where that is not counted."""
    checked: Mapping[str, Any] | None = None
    """What the model had said before it was checked, and the checks (`farsight.methods.verified`); ``tokens`` are those
    of that draft. None of an answer that was not checked."""
    ids: Sequence[int] = ()
    """Its tokens, the one that ends it included; none from a server, which does not say them."""

    @classmethod
    def of(
        cls,
        generated: Sequence[int],
        *,
        ends: Collection[int],
        tokenizer: Any,
        absorbed: Callable[[int], float | None],
        stop: str | None = None,
    ) -> Answer:
        """Read an answer from the tokens of a sequence, of which those after the first end do not count.

        Parameters
        ----------
        generated
            The new tokens, with what a batch has put behind their end.
        ends
            Tokens that end a sequence.
        tokenizer
            Makes text of them.
        absorbed
            Gives the share that was absorbed while the first so many tokens were read.
        stop
            Text that ends an answer too, and is not part of it.
        """
        end = next((place for place, token in enumerate(generated) if token in ends), None)
        kept = generated if end is None else generated[: end + 1]
        text = tokenizer.decode(kept, skip_special_tokens=True)
        if stop is not None and stop in text:
            text, end = text.split(stop)[0], 0
            counts = range(1, len(kept) + 1)
            kept = next(kept[:n] for n in counts if stop in tokenizer.decode(kept[:n], skip_special_tokens=True))
        return cls(
            text=text.strip(),
            tokens=len(kept),
            ended=end is not None,
            absorbed=absorbed(len(kept)),
            ids=kept,
        )


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why there is no answer to one prompt; its row says so, and the run goes on."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One batch as a model is asked it: at least one prompt, and a picture or a video for each.

    Pictures are paths, and read where they are answered: a process that fed many GPUs could not decode for all.
    """

    number: int
    """By which its answers are known."""
    method: Method
    paths: Sequence[Path | None]
    """Of pictures, or of folders of frames; None of what is asked without."""
    medium: Medium
    prompts: Sequence[str]
    max_new_tokens: int
    generation: Mapping[str, Any] = field(default_factory=dict)
    """More arguments of ``generate``; greedy decoding by default."""
    watched: bool = True
    """Whether to see what gates absorb, which takes time."""
    earlier: Sequence[Sequence[str]] = ()
    """What was said before each prompt (`farsight.evaluate.tasks.Item.earlier`); empty if nothing was."""
    vocabulary: Vocabulary | None = None
    """Which words name objects, of descriptions of pictures; None of other answers, which no method checks."""

    @property
    def asked(self) -> list[tuple[str, Sequence[str]]]:
        """Each prompt with what was said before it."""
        return list(zip(self.prompts, self.earlier or [()] * len(self.prompts), strict=True))


Said = Sequence[Answer | Failure]
"""To each prompt of a request."""


def read(request: Request) -> list[Visual | Failure]:
    """Open the picture or the video of each prompt, or say why it cannot be."""
    opened: dict[Path | None, Visual | Failure] = {
        None: None
    }  # questions about one video stand together, and its frames take long
    for path in request.paths:
        if path is not None and path not in opened:
            try:
                opened[path] = open_frames(path) if request.medium == "video" else open_image(path)
            except InputError as error:
                opened[path] = Failure(reason=str(error))
    return [opened[path] for path in request.paths]


def end_tokens(generation_config: Any) -> set[int]:
    """Tokens at which Transformers ends a sequence."""
    ends: int | list[int] | None = generation_config.eos_token_id
    return set() if ends is None else {ends} if isinstance(ends, int) else set(ends)


class Engine(Protocol):
    """Answers requests."""

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Said], None, None]:
        """Answer every request once, in any order: its number and what was said to each prompt.

        An engine takes no more requests than it has in hand, starts nothing before the first one, and ends what it
        started when it is closed. A batch is asked as it is, since its composition may change the last bits: only
        prompts about pictures that cannot be read are left out, as `read` does, and those that the model's processor
        does not take, with `farsight.inputs.prompts.PromptError`.

        Raises
        ------
        FarSightError
            If the run cannot go on. What was answered stays.
        """
        ...
