"""FarSight: attention registers in the upper triangle of the causal mask (Tang et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import AttentionLayer, LayerCall, Tap, chosen_layers, locate, tapped, visual_token_mask
from farsight.calibration import Calibration
from farsight.call import Call, Forward, calls_of, forwards
from farsight.checkpointing import recomputed
from farsight.errors import SettingError, UnsupportedModelError
from farsight.horizon import rows_for_batch, slots_ahead, used_ahead
from farsight.method import Method
from farsight.registers import LEAST_SIGMA, PAPER_SIGMA, alibi_slopes, log_profile_mass, register_gate
from farsight.setting_checks import (
    at_least,
    check_by_head,
    check_chosen,
    check_number,
    check_positive,
    of_heads,
    one_of,
    setting,
    whole,
)

_NOTHING = -1e30
"""Stands for log 0: finite, so that a row without keys and without registers has a gate and not NaN"""

ROWS = ("all", "generated", "text")

Strength = float | tuple[float, ...] | tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class FarSight(Method):
    """Registers in every future slot of the causal mask take part in the softmax and are then erased (eq. 1-4).

    A row keeps ``Z / (Z + R)`` of its attention, where ``R`` is the mass of its registers: one gate per row on the
    attention kernel that the model already uses. `docs/method.md` has the derivation.

    Parameters
    ----------
    sigma
        Decay of the registers per slot, > 0; the paper's ``log_1024(256) = 0.8``.
    horizon
        Length that the causal mask is taken to have. ``"generation"``: prompt and ``max_new_tokens``, per sequence;
        an int; ``"infinite"``: a constant sink per head. Outside of ``generate``, ``"generation"`` is the length of
        the forward's own sequence.
    profile
        ``"linear"`` (the method), ``"none"``, or a number for registers without decay (the paper's ablation, figure 5).
    slopes
        ``"alibi"``: head ``h`` of ``H`` decays at ALiBi's ``2 ** (-8 * (h + 1) / H)`` instead of ``sigma``.
    score_scale
        Factor on the scores before the softmax (the pseudo-code's temperature).
    strength
        Factor on ``R``: a number, one per layer, or one per layer and head (`load` reads measured ones).
    layers, heads
        Which get registers; None for all.
    rows
        Which query rows own registers: ``"all"`` (the paper), ``"generated"`` (from the last prompt token on) or
        ``"text"`` (all but image and video tokens).

    Raises
    ------
    SettingError
        If a value has no meaning; the message names it.
    """

    name: ClassVar[str] = "farsight"
    paper: ClassVar[str] = "Tang et al., CVPR 2025, arXiv 2505.16652"
    changes: ClassVar[str] = "gate"

    sigma: float = setting(PAPER_SIGMA, check_positive, at_least(LEAST_SIGMA))
    horizon: int | str = setting("generation", one_of("generation", "infinite") | whole(1))
    profile: str | float = setting("linear", one_of("linear", "none") | check_number)
    slopes: str | None = setting(None, one_of(None, "alibi"))
    score_scale: float = setting(1.0, check_positive)
    strength: Strength = setting(1.0, check_by_head)
    layers: tuple[int, ...] | None = setting(None, check_chosen)
    heads: tuple[int, ...] | None = setting(None, check_chosen)
    rows: str = setting("all", one_of(*ROWS))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon == "infinite" and not isinstance(self.profile, str):
            raise SettingError("horizon='infinite' gives registers without decay infinite mass: use a finite horizon")

    @classmethod
    def load(cls, path: str | Path) -> FarSight:
        """Take the strengths that ``farsight calibrate`` wrote, one for each head, and the settings that they are for.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another kind.
        """
        found = Calibration.read(path)
        return cls(sigma=found.sigma, rows=found.rows, strength=found.strength)

    @property
    def changed(self) -> tuple[str, ...]:
        """A factor on the scores is an edit of them."""
        return ("gate",) if self.score_scale == 1.0 else ("scores", "gate")

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Put the registers into the language model of ``model``; see `Method`."""
        language_model = locate(model, encoder_decoder=True)
        rows = Rows(self.horizon, self.rows, model, has_pictures=not language_model.behind_encoder)
        kind = Registers if self.score_scale == 1.0 else _ScaledRegisters
        every, layers = language_model.layers, chosen_layers(language_model, self.layers)
        taps = [(layer, kind(self, rows, layer, every.index(layer), len(every))) for layer in layers]
        with forwards(model, language_model), recomputed(model, language_model), tapped(language_model, taps):
            yield


class Registers(Tap):
    """The registers of one layer, number ``place`` of ``layers``: a gate ``Z / (Z + R)`` on each of its rows.

    Layers of equal settings share their mass, which is computed once per forward.
    """

    def __init__(self, method: FarSight, rows: Rows, layer: AttentionLayer, place: int, layers: int) -> None:
        self.method, self.rows = method, rows
        heads = range(layer.heads) if method.heads is None else method.heads
        if missing := sorted(set(heads) - set(range(layer.heads))):
            raise SettingError(f"heads {missing} are out of range: layer {layer.index} has 0 to {layer.heads - 1}")
        strength = of_heads("strength", method.strength, place, layers, layer.heads)
        kept = [factor if head in heads else 0.0 for head, factor in enumerate(strength)]
        alike = not isinstance(method.strength, tuple) and method.slopes is None and method.heads is None
        self.group = -1 if alike else layer.index
        self.log_strength = torch.tensor(kept[:1] if alike else kept, dtype=torch.float64).log().unsqueeze(1)
        self.sigma = torch.tensor([method.sigma]) if method.slopes is None else alibi_slopes(layer.heads).unsqueeze(1)

    def gate(self, lse: Tensor, call: LayerCall) -> Tensor:
        """``sigmoid(lse - log R)``; see `farsight.registers`."""
        return register_gate(lse, self.log_mass(call))

    def log_mass(self, call: LayerCall) -> Tensor:
        """``log R`` of this layer's rows, ``(batch or 1, heads or 1, queries)``, at least fp32."""
        forward = self.rows.forward_of(call)
        key = (self.group, call.query.device, id(call.mask) if call.may_look_ahead else 0)
        if (known := forward.memory.get(key)) is None:
            dtype = torch.promote_types(call.query.dtype, torch.float32)
            future = self.rows.ahead(forward).to(call.query.device, dtype).unsqueeze(1)
            used = self.rows.used(forward, call)
            used = None if used is None else torch.minimum(used.to(future), future)
            mass = log_profile_mass(future, self.method.profile, self.sigma.to(future), used)
            mass = (mass + self.log_strength.to(future)).clamp(min=_NOTHING)
            known = forward.memory[key] = mass, call.mask  # the mask is kept so that its id stays its own
        return known[0]


class _ScaledRegisters(Registers):
    """With the temperature of the paper's pseudo-code."""

    def edit(self, scores: Tensor, call: LayerCall) -> Tensor:
        return scores * self.method.score_scale


class Rows:
    """Register slots ahead of the rows of the forward in progress; found once per forward."""

    def __init__(self, horizon: int | str, rows: str, model: nn.Module, has_pictures: bool) -> None:
        self.horizon, self.rows, self.model, self.calls = horizon, rows, model, calls_of(model)
        self.asks_for_pictures = rows == "text" and has_pictures

    def forward_of(self, layer_call: LayerCall) -> Forward:
        """The forward that a layer's call is a part of."""
        forward, queries = self.calls.forward, layer_call.query.shape[2]
        if forward is None or forward.queries != queries:
            raise UnsupportedModelError(
                f"layer {layer_call.index} was called with {queries} rows outside of a forward of its language model, "
                "so the place of these rows in the sequence is not known"
            )
        return forward

    def ahead(self, forward: Forward) -> Tensor:
        """Slots ahead of each row, ``(batch or 1, queries)``."""
        if (known := forward.memory.get("ahead")) is None:
            call, offset = forward.call, forward.offset
            if self.horizon == "generation" and call.new_tokens is None and (self.rows == "generated" or more(offset)):
                raise SettingError(
                    "a forward outside of a generate call of the model that the method is on for does not say how long "
                    "the text will be, so its newest row would have no registers: put the method on the model whose "
                    "generate is called, or set horizon='infinite' or a number of tokens"
                )
            if forward.given != forward.queries and (self.horizon, self.rows) != ("infinite", "all"):
                raise UnsupportedModelError(
                    f"{type(self.model).__name__} turns {forward.given} tokens into {forward.queries} inside its "
                    "forward, so their places are not known: use horizon='infinite' and rows='all'"
                )
            prompt, visual = call.positions(forward.device), self._visual(call)
            prompt = rows_for_batch(prompt, forward.batch, call.part)
            if visual is not None:
                visual = rows_for_batch(visual.to(forward.device), forward.batch, call.part)
            slots = offset - call.start + torch.arange(forward.queries, device=forward.device)
            known = slots_ahead(self.horizon, self.rows, prompt, call.new_tokens, visual, slots)
            forward.memory["ahead"] = known
        return known

    def _visual(self, call: Call) -> Tensor | None:
        """Image tokens of the prompts, ``(batch, prompt slots)``, where they matter."""
        if not self.asks_for_pictures:
            return None
        if call.ids is None or call.ids.shape[1] != call.prompt_slots:
            raise SettingError(
                "rows='text' must see the whole prompt's tokens: pass input_ids, not inputs_embeds alone"
            )
        return visual_token_mask(self.model, call.ids, "rows='text'")

    def used(self, forward: Forward, call: LayerCall) -> Tensor | None:
        """How many slots ahead of each row its own mask already allows, ``(batch, 1 or heads, queries)``, if any."""
        if not call.may_look_ahead:
            return None
        if (key := ("used", id(call.mask))) not in forward.memory:
            queries, keys = call.query.shape[2], call.key.shape[2]
            forward.memory[key] = used_ahead(call.allowed(0, queries), min(keys - queries, int(forward.offset)))
        used: Tensor | None = forward.memory[key]
        return used


def more(offset: int | Tensor) -> bool:
    """Whether a forward goes on from a cache; a compiled one does not say."""
    return offset > 0 if isinstance(offset, int) else not torch.compiler.is_compiling() and int(offset) > 0
