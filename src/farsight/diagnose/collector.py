"""Watch every layer's attention row by row while a model generates, and keep what is linear in layers x length.

Weights are those of the attention function that generation runs: what it returns, or the softmax of the queries and
keys that it was given, times the gate that it applied. They are made for a few rows of one layer at a time and added
up.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from farsight.attention import LanguageModel, LayerCall, watched
from farsight.attention.cache import given_cache
from farsight.attention.layer_call import sink_of_rows
from farsight.attention.layers import new_rows
from farsight.diagnose.layout import Layout
from farsight.errors import UnsupportedModelError

ELEMENTS = 2**22
"""Weights that are held at once: 16 MiB in fp32."""
SOURCES = ("image", "prompt", "answer")
"""What information can come from, in `Collected.flow`: visual tokens, the prompt's text, the generated text."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Collected:
    """Sums over a sequence of ``slots`` tokens; all of one forward per token, heads in the order of the model.

    Attention is what a row gives out: with registers its weights sum to ``kept`` and not to 1.
    """

    image: Tensor
    """Attention of each row on `Layout.context`, which is the visual tokens if there are any,
    ``(layers, heads, slots)``"""
    uniform: Tensor
    """The same if a row attended equally to all that it may read, ``(layers, slots)``"""
    kept: Tensor
    """Sum of each row's weights, ``(layers, heads, slots)``: 1 without registers and sinks"""
    own: Tensor
    """The same without registers, ``(layers, heads, slots)``: less than 1 where the model has sinks of its own"""
    lse: Tensor
    """``log Z`` of each row with the model's own sink, ``(layers, heads, slots)``; NaN where a method edits the
    scores"""
    entropy: Tensor
    """Of each row, scaled to sum 1, in nats, ``(layers, heads, slots)``"""
    received: Tensor
    """Attention that each token gets from all rows, ``(layers, heads, slots)``"""
    expected: Tensor
    """The same if every row attended equally to all that it may read, ``(layers, slots)``"""
    value_norm: Tensor
    """Length of each token's value vector, ``(layers, key heads, slots)``"""
    maps: Tensor
    """Attention of the rows that predict generated tokens on each token of `Layout.context`, mean over heads,
    ``(layers, answer tokens, context)``"""
    flow: Tensor
    """Attention rollout: share of each row that stems from each of `SOURCES`, ``(layers + 1, 3, slots)``"""


class Collector:
    """Collects over one call of ``generate`` for one prompt.

    Parameters
    ----------
    language_model
        As `farsight.attention.layers.locate` gives it.
    layout
        The prompt, laid out in slots.
    answer_tokens
        How many tokens will be generated; the last one is never fed.
    """

    def __init__(self, language_model: LanguageModel, layout: Layout, answer_tokens: int) -> None:
        self.language_model = language_model
        self.prompt_slots = layout.prompt_slots
        slots = layout.prompt_slots + max(answer_tokens, 1) - 1
        layers = len(language_model.layers)
        heads = {layer.heads for layer in language_model.layers}
        if len(heads) != 1:
            raise UnsupportedModelError(f"layers with different numbers of heads ({sorted(heads)}) are not diagnosed")
        device = next(language_model.module.parameters()).device
        dtype = torch.promote_types(next(language_model.module.parameters()).dtype, torch.float32)
        self.context = torch.as_tensor(layout.context, device=device)
        nothing = torch.zeros(slots, dtype=torch.bool, device=device)
        self.in_context = nothing.index_fill(0, self.context, True)
        visual = nothing.index_fill(0, torch.as_tensor(layout.visual, device=device), True)
        self.places = {layer.index: place for place, layer in enumerate(language_model.layers)}
        self.seen = [0] * layers
        self._parameters = list(inspect.signature(language_model.module.forward).parameters)
        self._offset, self._forwards, self._cache, self._own = 0, 0, None, True

        def empty(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=dtype, device=device)

        (each,) = heads
        self.found = Collected(
            **{name: empty(layers, each, slots) for name in ("image", "kept", "own", "lse", "entropy", "received")},
            **{name: empty(layers, slots) for name in ("uniform", "expected")},
            value_norm=empty(layers, each, slots),
            maps=empty(layers, max(answer_tokens, 1), len(self.context)),
            flow=empty(layers + 1, len(SOURCES), slots),
        )
        text = torch.arange(slots, device=device) < layout.prompt_slots
        for source, own in enumerate((visual, text & ~visual, ~text)):
            self.found.flow[0, source] = own.to(dtype)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Collect in a ``with`` block in which one call of ``generate`` is made."""
        hook = self.language_model.module.register_forward_pre_hook(self._before, with_kwargs=True)
        try:
            with watched(self.language_model, self._see):
                yield
        finally:
            hook.remove()

    def finished(self) -> Collected:
        """Give what was collected.

        Raises
        ------
        UnsupportedModelError
            If rows of a layer were not seen.
        """
        slots = self.found.kept.shape[-1]
        if lacking := [index for index, place in self.places.items() if self.seen[place] != slots]:
            raise UnsupportedModelError(
                f"layers {lacking} of {type(self.language_model.module).__name__} did not show all {slots} rows of "
                "their attention, so they cannot be diagnosed"
            )
        return self.found

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs = {**dict(zip(self._parameters, args, strict=False)), **kwargs}
        cache = given_cache(inputs)
        if self._forwards == 0:
            self._cache = cache
            if (rows := new_rows(inputs)) is not None and rows[1] > self.prompt_slots:
                raise UnsupportedModelError(
                    f"{type(module).__name__} turns a prompt of {self.prompt_slots} tokens into {rows[1]} inside its "
                    "forward, so it is not known which of them are visual"
                )
        self._forwards += 1
        self._own = cache is self._cache  # a second pass beside the model's own has another cache
        first = self.language_model.layers[0].index
        self._offset = 0 if cache is None else int(cache.get_seq_length(first))

    def _see(self, call: LayerCall) -> None:
        place = self.places[call.index]
        queries, keys = call.query.shape[2], call.key.shape[2]
        total = self._offset + queries
        if not self._own or total <= self.seen[place]:
            return
        # rows that are fed again, and columns that a window has dropped, are left out
        fresh, first = max(0, self.seen[place] - self._offset), max(0, total - keys)
        self.seen[place] = total
        norms = call.value[0, :, : total - first].to(self.found.kept.dtype).norm(dim=-1)
        groups = self.found.value_norm.shape[1] // len(norms)
        self.found.value_norm[place, :, first:total] = norms.repeat_interleave(groups, dim=0)
        step = max(1, ELEMENTS // (call.query.shape[1] * keys))
        for start in range(fresh, queries, step):
            self._add(call, place, start, min(start + step, queries), first, total)

    def _add(self, call: LayerCall, place: int, start: int, stop: int, first: int, total: int) -> None:
        """Add rows ``start`` to ``stop`` of a call whose columns are slots ``first`` to ``total``."""
        found, dtype = self.found, self.found.kept.dtype
        rows = slice(self._offset + start, self._offset + stop)
        weights, kept, own, lse = _rows(call, start, stop, dtype)
        weights = weights[..., : total - first]
        allowed = call.allowed(start, stop)[0, ..., : total - first].to(dtype).mean(0)
        allowed = allowed / allowed.sum(-1, keepdim=True)
        context = self.in_context[first:total].to(dtype)
        shares = weights / kept.unsqueeze(-1)
        found.image[place, :, rows] = weights @ context
        found.uniform[place, rows] = allowed @ context
        found.kept[place, :, rows] = kept
        found.own[place, :, rows] = own
        found.lse[place, :, rows] = lse
        found.entropy[place, :, rows] = torch.special.entr(shares).sum(-1)
        found.received[place, :, first:total] += weights.sum(1)
        found.expected[place, first:total] += allowed.sum(0)
        mean = weights.mean(0)
        carried = found.flow[place, :, rows] + found.flow[place, :, first:total] @ mean.T
        found.flow[place + 1, :, rows] = carried / (1 + mean.sum(-1))
        predicting = max(rows.start, self.prompt_slots - 1)
        if predicting < rows.stop:
            inside = self.context >= first
            steps = slice(predicting - self.prompt_slots + 1, rows.stop - self.prompt_slots + 1)
            found.maps[place, steps][:, inside] = mean[predicting - rows.start :, self.context[inside] - first]


def _rows(call: LayerCall, start: int, stop: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights ``(heads, rows, keys)`` as they were applied; their sums, these without registers, and ``log Z``.

    All but the first are ``(heads, rows)``.
    """
    scored = None if call.edited else call.scored(start, stop)
    if call.weights is not None:
        weights = call.weights[0, :, start:stop].to(dtype)
        kept = weights.sum(-1)
    else:
        assert scored is not None
        kept = call.kept(start, stop, scored.lse)[0].to(dtype)
        weights = scored.weights[0].to(dtype) * kept.unsqueeze(-1)
    if scored is None:
        unknown = torch.full_like(kept, torch.nan)
        return weights, kept, torch.ones_like(kept) if call.sink is None else unknown, unknown
    lse = scored.lse[0].to(dtype)
    if call.sink is None:
        return weights, kept, torch.ones_like(kept), lse
    sink = sink_of_rows(call.sink, scored.lse)
    sink = sink[0].to(dtype) if call.sink.dim() == 1 else sink[0, :, start:stop].to(dtype)
    return weights, kept, torch.sigmoid(lse - sink), torch.logaddexp(lse, sink)
