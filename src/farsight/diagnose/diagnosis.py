"""What was seen of one method on one picture, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from farsight.diagnose.collector import Collected
from farsight.diagnose.layout import Layout, Visual, lay_out
from farsight.diagnose.replay import generated, replayed
from farsight.errors import InputError, SettingError
from farsight.inputs.checkpoints import LoadedModel, answering
from farsight.inputs.prompts import check_text
from farsight.method import Method

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Diagnosis:
    """One method on one prompt. Arrays are those of `farsight.diagnose.collector.Collected`, by name.

    Slots are those of the whole sequence but its last token, which is never read. The row at slot ``s`` predicts the
    token at slot ``s + 1``; the rows from ``prompt_slots - 1`` on predict the answer.
    """

    label: str
    layout: Layout
    tokens: tuple[str, ...]
    """Text of the token in each slot, the answer's last one included."""
    pieces: tuple[str, ...]
    """The answer's text, cut into what each of its tokens adds to it."""
    max_new_tokens: int
    arrays: Mapping[str, Floats]

    @property
    def prompt_slots(self) -> int:
        """Tokens of the prompt."""
        return self.layout.prompt_slots

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(self.pieces).strip()

    @property
    def layers(self) -> int:
        """How many."""
        return int(self.arrays["kept"].shape[0])

    @property
    def answering(self) -> slice:
        """The rows that predict the answer's tokens."""
        return slice(self.prompt_slots - 1, None)


@answering
@torch.inference_mode()
def diagnose(
    loaded: LoadedModel,
    seen: Visual | None,
    prompt: str,
    methods: Mapping[str, Method],
    *,
    max_new_tokens: int = 256,
    answer: str | None = None,
) -> list[Diagnosis]:
    """See what a model attends to while it answers a prompt about a picture or a video, under each of several methods.

    Memory is linear in layers x length: weights are made for a few rows of one layer at a time.

    Parameters
    ----------
    loaded
        The model with its processor.
    seen
        A picture, or the frames of a video; None for a prompt of text alone.
    prompt
        What is asked about the picture, or without one.
    methods
        By the names that figures call them by; decoding is greedy.
    max_new_tokens
        Where an answer is cut off.
    answer
        A text to say, with every method, instead of what it would generate.

    Raises
    ------
    InputError
        If the model takes no pictures (or no videos), if a method generates nothing, or the given answer is empty.
    SettingError
        If there is no method, or ``max_new_tokens`` is less than 1 or than the tokens of ``answer``.
    UnsupportedModelError
        If the model's visual tokens are not known, or a method cannot be exact on it.
    """
    if not methods:
        raise SettingError("no methods are given; diagnose at least one, such as {'plain': Plain()}")
    if max_new_tokens < 1:
        raise SettingError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    layout = lay_out(loaded, seen, prompt)
    given = None if answer is None else _tokens_of(loaded, answer, max_new_tokens)
    found = []
    for label, method in methods.items():
        tokens = given if given is not None else generated(loaded, layout, method, max_new_tokens)
        if not tokens:
            raise InputError(f"'{label}' generated nothing, so there is no answer to look at")
        found.append(said_again(loaded, layout, label, method, tokens, max_new_tokens))
    return found


def said_again(
    loaded: LoadedModel, layout: Layout, label: str, method: Method, tokens: Sequence[int], max_new_tokens: int
) -> Diagnosis:
    """See what a model attends to while it says these tokens, as in a call of ``max_new_tokens``."""
    collected = replayed(loaded, layout, method, tokens, max_new_tokens)
    return Diagnosis(
        label=label,
        layout=layout,
        tokens=_texts(loaded, layout.inputs["input_ids"][0].tolist() + list(tokens)),
        pieces=pieces_of(loaded, tokens),
        max_new_tokens=max_new_tokens,
        arrays={field.name: getattr(collected, field.name).cpu().numpy() for field in fields(Collected)},
    )


def _tokens_of(loaded: LoadedModel, answer: str, max_new_tokens: int) -> list[int]:
    check_text(loaded.processor, answer)
    tokens: list[int] = loaded.tokenizer(answer, add_special_tokens=False).input_ids
    if not tokens:
        raise InputError("the answer to look at is empty; pass a text, or none to let the model answer")
    if len(tokens) > max_new_tokens:
        raise SettingError(f"the answer has {len(tokens)} tokens, more than max_new_tokens={max_new_tokens}: raise it")
    return tokens


def _texts(loaded: LoadedModel, tokens: Sequence[int]) -> tuple[str, ...]:
    return tuple(loaded.tokenizer.decode([token]) for token in tokens)


def pieces_of(loaded: LoadedModel, tokens: Sequence[int]) -> tuple[str, ...]:
    """What each token adds to the text; special tokens add nothing, and half a character comes with its other half."""
    pieces, before = [], ""
    for count in range(1, len(tokens) + 1):
        text = loaded.tokenizer.decode(tokens[:count], skip_special_tokens=True)
        text = before if text.endswith("\N{REPLACEMENT CHARACTER}") and count < len(tokens) else text
        pieces.append(text[len(before) :])
        before = text
    return tuple(pieces)
