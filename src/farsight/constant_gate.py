"""A constant gate: the control that tells what registers do from merely weaker attention."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from farsight.attention import ConstantLayerGate, registers_in
from farsight.errors import SettingError
from farsight.language_model import AttentionLayer, locate
from farsight.method import Method


@dataclass(frozen=True, kw_only=True)
class ConstantGate(Method):
    """Multiply the attention of every row by the same number.

    Registers multiply a row by ``Z / (Z + R)``, which depends on its scores and its place. If a constant did the same,
    the method's effect would be nothing but weaker attention.

    Parameters
    ----------
    value
        The factor: a number, one per layer, or one per layer and head (such as the mean gates of registers).

    Raises
    ------
    SettingError
        If the value has no meaning, or does not fit the model's layers and heads.
    """

    name: ClassVar[str] = "constant"
    paper: ClassVar[str] = "a control, from no paper"
    changes: ClassVar[str] = "attention"

    value: float | tuple[float, ...] | tuple[tuple[float, ...], ...] = 0.9

    def __post_init__(self) -> None:
        value = tuple(tuple(row) if isinstance(row, list | tuple) else row for row in _rows(self.value))
        if isinstance(self.value, list | tuple):
            object.__setattr__(self, "value", value)
        numbers = [number for row in value for number in _rows(row)]
        if not numbers or not all(_is_factor(number) for number in numbers):
            raise SettingError(f"value must be finite numbers >= 0, got {self.value!r}")

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Put the gates into the language model of ``model``; see `Method`."""
        language_model = locate(model, encoder_decoder=True)
        layers = language_model.layers
        values = self.value if isinstance(self.value, tuple) else (self.value,) * len(layers)
        if len(values) != len(layers):
            raise SettingError(f"value has {len(values)} layers, this model has {len(layers)}")
        gates = [_gate(layer, value) for layer, value in zip(layers, values, strict=True)]
        with registers_in(language_model, gates):
            yield


def _gate(layer: AttentionLayer, value: object) -> ConstantLayerGate:
    if not isinstance(value, tuple):
        return ConstantLayerGate(index=layer.index, value=float(value))  # type: ignore[arg-type]
    if len(value) != layer.heads:
        raise SettingError(f"value has {len(value)} heads, layer {layer.index} has {layer.heads}")
    return ConstantLayerGate(index=layer.index, value=torch.tensor(value, dtype=torch.float64).unsqueeze(1))


def _rows(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _is_factor(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) and number >= 0
