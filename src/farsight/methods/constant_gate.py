"""A constant gate: the control that tells what registers do from merely weaker attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import AttentionLayer, LayerCall, Tap, locate, tapped
from farsight.method import Method
from farsight.setting_checks import check_by_head, of_heads, setting


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
    changes: ClassVar[str] = "gate"

    value: float | tuple[float, ...] | tuple[tuple[float, ...], ...] = setting(0.9, check_by_head)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Put the gates into the language model of ``model``; see `Method`."""
        language_model = locate(model, encoder_decoder=True)
        layers = language_model.layers
        taps: list[tuple[AttentionLayer, Tap]] = [
            (layer, _Constant(of_heads("value", self.value, place, len(layers), layer.heads)))
            for place, layer in enumerate(layers)
        ]
        with tapped(language_model, taps):
            yield


class _Constant(Tap):
    def __init__(self, values: tuple[float, ...]) -> None:
        self.values = torch.tensor(values, dtype=torch.float64).unsqueeze(1)

    def gate(self, lse: Tensor, call: LayerCall) -> Tensor:
        """Multiply every row of a head by the same number."""
        return self.values.to(lse).expand_as(lse)
