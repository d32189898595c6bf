"""FarSight: attention registers in the upper triangle of the causal mask (Tang et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import (
    AttentionLayer,
    LanguageModel,
    LayerCall,
    Tap,
    chosen_layers,
    locate,
    tapped,
    visual_token_mask,
)
from farsight.calibration import read_calibration
from farsight.call import Call, Forward, calls_of, forwards
from farsight.errors import SettingError, UnsupportedModelError
from farsight.horizon import allowed_in, at_slots, rows_for_batch, slots_ahead, used_ahead
from farsight.method import Method
from farsight.registers import LEAST_SIGMA, PAPER_SIGMA, alibi_slopes, log_profile_mass, register_gate
from farsight.setting_checks import (
    as_tuples,
    check_by_head,
    check_chosen,
    check_positive,
    is_number,
    is_whole,
    of_heads,
    shown,
)

_HORIZONS = ("generation", "infinite")
_PROFILES = ("linear", "none")
_ROWS = ("all", "generated", "text")

_NOTHING = -1e30
"""Stands for log 0: finite, so that a row without keys and without registers has a gate and not NaN"""

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
        ``"linear"`` (the method), ``"none"``, or a number for constant registers (the paper's ablation, figure 5).
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

    sigma: float = PAPER_SIGMA
    horizon: int | str = "generation"
    profile: str | float = "linear"
    slopes: str | None = None
    score_scale: float = 1.0
    strength: Strength = 1.0
    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    rows: str = "all"

    def __post_init__(self) -> None:
        for field in ("layers", "heads", "strength"):
            object.__setattr__(self, field, as_tuples(getattr(self, field)))
        for field in ("sigma", "score_scale"):
            check_positive(field, getattr(self, field))
        _require(self.sigma >= LEAST_SIGMA, f"sigma must be at least {LEAST_SIGMA}, got {shown(self.sigma)}")
        for field in ("layers", "heads"):
            check_chosen(field, getattr(self, field))
        check_by_head("strength", self.strength)
        _require(
            self.horizon in _HORIZONS if isinstance(self.horizon, str) else is_whole(self.horizon, 1),
            f"horizon must be one of {', '.join(_HORIZONS)} or a whole number > 0, got {shown(self.horizon)}",
        )
        _require(
            self.profile in _PROFILES if isinstance(self.profile, str) else is_number(self.profile),
            f"profile must be one of {', '.join(_PROFILES)} or a finite number, got {shown(self.profile)}",
        )
        _require(self.slopes in (None, "alibi"), f"slopes must be None or 'alibi', got {shown(self.slopes)}")
        _require(self.rows in _ROWS, f"rows must be one of {', '.join(_ROWS)}, got {shown(self.rows)}")
        _require(
            not (self.horizon == "infinite" and not isinstance(self.profile, str)),
            "constant registers under horizon='infinite' have infinite mass: use a finite horizon",
        )

    @classmethod
    def load(cls, path: str | Path) -> FarSight:
        """Take the strengths that ``farsight calibrate`` wrote, one for each head, and the settings that they are for.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another kind.
        """
        found = read_calibration(path)
        return cls(sigma=found.sigma, rows=found.rows, strength=found.strength)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Put the registers into the language model of ``model``; see `Method`."""
        language_model = locate(model, encoder_decoder=True)
        rows = _Rows(self, model, language_model)
        layers = chosen_layers(language_model, self.layers)
        places = {layer.index: place for place, layer in enumerate(language_model.layers)}
        taps: list[tuple[AttentionLayer, Tap]] = [
            (layer, Registers(self, rows, self._log_strength(layer, places[layer.index], len(places)), layer))
            for layer in layers
        ]
        if self.score_scale != 1.0:
            taps += [(layer, _Scaled(self.score_scale)) for layer in layers]
        with forwards(model, language_model), tapped(language_model, taps):
            yield

    def _log_strength(self, layer: AttentionLayer, place: int, layers: int) -> Tensor | float:
        """Log of the factor on ``R``: 0, or ``(heads, 1)`` where heads differ or a layer has its own."""
        if self.strength == 1.0 and self.heads is None:
            return 0.0
        heads = range(layer.heads) if self.heads is None else self.heads
        if missing := sorted(set(heads) - set(range(layer.heads))):
            raise SettingError(f"heads {missing} are out of range: layer {layer.index} has 0 to {layer.heads - 1}")
        strength = of_heads("strength", self.strength, place, layers, layer.heads)
        kept = [factor if head in heads else 0.0 for head, factor in enumerate(strength)]
        return torch.tensor(kept, dtype=torch.float64).log().unsqueeze(1)


class Registers(Tap):
    """The registers of one layer: a gate ``Z / (Z + R)`` on each of its rows.

    Layers of equal settings share their mass, which is computed once per forward.
    """

    def __init__(self, method: FarSight, rows: _Rows, log_strength: Tensor | float, layer: AttentionLayer) -> None:
        self.rows, self.log_strength, self.profile = rows, log_strength, method.profile
        self.sigma = method.sigma if method.slopes is None else alibi_slopes(layer.heads).unsqueeze(1)
        alone = isinstance(method.strength, tuple) or method.slopes is not None or method.heads is not None
        self.group = layer.index if alone else -1

    def gate(self, lse: Tensor, call: LayerCall) -> Tensor:
        """``sigmoid(lse - log R)``; see `farsight.registers`."""
        return register_gate(lse, self.log_mass(call))

    def log_mass(self, call: LayerCall) -> Tensor:
        """``log R`` of this layer's rows, ``(batch or 1, heads or 1, queries)``, at least fp32."""
        forward, ahead = self.rows.ahead(call)
        used = self.rows.used(forward, call)
        key = ("mass", self.group, call.query.device, 0 if used is None else id(used))
        if (mass := forward.memory.get(key)) is None:
            dtype = torch.promote_types(call.query.dtype, torch.float32)
            future = ahead.to(call.query.device, dtype).unsqueeze(1)
            sigma, strength = (x.to(future) if isinstance(x, Tensor) else x for x in (self.sigma, self.log_strength))
            attended = None if used is None else torch.minimum(used.to(future), future)
            mass = log_profile_mass(future, self.profile, sigma, attended) + strength
            mass = forward.memory[key] = mass.clamp(min=_NOTHING)
        return mass


class _Scaled(Tap):
    """The temperature of the paper's pseudo-code."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def edit(self, scores: Tensor, call: LayerCall) -> Tensor:
        return scores * self.scale


class _Rows:
    """Register slots ahead of the rows of the forward in progress."""

    def __init__(self, method: FarSight, model: nn.Module, language_model: LanguageModel) -> None:
        self.horizon, self.rows = method.horizon, method.rows
        self.model, self.language_model, self.calls = model, language_model, calls_of(model)

    def ahead(self, layer_call: LayerCall) -> tuple[Forward, Tensor]:
        """The forward, and the slots ahead of its rows, ``(batch or 1, queries)``."""
        forward, call = self.calls.forward, self.calls.call
        if forward is None or forward.queries != layer_call.query.shape[2]:
            raise UnsupportedModelError(
                f"layer {layer_call.index} was called with {layer_call.query.shape[2]} rows outside of a forward of "
                "its language model, so the place of these rows in the sequence is not known"
            )
        if (ahead := forward.memory.get("ahead")) is None:
            known = call is not None and call.prepared
            ahead = self._in_call(call, forward) if known and call is not None else self._alone(forward)
            forward.memory["ahead"] = ahead
        return forward, ahead

    def _in_call(self, call: Call, forward: Forward) -> Tensor:
        if not call.started and forward.queries > call.prompt_slots:
            raise UnsupportedModelError(
                f"{type(self.model).__name__} turns a prompt of {call.prompt_slots} tokens into {forward.queries} "
                "inside its forward, so the horizon of the call is not known: use horizon='infinite'"
            )
        call.started = True
        if (table := call.memory.get("slots")) is None:
            visual = self._visual(call.ids, call.prompt_slots)
            table = slots_ahead(
                self.horizon, self.rows, call.mask, call.prompt_slots, call.new_tokens, visual, call.device
            )
            call.memory["slots"] = table
        return rows_for_batch(at_slots(table, forward.offset, forward.queries), forward.batch, call.part)

    def _alone(self, forward: Forward) -> Tensor:
        """Outside of ``generate`` a forward's own sequence is what a horizon by name measures."""
        offset, queries = forward.offset, forward.queries
        if self.horizon == "generation" and (self.rows == "generated" or _is_more(offset)):
            raise SettingError(
                "a forward outside of a generate call of the model that the method is on for does not say how long the "
                "text will be, so its newest row would have no registers: put the method on the model whose generate "
                "is called, or set horizon='infinite' or a number of tokens"
            )
        mask = _real_tokens(forward.outer.get(self._name("attention_mask")), forward.inputs.get("attention_mask"))
        ids = forward.outer.get(self._name("input_ids"))
        visual = self._visual(forward.inputs.get("input_ids") if ids is None else ids, queries)
        if mask is None:  # slots count from the first row, also where only a device knows which it is
            horizon = self.horizon if isinstance(self.horizon, str) else self.horizon - offset
            table = slots_ahead(horizon, self.rows, None, queries, 0, visual, forward.device)
            return rows_for_batch(table[:, :queries], forward.batch)
        first = int(offset)
        if mask.shape[1] < first + queries:
            raise SettingError(f"attention_mask covers {mask.shape[1]} slots, but the sequence has {first + queries}")
        visual = None if visual is None else torch.nn.functional.pad(visual, (first, 0))
        mask = mask[:, : first + queries]
        table = slots_ahead(self.horizon, self.rows, mask, first + queries, 0, visual, forward.device)
        return rows_for_batch(at_slots(table, first, queries), forward.batch)

    def _name(self, argument: str) -> str:
        return f"decoder_{argument}" if self.language_model.behind_encoder else argument

    def _visual(self, ids: Tensor | None, slots: int) -> Tensor | None:
        """Image tokens of a prompt, ``(batch, slots)``, where they matter (an encoder-decoder has none here)."""
        if self.rows != "text" or self.language_model.behind_encoder:
            return None
        if ids is None or ids.shape[1] != slots:
            raise SettingError(
                "rows='text' must see the whole prompt's tokens: pass input_ids, not inputs_embeds alone"
            )
        return visual_token_mask(self.model, ids)

    def used(self, forward: Forward, call: LayerCall) -> Tensor | None:
        """How many slots ahead of each row its own mask already allows, ``(batch, 1 or heads, queries)``.

        None for none. Found once per mask of a forward. (A single row is the newest and has nothing ahead.)
        """
        queries, keys, mask = call.query.shape[2], call.key.shape[2], call.mask
        if queries == 1 or (mask is None and call.is_causal):
            return None
        key = ("used", id(mask))
        if key not in forward.memory:
            first = min(keys - queries, int(forward.offset))
            used: Tensor | None = None
            if mask is None:
                used = torch.arange(keys - first - 1, keys - first - 1 - queries, -1, device=call.query.device)
                used = used.view(1, 1, -1)
            elif not isinstance(mask, Tensor) or mask.dim() == 4:
                used = used_ahead(call.allowed(0, queries), first)
            forward.memory[key] = mask, used  # the mask is kept so that its id stays its own
        found: Tensor | None = forward.memory[key][1]
        return found


def _is_more(offset: int | Tensor) -> bool:
    """Whether a forward goes on from a cache; a compiled one does not say."""
    return offset > 0 if isinstance(offset, int) else not torch.compiler.is_compiling() and int(offset) > 0


def _real_tokens(*masks: Any) -> Tensor | None:
    """The first mask that says which slots hold real tokens, ``(batch, slots)``; None if none does."""
    for mask in masks:
        if isinstance(mask, Mapping):
            mask = mask.get("full_attention", next(iter(mask.values()), None))
        if isinstance(mask, Tensor) and mask.dim() == 2:
            return mask
        if isinstance(mask, Tensor) and mask.dim() == 4:
            return allowed_in(mask).flatten(1, 2).any(1)
    return None


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingError(message)
