"""How much rows that name true and false objects read of the text before them: what AdaIAT compares a row with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from farsight.attention import LayerCall, locate, watched
from farsight.calibration import TextAttention
from farsight.diagnose.diagnosis import pieces_of
from farsight.diagnose.layout import Visual, lay_out
from farsight.diagnose.replay import GREEDY
from farsight.errors import InputError, SettingError
from farsight.inputs.checkpoints import LoadedModel, answering
from farsight.metrics.vocabulary import Mention


@answering
@torch.inference_mode()
def measure(
    loaded: LoadedModel,
    pictures: Iterable[tuple[Visual, Collection[str]]],
    mentions: Callable[[str], Sequence[Mention]],
    prompt: str,
    *,
    max_new_tokens: int = 64,
    done: Callable[[int], None] = lambda _: None,
) -> TextAttention:
    """Let a model describe pictures greedily, and average over the rows that name objects.

    The row of an object is the one that predicts the first token of its mention; its reading is the mean weight over
    the answer's tokens before it. An answer that begins with an object has none there to read.

    Parameters
    ----------
    loaded
        The model with its processor.
    pictures
        Pictures, and the objects that are in each.
    mentions
        Finds the objects that an answer names.
    prompt
        What is asked about each picture.
    max_new_tokens
        Where answers are cut off.
    done
        Is told how many pictures were described.

    Raises
    ------
    InputError
        If no true or no false object is named.
    SettingError
        If a number has no meaning.
    """
    if max_new_tokens < 1:
        raise SettingError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    model: Any = loaded.model
    language_model = locate(loaded.model)
    kinds: dict[bool, list[list[Tensor]]] = {True: [], False: []}
    described = 0
    for described, (picture, present) in enumerate(pictures, start=1):
        layout = lay_out(loaded, picture, prompt)
        reading = _Reading(layout.prompt_slots)
        with watched(language_model, reading.see):
            output = model.generate(**layout.inputs, max_new_tokens=max_new_tokens, **GREEDY)
        pieces = pieces_of(loaded, output[0, layout.prompt_slots :].tolist())
        for mention in mentions("".join(pieces)):
            if (step := _step(pieces, mention)) > 0:
                row = [reading.steps[layer.index][step] for layer in language_model.layers]
                kinds[mention.object in present].append(row)
        done(described)
    for is_true, name in ((True, "true"), (False, "false")):
        if not kinds[is_true]:
            raise InputError(
                f"the answers about {described} pictures name no {name} object behind their first token, and both "
                "kinds are compared: take more pictures, or a vocabulary that has their words (--synonyms)"
            )
    return TextAttention(
        true_rows=_mean(kinds[True]),
        false_rows=_mean(kinds[False]),
        true_count=len(kinds[True]),
        false_count=len(kinds[False]),
        model=loaded.name,
        pictures=described,
        prompt=prompt,
        max_new_tokens=max_new_tokens,
    )


class _Reading:
    """Of each layer, what the newest row of each step reads of the answer's tokens: the mean weight, ``(heads,)``."""

    def __init__(self, prompt_slots: int) -> None:
        self.prompt_slots = prompt_slots
        self.steps: dict[int, list[Tensor]] = {}

    def see(self, call: LayerCall) -> None:
        steps, last = self.steps.setdefault(call.index, []), call.query.shape[2] - 1
        new = len(steps)  # the first row that predicts a token has none before it
        weights = call.rows(last, last + 1)[0, :, 0].double()
        steps.append(weights[:, -new:].mean(-1) if new else weights.new_zeros(len(weights)))


def _step(pieces: Sequence[str], mention: Mention) -> int:
    """Which token of the answer begins a mention."""
    end = 0
    for step, piece in enumerate(pieces):
        end += len(piece)
        if end > mention.start:
            return step
    raise AssertionError(mention)


def _mean(rows: Sequence[Sequence[Tensor]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(torch.stack(layer).mean(0).tolist()) for layer in zip(*rows, strict=True))
