"""The prompt of a second pass: the same tokens, or the same without the image, or with text put in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from farsight.attention import visual_token_mask
from farsight.errors import SettingError, UnsupportedModelError

_BRACKETS = ("vision_start_token", "vision_end_token", "image_start_token", "image_end_token", "boi_token", "eoi_token")


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """A batch of left-padded prompts, as a model's forward takes them."""

    ids: Tensor
    """``(batch, slots)``"""
    mask: Tensor
    """``(batch, slots)``: 1 where there is a token, 0 where there is padding"""
    values: Mapping[str, Tensor] = field(default_factory=dict)
    """Whatever else has a value for each token, ``(batch, slots)``: token types"""
    media: Mapping[str, Any] = field(default_factory=dict)
    """Pixels and what goes with them: grids, sizes"""

    @property
    def arguments(self) -> dict[str, Any]:
        return {"input_ids": self.ids, "attention_mask": self.mask, **self.values, **self.media}


def visual_tokens(model: nn.Module, ids: Tensor) -> Tensor:
    """Which tokens stand for the image or the video, ``(batch, slots)``, bool; none in a model without images."""
    try:
        return visual_token_mask(model, ids)
    except UnsupportedModelError:
        return torch.zeros_like(ids, dtype=torch.bool)


def image_tokens(model: nn.Module, ids: Tensor) -> Tensor:
    """Visual tokens and the tokens that open and close an image, ``(batch, slots)``, bool."""
    names = [f"{name}_{form}" for name in _BRACKETS for form in ("id", "index")]
    brackets = [token for name in names if isinstance(token := getattr(model.config, name, None), int)]
    return visual_tokens(model, ids) | torch.isin(ids, torch.tensor(brackets, dtype=ids.dtype, device=ids.device))


def without_image(model: nn.Module, prompt: Prompt) -> Prompt:
    """Take the image out of a prompt: its pixels, its tokens and the tokens that open and close it.

    Raises
    ------
    SettingError
        If nothing is left.
    """
    keep = prompt.mask.bool() & ~image_tokens(model, prompt.ids)
    counts = keep.sum(dim=1)
    if int(counts.min()) == 0:
        raise SettingError("a prompt is nothing but an image: without it there are no tokens left to contrast with")
    order = torch.argsort(keep.long(), dim=1, stable=True)[:, -int(counts.max()) :]
    return replace(_picked(prompt, order), mask=keep.gather(1, order).to(prompt.mask.dtype), media={})


def with_text(model: nn.Module, prompt: Prompt, text: Tensor) -> Prompt:
    """Put token ids ``(tokens,)`` into every prompt: after its last image, or after its first token if it has none."""
    batch, slots = prompt.ids.shape
    places = torch.arange(slots, device=prompt.ids.device).expand(batch, slots)
    image = image_tokens(model, prompt.ids) & prompt.mask.bool()
    image[visual_tokens(model, prompt.ids).logical_not().all(dim=1)] = False
    first = prompt.mask.long().argmax(dim=1)
    after = torch.where(image, places, first[:, None]).amax(dim=1)
    added = text.to(prompt.ids).expand(batch, -1)
    appended = Prompt(
        ids=torch.cat((prompt.ids, added), dim=1),
        mask=torch.cat((prompt.mask, torch.ones_like(added, dtype=prompt.mask.dtype)), dim=1),
        values={
            name: torch.cat((value, torch.zeros_like(added, dtype=value.dtype)), dim=1)
            for name, value in prompt.values.items()
        },
        media=prompt.media,
    )
    order = torch.argsort(torch.cat((2 * places, (2 * after[:, None] + 1).expand_as(added)), dim=1), dim=1, stable=True)
    return _picked(appended, order)


def _picked(prompt: Prompt, order: Tensor) -> Prompt:
    return Prompt(
        ids=prompt.ids.gather(1, order),
        mask=prompt.mask.gather(1, order),
        values={name: value.gather(1, order) for name, value in prompt.values.items()},
        media=prompt.media,
    )
