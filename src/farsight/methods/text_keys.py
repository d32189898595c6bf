"""Taps on rows that read generated text: which keys those are, whatever cache holds them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from farsight.attention import AttentionLayer, LanguageModel, LayerCall, Tap
from farsight.call import Calls, calls_of
from farsight.errors import SettingError

_PAPER_DEPTH, _PAPER_FIRST, _PAPER_END = 32, 5, 18


class TextTap(Tap):
    """A tap that has something to do where a row may read generated text; elsewhere the layer's own kernel runs."""

    def __init__(self, model: nn.Module, name: str) -> None:
        self.calls: Calls = calls_of(model)
        self.name = name

    def edits(self, call: LayerCall) -> bool:
        """Whether any key is a generated token's."""
        forward = self.calls.forward
        if forward is None or self.calls.call is None:
            raise SettingError(
                f"{self.name} changes how an answer reads itself, and a forward outside of generate does not say where "
                "the answer begins: call model.generate"
            )
        return bool(forward.offset + forward.queries > self.calls.call.prompt_slots)

    def generated(self, call: LayerCall) -> Tensor:
        """Which keys are generated tokens', ``(keys,)``, bool: those behind the prompt of this `generate`."""
        forward, known = self.calls.forward, self.calls.call
        assert forward is not None
        assert known is not None
        slots, keys = int(forward.offset) + forward.queries, call.key.shape[2]
        first = max(slots - keys, 0)  # a window's cache holds the newest, a static one has room behind them
        return torch.arange(first, first + keys, device=call.key.device) >= known.prompt_slots


def paper_layers(language_model: LanguageModel, layers: tuple[int, ...] | None) -> list[AttentionLayer]:
    """The chosen layers; None for 5 to 17 of 32, scaled to the depth of the model, as the published code has them.

    Raises
    ------
    SettingError
        If one does not exist.
    """
    depth = len(language_model.layers)
    if layers is None:
        first = min(round(depth * _PAPER_FIRST / _PAPER_DEPTH), depth - 1)
        end = max(round(depth * _PAPER_END / _PAPER_DEPTH), first + 1)
        return list(language_model.layers[first:end])
    known = {layer.index: layer for layer in language_model.layers}
    if missing := sorted(set(layers) - set(known)):
        raise SettingError(f"layers {missing} are out of range: this model has {min(known)} to {max(known)}")
    return [known[index] for index in layers]
