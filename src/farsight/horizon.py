"""How far the causal mask reaches: the number of register slots ahead of every row, for each call of a model.

In `generate` the horizon is fixed for the whole call, per sequence (`GenerationCall`); in a plain forward it is the
length of the forward's own sequence (`own_future`). `HorizonHooks` tells the attention layers, through `Rows`, which
rows a forward computes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from farsight.attention import Rows
from farsight.errors import SettingError, UnsupportedModelError
from farsight.language_model import LanguageModel, new_rows, rows_for_batch, visual_token_mask
from farsight.registers import token_positions

Horizon = int | str


@dataclass(kw_only=True)
class GenerationCall:
    """What is known when a call of ``generate`` starts.

    ``future`` holds the register slots ahead of each slot of the sequence to be, ``(batch or 1, slots)``; None under
    the "current" horizon, where only the forward knows. ``keep`` says which slots own registers; None for all.
    ``measured`` is for registers that absorb a wanted share: the slots ahead of the prompt's rows on which their factor
    is measured, ``(batch or 1, prompt slots)``, 0 for rows that do not count. ``log_factors`` keeps what was measured,
    for each cache and layer: a second pass beside the model's own has a prompt, and a cache, of its own.
    """

    prompt_slots: int
    future: Tensor | None
    keep: Tensor | None
    visual: Tensor | None = None
    prompt_tail: Tensor | None = None
    recomputable: bool = True
    started: bool = False
    measured: Tensor | None = None
    log_factors: dict[int | None, dict[int, Tensor]] = field(default_factory=dict)

    def rows_ahead(self, offset: int | Tensor, queries: int, batch: int, device: torch.device) -> Tensor:
        """Register slots ahead of the rows at slots ``offset`` to ``offset + queries``."""
        if self.future is not None and isinstance(offset, int) and offset + queries <= self.future.shape[-1]:
            return rows_for_batch(self.future[:, offset : offset + queries], batch)
        slots = offset + torch.arange(queries, device=device)
        if self.future is not None:
            return rows_for_batch(_at(self.future, slots), batch)
        # the rows of a chunked prefill see the whole prompt ahead, as one forward over it would
        ahead = (max(self.prompt_slots, int(offset) + queries) - 1 - slots).unsqueeze(0)
        if self.keep is not None:
            ahead = torch.where(_at(self.keep, slots), ahead, 0)
        return rows_for_batch(ahead.to(torch.float32), batch)

    def measured_rows(self, offset: int | Tensor, queries: int, batch: int) -> Tensor | None:
        """Slots ahead of the rows to be measured among those of a forward; None for a forward that goes on."""
        if self.measured is None or (self.started and not (isinstance(offset, int) and offset == 0)):
            return None
        first = int(offset)
        part = self.measured[:, first : first + queries]
        return rows_for_batch(nn.functional.pad(part, (0, queries - part.shape[1])), batch)

    def factors_of(self, cache: object) -> dict[int, Tensor]:
        """What was measured for a cache; a copy of a cache has that of the call's first."""
        key = None if cache is None else id(cache)
        return self.log_factors.get(key) or next(iter(self.log_factors.values()), {})


def _at(table: Tensor, slots: Tensor) -> Tensor:
    """Columns of a table; slots past its end have the value of its last column."""
    return table.to(slots.device).index_select(-1, slots.clamp(max=table.shape[-1] - 1))


def _future(positions: Tensor, lengths: Tensor, horizon: Horizon) -> Tensor:
    """Slots between each token and the horizon; ``lengths`` (batch, 1) is what a horizon given by name measures."""
    if horizon == "infinite":
        return torch.full_like(positions, math.inf, dtype=torch.float32)
    end = lengths if isinstance(horizon, str) else torch.full_like(lengths, horizon)
    return (end - 1 - positions).clamp(min=0).to(torch.float32)


def own_future(
    horizon: Horizon,
    rows: str,
    offset: int | Tensor,
    queries: int,
    real: Tensor | None,
    visual: Tensor | None,
    device: torch.device,
) -> Tensor:
    """Register slots ahead of the rows of a forward outside of ``generate``: its own sequence is the horizon.

    ``real`` marks the real tokens, ``(batch, slots so far)``; None if all are. ``visual`` marks image tokens among
    the rows, ``(batch, queries)``. Under ``rows="generated"`` only the last row owns registers.
    """
    slots = offset + torch.arange(queries, device=device)
    if real is None:
        positions, lengths = slots.unsqueeze(0), (slots[-1:] + 1).unsqueeze(0)
    else:
        total = int(offset) + queries
        if real.shape[1] < total:
            raise SettingError(f"attention_mask covers {real.shape[1]} slots, but the sequence has {total}")
        real = real[:, :total]
        positions = token_positions(real)[:, int(offset) :]
        lengths = real.ne(0).sum(-1, keepdim=True)
    future = _future(positions, lengths, horizon)
    if rows == "generated":
        future = torch.where(positions == lengths - 1, future, 0.0)
    if rows == "text" and visual is not None:
        future = torch.where(visual, 0.0, future)
    return future


def generation_call(
    horizon: Horizon,
    rows: str,
    attention_mask: Tensor | None,
    prompt_slots: int,
    new_tokens: int,
    visual: Tensor | None,
    device: torch.device,
) -> GenerationCall:
    """Lay out a call of ``generate``: prompts of ``prompt_slots`` slots, padded or not, and ``new_tokens`` more.

    ``attention_mask`` is ``(batch, prompt_slots)``, None if every token is real; ``visual`` marks image tokens.
    """
    slots = prompt_slots + max(new_tokens, 1)
    if attention_mask is None:
        positions = torch.arange(slots, device=device).unsqueeze(0)
        real = torch.full((1, 1), prompt_slots, device=device)
    else:
        padding = (0, slots - prompt_slots)
        positions = token_positions(nn.functional.pad(attention_mask.to(device), padding, value=1))
        real = attention_mask.ne(0).sum(-1, keepdim=True).to(device)
    keep = None
    if rows == "generated":
        keep = positions >= real - 1
    elif rows == "text" and visual is not None:
        keep = ~nn.functional.pad(visual.to(device), (0, slots - prompt_slots))
        positions = rows_for_batch(positions, keep.shape[0]) if keep.shape[0] >= positions.shape[0] else positions
        keep = rows_for_batch(keep, positions.shape[0])
    future = None
    if horizon == "current":
        ahead = _future(positions, real, horizon)
    else:
        ahead = _future(positions, real + new_tokens, horizon)
        future = ahead if keep is None else torch.where(keep, ahead, 0.0)
    counted = ahead if rows == "generated" or keep is None else torch.where(keep, ahead, 0.0)
    measured = torch.where(positions >= 0, counted, 0.0)[:, :prompt_slots]
    return GenerationCall(prompt_slots=prompt_slots, future=future, keep=keep, visual=visual, measured=measured)


@dataclass(kw_only=True)
class HorizonHooks:
    """Forward pre-hooks that tell the attention layers which rows a forward computes."""

    horizon: Horizon
    rows_with_registers: str
    model: nn.Module
    language_model: LanguageModel
    rows: Rows
    chosen: frozenset[int]
    window: int | None
    absorb: float | None = None

    def __post_init__(self) -> None:
        self._decoder = self.language_model.module
        self._parameters = list(inspect.signature(self._decoder.forward).parameters)
        self._outer_parameters = list(inspect.signature(self.model.forward).parameters)

    @contextmanager
    def installed(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self._decoder is not self.model:
                hook = self.model.register_forward_pre_hook(self._before_model, with_kwargs=True)
                stack.callback(hook.remove)
            hook = self._decoder.register_forward_pre_hook(self._before_decoder, with_kwargs=True)
            stack.callback(hook.remove)
            check = self._decoder.register_forward_hook(self._after_decoder)
            stack.callback(check.remove)
            yield

    def _before_model(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.rows.call is None:
            inputs = {**dict(zip(self._outer_parameters, args, strict=False)), **kwargs}
            prefix = "decoder_" if self.language_model.behind_encoder else ""
            self.rows.outer = {name: inputs.get(prefix + name) for name in ("input_ids", "attention_mask")}

    def _before_decoder(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        inputs = {**dict(zip(self._parameters, args, strict=False)), **kwargs} if args else kwargs
        if (found := new_rows(inputs)) is None:
            self.rows.future = None
            return None
        batch, queries, device = found
        past = inputs.get("past_key_values")
        first = self.language_model.layers[0].index
        offset = 0 if past is None else past.get_seq_length(first)
        call: GenerationCall | None = self.rows.call
        if call is None:
            own = self._own_future(self.rows_with_registers, inputs, offset, queries, device)
            self.rows.begin(own, offset, self._measured_alone(inputs, offset, queries, device, own))
            self.rows.outer = None
            return None
        if not call.started and queries > call.prompt_slots:
            raise UnsupportedModelError(
                f"{type(self.model).__name__} turns a prompt of {call.prompt_slots} tokens into {queries} inside its "
                "forward, so the horizon of the call is not known: use horizon='infinite'"
            )
        measured = call.measured_rows(offset, queries, batch) if self.absorb is not None else None
        call.started = True
        factors = (
            call.log_factors.setdefault(id(past) if past is not None else None, {}) if measured is not None else None
        )
        if factors is None and self.absorb is not None:
            factors = call.factors_of(past)
        embeds = inputs.get("inputs_embeds")
        if call.future is None and past is not None and isinstance(embeds, Tensor):
            embeds = self._prompt_restored(call, embeds, int(offset), inputs)
        self.rows.begin(call.rows_ahead(offset, queries, batch, device), offset, measured, factors)
        if embeds is inputs.get("inputs_embeds"):
            return None
        return (), {**inputs, "inputs_embeds": embeds}

    def _prompt_restored(self, call: GenerationCall, embeds: Tensor, offset: int, inputs: Mapping[str, Any]) -> Tensor:
        """Prompt rows that are fed again get the embeddings that they had: an image is encoded only once.

        ``embeds`` is ``(batch, queries, hidden)``; the last ``window`` rows of the prompt are kept for this.
        """
        if offset + embeds.shape[1] <= call.prompt_slots:
            tail = embeds if call.prompt_tail is None else torch.cat((call.prompt_tail, embeds), dim=1)
            call.prompt_tail = tail if self.window is None else tail[:, max(0, tail.shape[1] - self.window) :]
            call.recomputable &= inputs.get("deepstack_visual_embeds") is None
            return embeds
        call.recomputable &= all(used is None for _, used in self.rows.used_slots.values())
        again = call.prompt_slots - offset
        if again <= 0 or call.prompt_tail is None:
            return embeds
        if not call.recomputable and (call.visual is None or bool(call.visual[:, offset:].any())):
            raise UnsupportedModelError(
                f"horizon='current' must feed image tokens again, and {type(self.model).__name__} treats them "
                f"specially inside its layers: use horizon='generation', or put {self.window} tokens after the image"
            )
        return torch.cat((call.prompt_tail[:, -again:], embeds[:, again:]), dim=1)

    def _measured_alone(
        self, inputs: Mapping[str, Any], offset: int | Tensor, queries: int, device: torch.device, own: Tensor
    ) -> Tensor | None:
        """Slots ahead of the rows that a forward outside of ``generate`` is measured on: all of its real ones."""
        if self.absorb is None:
            return None
        if int(offset) > 0:
            raise SettingError(
                "absorb measures a prompt, which a forward that goes on from a cache does not hold: use generate, or "
                "set strength=... instead"
            )
        return (
            self._own_future("all", inputs, offset, queries, device) if self.rows_with_registers == "generated" else own
        )

    def _own_future(
        self, rows: str, inputs: Mapping[str, Any], offset: int | Tensor, queries: int, device: torch.device
    ) -> Tensor:
        outer = self.rows.outer or {}
        real = _real_tokens(outer.get("attention_mask"), inputs.get("attention_mask"))
        visual = None
        if rows == "text" and not self.language_model.behind_encoder:
            ids = outer.get("input_ids")
            ids = inputs.get("input_ids") if ids is None else ids
            if ids is None:
                raise SettingError("rows='text' must see the prompt's tokens: pass input_ids, not inputs_embeds alone")
            visual = visual_token_mask(self.model, ids)
        return own_future(self.horizon, rows, offset, queries, real, visual, device)

    def _after_decoder(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """After a thread's first forward: registers that no attention function has read are no registers."""
        reached = self.rows.reached
        if reached is None or torch.compiler.is_compiling():
            return
        self.rows.reached = None
        if missed := sorted(self.chosen - reached):
            raise UnsupportedModelError(
                f"layers {missed} of {type(self._decoder).__name__} did not run the attention function that carries "
                "the registers; choose others with layers=..."
            )


def _real_tokens(*masks: Any) -> Tensor | None:
    """The first mask that says which slots hold real tokens, ``(batch, slots)``; None if none does."""
    for mask in masks:
        if isinstance(mask, Mapping):
            mask = mask.get("full_attention", next(iter(mask.values()), None))
        if not isinstance(mask, Tensor):
            continue
        if mask.dim() == 2:
            return mask
        if mask.dim() == 4:
            allowed = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
            return allowed.flatten(1, 2).any(1)
    return None
