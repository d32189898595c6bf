"""FarSight: attention registers in the upper triangle of the causal mask (Tang et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import LayerRegisters, Rows, registers_in
from farsight.calibration import check_share, read_calibration
from farsight.errors import SettingError, UnsupportedModelError
from farsight.generation import GenerationHooks
from farsight.horizon import HorizonHooks
from farsight.language_model import AttentionLayer, LanguageModel, locate
from farsight.method import Method
from farsight.registers import PAPER_SIGMA, alibi_slopes, current_window
from farsight.setting_checks import as_tuples, check_by_head, check_chosen, check_positive, is_number, is_whole

_HORIZONS = ("generation", "infinite", "current")
_PROFILES = ("linear", "none")
_ROWS = ("all", "generated", "text")

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
        an int; ``"infinite"``: a constant sink per head; ``"current"``: the length so far at every step, as the
        released code has it. Outside of ``generate`` a horizon by name is the length of the forward's own sequence.
    profile
        ``"linear"`` (the method), ``"none"``, or a number for constant registers (the paper's ablation, figure 5).
    slopes
        ``"alibi"``: head ``h`` of ``H`` decays at ALiBi's ``2 ** (-8 * (h + 1) / H)`` instead of ``sigma``.
    score_scale
        Factor on the scores before the softmax (the pseudo-code's temperature).
    strength
        Factor on ``R``: a number, one per layer, or one per layer and head (`load` reads measured ones).
    absorb
        In (0, 1), instead of ``strength``: each head's registers get the factor with which the rows of the prompt
        give them this share of their attention, on average, measured once per ``generate`` call from the ``log Z`` of
        the prompt's own prefill. Our own rule, not the paper's. ``sigma`` keeps its meaning: how the registers of the
        last rows before the horizon run out.
    layers, heads
        Which get registers; None for all.
    rows
        Which query rows own registers: ``"all"`` (the paper), ``"generated"`` (from the last prompt token on) or
        ``"text"`` (all but image and video tokens).
    tolerance
        Under ``"current"``: how much register mass an old row in the cache may lack of its limit.

    Raises
    ------
    SettingError
        If a value has no meaning; the message names it.
    """

    name: ClassVar[str] = "farsight"
    paper: ClassVar[str] = "Tang et al., CVPR 2025, arXiv 2505.16652"
    changes: ClassVar[str] = "attention"

    sigma: float = PAPER_SIGMA
    horizon: int | str = "generation"
    profile: str | float = "linear"
    slopes: str | None = None
    score_scale: float = 1.0
    strength: Strength = 1.0
    absorb: float | None = None
    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    rows: str = "all"
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        for field in ("layers", "heads", "strength"):
            object.__setattr__(self, field, as_tuples(getattr(self, field)))
        for field in ("sigma", "score_scale", "tolerance"):
            check_positive(field, getattr(self, field))
        for field in ("layers", "heads"):
            check_chosen(field, getattr(self, field))
        check_by_head("strength", self.strength)
        _require(
            self.horizon in _HORIZONS if isinstance(self.horizon, str) else is_whole(self.horizon, 1),
            f"horizon must be one of {', '.join(_HORIZONS)} or a whole number > 0, got {self.horizon!r}",
        )
        _require(
            self.profile in _PROFILES if isinstance(self.profile, str) else is_number(self.profile),
            f"profile must be one of {', '.join(_PROFILES)} or a finite number, got {self.profile!r}",
        )
        _require(self.slopes in (None, "alibi"), f"slopes must be None or 'alibi', got {self.slopes!r}")
        _require(self.rows in _ROWS, f"rows must be one of {', '.join(_ROWS)}, got {self.rows!r}")
        _require(
            not (self.horizon == "infinite" and not isinstance(self.profile, str)),
            "constant registers under horizon='infinite' have infinite mass: use a finite horizon",
        )
        self._check_absorb()

    def _check_absorb(self) -> None:
        if self.absorb is None:
            return
        check_share(self.absorb)
        _require(
            self.strength == 1.0,
            "absorb measures the strength of the registers: leave out strength, or leave out absorb",
        )
        _require(self.profile != "none", "profile='none' has no registers that could absorb anything: leave out absorb")

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
        if language_model.behind_encoder:
            self._check_behind_encoder()
        rows = Rows()
        registers = self._registers(language_model, rows)
        if not registers:
            yield
            return
        hooks = HorizonHooks(
            horizon=self.horizon,
            rows_with_registers=self.rows,
            model=model,
            language_model=language_model,
            rows=rows,
            chosen=frozenset(layer.index for layer in registers),
            window=self._window(language_model),
            absorb=self.absorb,
        )
        generation = GenerationHooks(
            horizon=self.horizon,
            rows_with_registers=self.rows,
            window=self._window(language_model),
            model=model,
            language_model=language_model,
            rows=rows,
            absorb=self.absorb,
        )
        with registers_in(language_model, registers), hooks.installed(), generation.installed():
            yield

    def _check_behind_encoder(self) -> None:
        """An encoder-decoder's prompt is in its encoder, and its cache holds more than the decoder's rows."""
        if self.absorb is not None:
            raise UnsupportedModelError(
                "absorb measures the prompt, which an encoder-decoder model has in its encoder: set strength=..."
            )
        if self.horizon == "current":
            raise UnsupportedModelError(
                "horizon='current' feeds old rows again, which the cache of an encoder-decoder model cannot take back: "
                "use horizon='generation'"
            )

    def _registers(self, language_model: LanguageModel, rows: Rows) -> list[LayerRegisters]:
        available = [layer.index for layer in language_model.layers]
        if missing := sorted(set(self.layers or ()) - set(available)):
            raise SettingError(f"layers {missing} are out of range: this model has {available[0]} to {available[-1]}")
        return [
            LayerRegisters(
                rows=rows,
                index=layer.index,
                group=0 if isinstance(self.strength, float | int) else layer.index,
                profile=self.profile,
                sigma=self.sigma if self.slopes is None else alibi_slopes(layer.heads).unsqueeze(1),
                log_strength=self._log_strength(layer, place, len(available)),
                score_scale=self.score_scale,
                absorb=self.absorb,
            )
            for place, layer in enumerate(language_model.layers)
            if self.layers is None or layer.index in self.layers
        ]

    def _log_strength(self, layer: AttentionLayer, place: int, layers: int) -> Tensor | float:
        """Log of the factor on ``R``: 0, or ``(1 or heads, 1)`` where heads differ or a layer has its own."""
        if self.strength == 1.0 and self.heads is None:
            return 0.0
        strength = self.strength
        if isinstance(strength, tuple):
            _require(len(strength) == layers, f"strength has {len(strength)} layers, this model has {layers}")
            strength = strength[place]
        per_head = torch.as_tensor(strength, dtype=torch.float64).reshape(-1)
        _require(
            per_head.numel() in (1, layer.heads),
            f"strength has {per_head.numel()} heads, layer {layer.index} has {layer.heads}",
        )
        if self.heads is not None:
            _require(
                max(self.heads) < layer.heads,
                f"heads {sorted(self.heads)} are out of range: layer {layer.index} has 0 to {layer.heads - 1}",
            )
            kept = torch.zeros(layer.heads, dtype=torch.float64)
            kept[list(self.heads)] = 1.0
            per_head = per_head * kept
        return per_head.log().unsqueeze(1)

    def _window(self, language_model: LanguageModel) -> int | None:
        """How many old rows "current" feeds again; None for all of them (constant registers never settle)."""
        if self.profile != "linear":
            return None
        slowest = self.sigma if self.slopes is None else float(alibi_slopes(language_model.layers[0].heads).min())
        return current_window(slowest, self.tolerance)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingError(message)
