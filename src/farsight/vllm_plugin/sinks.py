"""The sink logits of every head, from the settings in vLLM's ``additional_config``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches

import torch
from torch import Tensor

from farsight.errors import SettingError
from farsight.registers import LEAST_SIGMA, PAPER_SIGMA, alibi_slopes, log_register_mass
from farsight.setting_checks import (
    Check,
    at_least,
    check_by_head,
    check_chosen,
    check_positive,
    check_settings,
    of_heads,
    one_of,
    setting,
)

NAME = "farsight"
"""The key of ``additional_config``, and the name of the plugin for ``VLLM_PLUGINS``."""

NO_REGISTERS = -1e4
"""A sink logit that takes nothing: finite, because not every kernel starts from an infinite one."""
_SERVED_ALIKE = {"horizon": "infinite", "profile": "linear", "score_scale": 1.0}
"""Settings of `farsight.FarSight` that are one constant per head with this value only."""
_ROWS = Check("one of all, generated in vLLM", lambda value: value in ("all", "generated"))

Strength = float | tuple[float, ...] | tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Sinks:
    """Which sink logits the heads of a language model get; the fields are those of `farsight.FarSight`.

    Parameters
    ----------
    sigma
        Decay of the registers per slot, > 0.
    slopes
        ``"alibi"``: head ``h`` of ``H`` decays at ALiBi's ``2 ** (-8 * (h + 1) / H)`` instead of ``sigma``.
    strength
        Factor on the register mass: a number, one per layer, or one per layer and head, all of the model's.
    layers, heads
        Which have registers, counted in the whole model; None for all.
    rows
        Which query rows own them: ``"all"``, or ``"generated"`` (from the last prompt token on).

    Raises
    ------
    SettingError
        If a value has no meaning; the message names it.
    """

    sigma: float = setting(PAPER_SIGMA, check_positive, at_least(LEAST_SIGMA))
    slopes: str | None = setting(None, one_of(None, "alibi"))
    strength: Strength = setting(1.0, check_by_head)
    layers: tuple[int, ...] | None = setting(None, check_chosen)
    heads: tuple[int, ...] | None = setting(None, check_chosen)
    rows: str = setting("all", _ROWS)

    def __post_init__(self) -> None:
        check_settings(self)

    @classmethod
    def read(cls, config: object) -> Sinks | None:
        """Read vLLM's ``additional_config``; None if it does not speak of farsight.

        Raises
        ------
        SettingError
            If its settings are unknown, have no meaning, or are no constant per head.
        """
        given = config.get(NAME) if isinstance(config, Mapping) else None
        if given is None:
            return None
        if not isinstance(given, Mapping):
            raise SettingError(f"additional_config's '{NAME}' must be settings such as {{'sigma': 0.8}}, got {given!r}")
        known = [field.name for field in fields(cls)]
        for name, value in given.items():
            if name in _SERVED_ALIKE:
                if value != _SERVED_ALIKE[name]:
                    raise SettingError(
                        f"{name}={value!r} is no constant per head, which is what vLLM can serve: leave {name} out"
                    )
            elif name not in known:
                near = get_close_matches(str(name), known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(known)}"
                raise SettingError(f"farsight in vLLM has no setting '{name}'; {hint}")
        return cls(**{name: given[name] for name in known if name in given})

    def logits(self, layer: int, layers: int, heads: int) -> Tensor:
        """Sink logits of all heads of a layer, ``log R + log strength``.

        Parameters
        ----------
        layer
            The layer's index.
        layers, heads
            How many the whole model has.

        Returns
        -------
        Tensor
            The logit of the sink of each head, ``(heads,)``, float64.
        """
        for name, chosen, count in (("layers", self.layers, layers), ("heads", self.heads, heads)):
            if missing := sorted(index for index in chosen or () if index >= count):
                raise SettingError(f"{name} {missing} are out of range: this model has 0 to {count - 1}")
        slopes = alibi_slopes(heads).tolist() if self.slopes == "alibi" else [self.sigma] * heads
        sigma = torch.tensor(slopes, dtype=torch.float64, device="cpu")
        mass = log_register_mass(torch.full_like(sigma, math.inf), sigma)
        strength = of_heads("strength", self.strength, layer, layers, heads)
        mass = mass + torch.tensor(strength, dtype=torch.float64, device="cpu").log()
        if self.heads is not None:
            others = [head for head in range(heads) if head not in self.heads]
            mass[others] = -math.inf
        if self.layers is not None and layer not in self.layers:
            mass[:] = -math.inf
        return mass.clamp(min=NO_REGISTERS)
