"""IAT: the answer reads itself more (Zhong et al., CVPR 2026)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import LayerCall, locate, tapped
from farsight.call import forwards
from farsight.method import Method
from farsight.methods.text_keys import TextTap, paper_layers
from farsight.setting_checks import check_chosen, check_strength, setting


@dataclass(frozen=True, kw_only=True)
class IAT(Method):
    """Increase attention to generated text: larger scores for the answer's own tokens.

    In the chosen layers the scores ``s`` of generated tokens become ``s + alpha * |s|`` before the softmax, for every
    row that may read them.

    Parameters
    ----------
    alpha
        How much. 0: not at all, the plain model.
    layers
        Which; None for the published 5 to 17 of 32, scaled to the depth of the model.

    Raises
    ------
    SettingError
        If a value has no meaning, or a layer does not exist; in a forward outside of `generate`.
    """

    name: ClassVar[str] = "iat"
    paper: ClassVar[str] = "Zhong et al., CVPR 2026, arXiv 2603.04908"
    changes: ClassVar[str] = "scores"
    goes_with: ClassVar[tuple[str, ...]] = ("gate", "states", "search")  # a second pass has a prompt of its own
    extra_forwards: ClassVar[float] = 0.0

    alpha: float = setting(0.8, check_strength)
    layers: tuple[int, ...] | None = setting(None, check_chosen)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Edit the scores of the chosen layers; see `Method`."""
        language_model = locate(model)
        tap = _Amplified(model, self.name)
        tap.alpha = self.alpha
        layers = paper_layers(language_model, self.layers)
        with forwards(model, language_model), tapped(language_model, [(layer, tap) for layer in layers]):
            yield


class _Amplified(TextTap):
    alpha = 0.0

    def edit(self, scores: Tensor, call: LayerCall) -> Tensor:
        """``s + alpha * |s|`` of generated keys."""
        return torch.where(self.generated(call), scores + self.alpha * scores.abs(), scores)
