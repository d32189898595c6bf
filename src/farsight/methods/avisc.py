"""AvisC: contrast with what only the blind image tokens say (Woo et al., 2024)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import LayerCall, Tap, locate, tapped
from farsight.errors import UnsupportedModelError
from farsight.logit_rules import contrast, plausible
from farsight.methods.contrast import ContrastiveMethod, OwnForward, Passes, contrasted
from farsight.methods.prompt import Prompt
from farsight.setting_checks import check_share, check_strength, setting


@dataclass(frozen=True, kw_only=True)
class AvisC(ContrastiveMethod):
    """Attentional vision calibration: image tokens that draw attention whatever is asked are contrasted away.

    From the attention of the prompt's last row, averaged over heads: layers are taken in the order of their share of
    attention to the image until they hold ``layer_gamma`` of it; a visual token is *blind* if its attention
    there is at least ``mean + lamb * std`` of all visual tokens'. In the second pass the embeddings of the
    other visual tokens are 0, and ``softmax((1 + alpha) * logits - alpha * logits_blind)`` is drawn from, among
    the tokens with at least ``beta`` times the probability of the model's best token.

    Parameters
    ----------
    alpha
        Strength of the contrast. 0 with ``beta = 0`` is plain decoding.
    beta
        Least share of the best token's probability that keeps a token.
    layer_gamma
        Share of attention to the image that the chosen layers hold.
    lamb
        Standard deviations above the mean from which on a visual token is blind.

    Raises
    ------
    SettingError
        If a value has no meaning; inside the block, if a prompt comes without an image.
    UnsupportedModelError
        Inside the block, if the model puts image features into its layers as well (Qwen3-VL).
    """

    name: ClassVar[str] = "avisc"
    paper: ClassVar[str] = "Woo et al., 2024, arXiv 2405.17820"
    changes: ClassVar[str] = "logits"
    extra_forwards: ClassVar[float] = 1.0

    alpha: float = setting(2.5, check_strength)
    beta: float = setting(0.1, check_share)
    layer_gamma: float = setting(0.5, check_share)
    lamb: float = setting(1.0, check_strength)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Find blind tokens in the model's own pass and run them alone beside it; see `Method`."""
        language_model = locate(model)
        passes = _Blind(self)
        hook = language_model.module.register_forward_pre_hook(passes.discard, with_kwargs=True)
        try:
            taps = [(layer, passes.tap) for layer in language_model.layers]
            with tapped(language_model, taps), contrasted(model, self, passes):
                yield
        finally:
            hook.remove()

    def branch_prompt(self, model: nn.Module, prompt: Prompt) -> Prompt:
        """The same prompt: its embeddings are changed on the way in."""
        return prompt

    def combined(self, own: Tensor, branch: Tensor, step: Tensor) -> Tensor:
        """The contrast, among plausible tokens."""
        return plausible(contrast(own, branch, self.alpha), own, self.beta)


class _Last(threading.local):
    """What one thread's pass over its prompt is to show, has shown, and leaves out of the branch."""

    def __init__(self) -> None:
        self.row: tuple[int, int] | None = None
        self.seen: dict[int, Tensor] = {}
        self.discarded: Tensor | None = None
        self.in_branch: Tensor | None = None


class _Blind(Passes):
    """Sees the attention of the prompt's last row, and leaves only blind tokens to the branch."""

    def __init__(self, method: AvisC) -> None:
        self.method = method
        self.here = _Last()
        self.tap = _Look(self.here)

    @contextmanager
    def own(self, forward: OwnForward) -> Iterator[None]:
        here = self.here
        if forward.start:
            yield
            return
        here.seen, here.row = {}, (forward.prompt_length - 1, forward.visual.shape[1])
        try:
            yield
        finally:
            here.row = None
        attention = torch.stack([here.seen[index] for index in sorted(here.seen)], dim=1)
        here.discarded = forward.visual & ~blind_tokens(
            attention, forward.visual, layer_gamma=self.method.layer_gamma, lamb=self.method.lamb
        )

    @contextmanager
    def branch_prompt(self, expansion: int) -> Iterator[None]:
        assert self.here.discarded is not None
        self.here.in_branch = self.here.discarded[::expansion]
        try:
            yield
        finally:
            self.here.in_branch = None

    def discard(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Take the embeddings of tokens that are not blind out of the branch's prompt."""
        if (discarded := self.here.in_branch) is None:
            return None
        if kwargs.get("deepstack_visual_embeds") is not None:
            raise UnsupportedModelError(
                "avisc cannot take single image tokens out of a model that puts image features into its layers too"
            )
        embeddings = kwargs["inputs_embeds"]
        return args, {**kwargs, "inputs_embeds": embeddings.masked_fill(discarded[:, :, None], 0.0)}


class _Look(Tap):
    def __init__(self, here: _Last) -> None:
        self.here = here

    def see(self, call: LayerCall) -> None:
        """The attention of the prompt's last row, averaged over heads, ``(batch, slots)``."""
        if self.here.row is not None:
            row, slots = self.here.row
            keys = call.rows(row, row + 1)[:, :, 0, :slots].mean(dim=1)
            self.here.seen[call.index] = nn.functional.pad(keys, (slots - keys.shape[1], 0))


def blind_tokens(attention: Tensor, visual: Tensor, *, layer_gamma: float, lamb: float) -> Tensor:
    """Find the visual tokens that draw far more attention than the others.

    Parameters
    ----------
    attention
        Of one row, averaged over heads, ``(batch, layers, slots)``.
    visual
        Which slots are visual tokens, ``(batch, slots)``, bool.
    layer_gamma, lamb
        As in `AvisC`.

    Returns
    -------
    ``(batch, slots)``, bool.
    """
    image = attention * visual[:, None]
    shares = image.sum(dim=-1)
    shares, order = (shares / shares.sum(dim=-1, keepdim=True)).sort(dim=-1, descending=True)
    needed = (shares.cumsum(dim=-1) < layer_gamma).sum(dim=-1, keepdim=True) + 1
    chosen = torch.zeros_like(shares).scatter(
        -1, order, (torch.arange(shares.shape[-1]).to(needed) < needed).to(shares)
    )
    weights = (image * chosen[..., None]).sum(dim=1) / chosen.sum(dim=-1, keepdim=True)
    count = visual.sum(dim=-1, keepdim=True)
    mean = weights.sum(dim=-1, keepdim=True) / count
    variance = ((weights - mean).square() * visual).sum(dim=-1, keepdim=True) / (count - 1)
    return visual & ~(weights < mean + lamb * variance.sqrt())
