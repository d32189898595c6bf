"""AdaIAT: the answer reads itself more where it reads itself too little (Zhong et al., CVPR 2026)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import AttentionLayer, LayerCall, locate, tapped
from farsight.calibration import TextAttention
from farsight.call import forwards
from farsight.errors import SettingError
from farsight.method import Method
from farsight.methods.text_keys import TextTap, paper_layers
from farsight.setting_checks import Check, check_by_head, check_chosen, check_share, check_strength, of_heads, setting

Table = float | tuple[float, ...] | tuple[tuple[float, ...], ...]
_check_table = Check("None", lambda value: value is None) | check_by_head


@dataclass(frozen=True, kw_only=True)
class AdaIAT(Method):
    """Adaptively increase attention to generated text: by layer when, by head how much.

    With ``a(h)`` the mean weight that a row of head ``h`` gives a generated token, a layer acts on the row where
    ``sum a(h) < T``, between what rows that name false objects read and what those that name true ones do:
    ``T = sum false(h) + beta * (sum true(h) - sum false(h))``. There the weights of generated tokens are multiplied by
    ``1 + alpha * M(h)``, ``M(h) = max(true(h) / false(h) - 1, 0)``, and the row is scaled to its sum.

    Parameters
    ----------
    true_rows, false_rows
        The mean weights of such rows: a number, one per layer, or one per layer and head, of the whole model. `load`
        reads what ``farsight calibrate --for adaiat`` has measured.
    alpha
        How much attention is increased. 0: not at all, the plain model.
    beta
        Where the threshold lies, from what false objects read (0) to what true ones do (1).
    layers
        Which act; None for the published 5 to 17 of 32, scaled to the depth of the model.

    Raises
    ------
    SettingError
        If a value has no meaning, nothing was measured, or it does not fit the model's layers and heads; in a forward
        outside of `generate`.
    """

    name: ClassVar[str] = "adaiat"
    paper: ClassVar[str] = "Zhong et al., CVPR 2026, arXiv 2603.04908"
    changes: ClassVar[str] = "scores"
    goes_with: ClassVar[tuple[str, ...]] = ("gate", "states", "search")  # a second pass has a prompt of its own
    extra_forwards: ClassVar[float] = 0.0
    beside_file: ClassVar[tuple[str, ...]] = ("alpha", "beta", "layers")
    """Settings that may be given beside ``load``"""

    true_rows: Table | None = setting(None, _check_table)
    false_rows: Table | None = setting(None, _check_table)
    alpha: float = setting(6.0, check_strength)
    beta: float = setting(0.5, check_share)
    layers: tuple[int, ...] | None = setting(None, check_chosen)

    @classmethod
    def load(cls, path: str | Path) -> AdaIAT:
        """Take what ``farsight calibrate --for adaiat`` measured.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another kind.
        """
        found = TextAttention.read(path)
        return cls(true_rows=found.true_rows, false_rows=found.false_rows)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Edit the scores of the chosen layers; see `Method`."""
        if self.true_rows is None or self.false_rows is None:
            raise SettingError(
                "adaiat needs what this model reads of its own text: measure it with farsight calibrate --for adaiat "
                "and write adaiat(load=FILE), or give true_rows and false_rows"
            )
        language_model = locate(model)
        taps = [
            (layer, _Adaptive(model, self, layer, language_model.layers.index(layer), len(language_model.layers)))
            for layer in paper_layers(language_model, self.layers)
        ]
        with forwards(model, language_model), tapped(language_model, taps):
            yield


class _Adaptive(TextTap):
    """The threshold of one layer, and ``log(1 + alpha * M)`` of its heads."""

    def __init__(self, model: nn.Module, method: AdaIAT, layer: AttentionLayer, place: int, layers: int) -> None:
        super().__init__(model, method.name)
        true, false = (
            torch.tensor(of_heads(name, getattr(method, name), place, layers, layer.heads), dtype=torch.float64)
            for name in ("true_rows", "false_rows")
        )
        self.threshold = float(false.sum() + method.beta * (true.sum() - false.sum()))
        more = torch.where(false > 0, true / false - 1, 0).clamp(min=0)
        self.log_factor = torch.log1p(method.alpha * more)

    def edit(self, scores: Tensor, call: LayerCall) -> Tensor:
        """Weights of generated keys times a factor, and scaled: before the softmax its log is added."""
        exact = scores.to(torch.promote_types(scores.dtype, torch.float32))
        allowed = call.allowed(0, scores.shape[2])
        read = self.generated(call) & allowed
        weights = torch.softmax(exact.masked_fill(~allowed, -torch.inf), dim=-1)
        mean = (weights * read).sum(-1) / read.sum(-1).clamp(min=1)
        acts = mean.sum(1, keepdim=True) < self.threshold
        added = self.log_factor.to(exact).view(1, -1, 1, 1)
        return torch.where(read & acts.unsqueeze(-1), exact + added, exact).to(scores.dtype)
