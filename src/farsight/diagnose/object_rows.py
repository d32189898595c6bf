"""How much rows that name true and false objects read of the text before them: what AdaIAT compares a row with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from farsight.attention import LayerCall, locate, watched
from farsight.calibration import TextAttention
from farsight.call import Calls, following, forwards
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
) -> TextAttention:
    """Let a model describe pictures greedily, one by one, and average over the rows that name objects.

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
    rows, described = ObjectRows(loaded, mentions), 0
    with rows.reading():
        for picture, present in pictures:
            layout = lay_out(loaded, picture, prompt)
            output = model.generate(**layout.inputs, max_new_tokens=max_new_tokens, **GREEDY)
            rows.add(0, output[0, layout.prompt_slots :].tolist(), present)
            described += 1
    return rows.found(pictures=described, prompt=prompt, max_new_tokens=max_new_tokens)


class ObjectRows:
    """What rows read of the answer that name objects, and whether these are there.

    The row of an object is the one that predicts the first token of its mention; its reading is the mean weight over
    the answer's tokens before it. An answer that begins with an object has none there to read.

    Parameters
    ----------
    loaded
        The model with its processor.
    mentions
        Finds the objects that an answer names.
    """

    def __init__(self, loaded: LoadedModel, mentions: Callable[[str], Sequence[Mention]]) -> None:
        self._loaded, self._mentions, self._calls = loaded, mentions, Calls()
        self._kinds: dict[bool, list[list[Tensor]]] = {True: [], False: []}
        self._steps: dict[int, dict[int, Tensor]] = {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Look at the rows of each batch that is generated greedily in a ``with`` block."""
        model, language_model = self._loaded.model, locate(self._loaded.model)
        with following(model) as self._calls, forwards(model, language_model), watched(language_model, self._see):
            yield

    def _see(self, call: LayerCall) -> None:
        """Keep what the newest row reads of each token of the answer, ``(batch, heads)``, by how many there are."""
        known, forward = self._calls.call, self._calls.forward
        if known is None or forward is None:
            return  # outside of generate: what prompts have in common is read before
        if (new := int(forward.offset) + forward.queries - known.prompt_slots) > 0:
            weights = call.rows(forward.queries - 1, forward.queries)[:, :, 0].double()
            self._steps.setdefault(call.index, {})[new] = weights[..., -new:].mean(-1)

    def add(self, place: int, ids: Sequence[int], present: Collection[str]) -> None:
        """Take an answer of the batch that was generated last.

        Parameters
        ----------
        place
            Its place in the batch.
        ids
            Its tokens.
        present
            The objects that are there.
        """
        pieces = pieces_of(self._loaded, ids)
        for mention in self._mentions("".join(pieces)):
            if (step := _step(pieces, mention)) > 0:
                row = [self._steps[index][step][place] for index in sorted(self._steps)]
                self._kinds[mention.object in present].append(row)

    def found(self, *, pictures: int, prompt: str, max_new_tokens: int) -> TextAttention:
        """Average over all of them.

        Parameters
        ----------
        pictures, prompt, max_new_tokens
            What they were generated on.

        Raises
        ------
        InputError
            If no true or no false object is named.
        """
        for is_true, name in ((True, "true"), (False, "false")):
            if not self._kinds[is_true]:
                raise InputError(
                    f"the answers about {pictures} pictures name no {name} object behind their first token, and both "
                    "kinds are compared: take more pictures, or a vocabulary that has their words (--synonyms)"
                )
        return TextAttention(
            true_rows=_mean(self._kinds[True]),
            false_rows=_mean(self._kinds[False]),
            true_count=len(self._kinds[True]),
            false_count=len(self._kinds[False]),
            model=self._loaded.name,
            pictures=pictures,
            prompt=prompt,
            max_new_tokens=max_new_tokens,
        )


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
