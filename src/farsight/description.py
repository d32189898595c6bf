"""One description of one picture or video: greedy decoding, timed, handed on word by word, or checked at its end."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from transformers import TextStreamer

from farsight.errors import SettingError
from farsight.inputs.checkpoints import LoadedModel, answering
from farsight.inputs.named_models import vocabulary_of
from farsight.inputs.prompts import prompt_inputs, text_inputs, video_inputs
from farsight.method import Method, searches
from farsight.methods.verified import PICTURES_ALONE, Checked, apart
from farsight.metrics.vocabulary import Vocabulary, read_vocabulary

WARM_UP_TOKENS = 4


@dataclass(frozen=True, kw_only=True)
class Description:
    """What was said, in how many generated tokens and seconds: ``generate`` with its prompt, and checks behind it."""

    text: str
    tokens: int
    seconds: float
    checked: Checked | None = None
    """What became of the answer, if it was checked when it was there"""
    told: str = ""
    """The same in a line"""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def pace(self) -> str:
        return f"{self.tokens} tokens in {self.seconds:.2f} s, {self.tokens_per_second:.1f} tokens/s"


class Words(TextStreamer):
    """Hands on text as soon as it forms whole words."""

    def __init__(self, tokenizer: Any, show: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.show = show
        self.begun = False

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        text = printable(text if self.begun else text.lstrip())
        self.begun = self.begun or bool(text)
        if text:
            self.show(text)


@answering
def generate(
    loaded: LoadedModel,
    method: Method,
    seen: Image.Image | Sequence[Image.Image] | None,
    prompt: str,
    max_new_tokens: int,
    show: Callable[[str], None] | None = None,
    vocabulary: Vocabulary | None = None,
) -> Description:
    """Describe a picture, or the frames of a video, greedily under ``method``; or answer without either.

    ``show`` gets the text while it is made, of a search or of what is checked at its end. ``vocabulary`` is which words
    name objects, where they are checked; by default the model's own, which is COCO's for most.

    Raises
    ------
    SettingError
        If objects are to be checked, and there is no picture.
    """
    method, verified = apart(method)
    if verified is not None and not isinstance(seen, Image.Image):
        raise SettingError(PICTURES_ALONE)
    if seen is None:
        inputs = text_inputs(loaded, [prompt], chat=True)
    elif isinstance(seen, Image.Image):
        inputs = prompt_inputs(loaded, seen, prompt)
    else:
        inputs = video_inputs(loaded, [seen], [prompt])
    words = None if show is None or verified is not None or searches(method) else Words(loaded.tokenizer, show)
    start = time.perf_counter()
    with method(loaded.model):
        output = loaded.model.generate(  # type: ignore[operator]
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            streamer=words,
        )[0].tolist()
    new = output[inputs["input_ids"].shape[1] :]
    text = printable(loaded.tokenizer.decode(new, skip_special_tokens=True)).strip()
    checked, told = None, ""
    if verified is not None and isinstance(seen, Image.Image):
        checked = verified.checked(loaded, seen, text, vocabulary or read_vocabulary(vocabulary_of(loaded.name)))
        text, told = checked.text, verified.told(checked)
    seconds = time.perf_counter() - start
    if show is not None and words is None:
        show(text)
    return Description(text=text, tokens=len(new), seconds=seconds, checked=checked, told=told)


def warm_up(
    loaded: LoadedModel, methods: list[Method], seen: Image.Image | Sequence[Image.Image] | None, prompt: str
) -> None:
    """Let each method pay for what only a first call pays for."""
    for method in methods:
        generate(loaded, method, seen, prompt, WARM_UP_TOKENS)


def printable(text: str) -> str:
    """Drop control characters, by which a model's text could write over the terminal."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")
