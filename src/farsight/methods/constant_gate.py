"""A constant gate: the control that tells what registers do from merely weaker attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import AttentionLayer, LayerCall, Tap, locate, tapped
from farsight.call import forwards
from farsight.checkpointing import recomputed
from farsight.farsight import ROWS, Rows
from farsight.method import Method
from farsight.setting_checks import check_by_head, of_heads, one_of, setting


@dataclass(frozen=True, kw_only=True)
class ConstantGate(Method):
    """Multiply the attention of rows by the same number.

    Registers multiply a row by ``Z / (Z + R)``, which depends on its scores and its place. If a constant did the same,
    the method's effect would be nothing but weaker attention.

    Parameters
    ----------
    value
        The factor: a number, one per layer, or one per layer and head (such as the mean gates of registers).
    rows
        Which rows are multiplied: ``"all"``, ``"generated"`` or ``"text"``, as those that own registers in `FarSight`.

    Raises
    ------
    SettingError
        If the value has no meaning, or does not fit the model's layers and heads.
    """

    name: ClassVar[str] = "constant"
    paper: ClassVar[str] = "a control, from no paper"
    changes: ClassVar[str] = "gate"

    value: float | tuple[float, ...] | tuple[tuple[float, ...], ...] = setting(0.9, check_by_head)
    rows: str = setting("all", one_of(*ROWS))

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Put the gates into the language model of ``model``; see `Method`."""
        language_model = locate(model, encoder_decoder=True)
        layers = language_model.layers
        with ExitStack() as stack:
            rows: Rows | None = None
            if self.rows != "all":
                stack.enter_context(forwards(model, language_model))
                stack.enter_context(recomputed(model, language_model))
                rows = Rows("infinite", self.rows, model, has_pictures=not language_model.behind_encoder)
            taps: list[tuple[AttentionLayer, Tap]] = [
                (layer, _Constant(of_heads("value", self.value, place, len(layers), layer.heads), rows))
                for place, layer in enumerate(layers)
            ]
            stack.enter_context(tapped(language_model, taps))
            yield


class _Constant(Tap):
    def __init__(self, values: tuple[float, ...], rows: Rows | None) -> None:
        self.values, self.rows = torch.tensor(values, dtype=torch.float64).unsqueeze(1), rows

    def gate(self, lse: Tensor, call: LayerCall) -> Tensor:
        """Multiply the rows of a head by the same number."""
        values = self.values.to(lse)
        if self.rows is None:
            return values.expand_as(lse)
        owned = self.rows.ahead(self.rows.forward_of(call)).to(lse.device).unsqueeze(1) > 0
        return torch.where(owned, values, 1.0).expand_as(lse)
