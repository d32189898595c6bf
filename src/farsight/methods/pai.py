"""PAI: pay more attention to the image, and contrast with the text alone (Liu et al., ECCV 2024)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import LayerCall, Tap, chosen_layers, locate, tapped
from farsight.errors import SettingError
from farsight.logit_rules import plausible
from farsight.methods.contrast import ContrastiveMethod, OwnForward, Passes, contrasted
from farsight.methods.prompt import Prompt, without_image
from farsight.setting_checks import at_least, check_number, check_share, check_strength, setting, whole


@dataclass(frozen=True, kw_only=True)
class PAI(ContrastiveMethod):
    """Pay attention to image: larger scores for image tokens, and logits refined against text only.

    In the chosen layers the scores ``s`` of a row that predicts a generated token become ``s + alpha * |s|`` for
    visual keys, before the softmax. Then, with ``l`` and ``l_text`` the log-probabilities with the image and
    without it, tokens are drawn by ``gamma * l - (gamma - 1) * l_text``, among those with at least ``beta``
    times the probability of the best token. Neither image nor amplification is in the second pass.

    Parameters
    ----------
    alpha
        How much attention to the image is amplified. 0: not at all.
    gamma
        Guidance, 1 or more. 1: the text alone is not contrasted with.
    beta
        Least share of the best token's probability that keeps a token.
    start_layer, end_layer
        Layers that are amplified, from ``start_layer`` up to and without ``end_layer``; None: up to the last.
        ``alpha = 0``, ``gamma = 1`` and ``beta = 0`` is plain decoding.

    Raises
    ------
    SettingError
        If a value has no meaning or the model has no such layers; inside the block, if a prompt comes without an image.
    """

    name: ClassVar[str] = "pai"
    paper: ClassVar[str] = "Liu et al., ECCV 2024, arXiv 2407.21771"
    changes: ClassVar[str] = "scores and logits"
    extra_forwards: ClassVar[float] = 1.0
    own_prompt: ClassVar[bool] = True

    alpha: float = setting(0.2, check_strength)
    gamma: float = setting(1.1, check_number, at_least(1))
    beta: float = setting(0.1, check_share)
    start_layer: int = setting(2, whole(0, 10_000))
    end_layer: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.end_layer is not None:
            whole(self.start_layer + 1, 10_000)("end_layer", self.end_layer)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Amplify attention in the model's own passes and run the text beside them; see `Method`."""
        language_model = locate(model)
        found = [layer.index for layer in language_model.layers]
        end = max(found) + 1 if self.end_layer is None else self.end_layer
        layers = [index for index in found if self.start_layer <= index < end]
        if not layers or end > max(found) + 1:
            raise SettingError(f"start_layer and end_layer must lie in this model's layers, 0 to {max(found) + 1}")
        passes = _Amplified(self.alpha)
        taps = [(layer, passes.tap) for layer in chosen_layers(language_model, layers)]
        with tapped(language_model, taps), contrasted(model, self, passes):
            yield

    def branch_prompt(self, model: nn.Module, prompt: Prompt) -> Prompt:
        """Take the image out."""
        return without_image(model, prompt)

    def combined(self, own: Tensor, branch: Tensor, step: Tensor) -> Tensor:
        """The refined logits, among plausible tokens."""
        with_image, text = own.log_softmax(dim=-1), branch.log_softmax(dim=-1)
        return plausible(self.gamma * with_image - (self.gamma - 1) * text, with_image, self.beta)


class _Amplified(Passes):
    """Amplifies attention to visual tokens in the model's own pass."""

    def __init__(self, alpha: float) -> None:
        self.tap = _Amplifier(alpha)

    @contextmanager
    def own(self, forward: OwnForward) -> Iterator[None]:
        here = self.tap.here
        before, here.forward = getattr(here, "forward", None), forward
        try:
            yield
        finally:
            here.forward = before


class _Amplifier(Tap):
    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self.here = threading.local()

    def edit(self, scores: Tensor, call: LayerCall) -> Tensor:
        """``s + alpha * |s|`` where a row that predicts a generated token meets a visual key."""
        forward: OwnForward | None = getattr(self.here, "forward", None)
        if forward is None:
            return scores
        rows, keys = scores.shape[-2:]
        slots = forward.start + rows
        visual = nn.functional.pad(forward.visual, (0, slots - forward.visual.shape[1]))[:, slots - keys :]
        predicts = torch.arange(forward.start, slots, device=scores.device) >= forward.prompt_length - 1
        amplified = predicts[:, None] & visual.to(scores.device)[:, None, None]
        return torch.where(amplified, scores + self.alpha * scores.abs(), scores)
