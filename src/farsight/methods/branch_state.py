"""What a second pass has computed so far, kept inside the cache of the first one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from farsight.method import Method

_ASIDE = "farsight_branch"


@dataclass(kw_only=True, eq=False)
class BranchState:
    """The branch's own cache, put behind the layers of the model's cache as if it were one layer more.

    Transformers' caches do to every layer what is done to the cache: reordering for beams, repeating and selecting
    rows, copying, recording the past. So the branch follows its cache without anything being replaced on it. Rolling
    back is followed at the next forward, by comparing lengths.
    """

    method: Method
    cache: Cache
    mask: Tensor
    """``(batch, branch slots)``"""
    positions: Tensor
    """``(batch, branch slots)``, or with leading axes where positions have several sections (M-RoPE)"""
    visual: Tensor
    """``(batch, prompt slots)``, bool: the visual tokens in the model's own prompt"""
    length: int
    """Slots of the model's own cache that the branch has followed"""

    keys = None
    values = None
    is_compileable = False
    is_sliding = False
    is_croppable = True
    is_initialized = True
    supports_early_init = False

    @classmethod
    def behind(cls, cache: Cache | None) -> BranchState | None:
        """The state that follows ``cache``, if there is one."""
        layers: list[Any] = [] if cache is None else cache.layers
        if cache is not None and (aside := vars(cache).pop(_ASIDE, None)) is not None:
            layers.append(aside)
        return next((layer for layer in layers if isinstance(layer, cls)), None)

    @classmethod
    def set_aside(cls, cache: Cache) -> None:
        """Give a cache back with the model's own layers alone; a next turn finds the state again."""
        if (state := cls.behind(cache)) is not None:
            cache.layers.remove(state)
            vars(cache)[_ASIDE] = state

    def follow(self, cache: Cache) -> None:
        """Put this state behind the layers of ``cache``, in place of another one."""
        layers: list[Any] = cache.layers
        layers[:] = [layer for layer in layers if not isinstance(layer, BranchState)]
        if _records_past(cache):
            self.activate_past_recording()
        layers.append(self)

    def roll_back_to(self, length: int) -> None:
        """Take back the newest rows, so that ``length`` slots of the model's own cache are followed."""
        back = self.length - length
        if back > 0 or _records_past(self.cache):
            self.cache.crop(-back)
        if back > 0:
            self.mask, self.positions = self.mask[:, :-back], self.positions[..., :-back]
        self.length = length

    def next_positions(self, mask: Tensor) -> Tensor:
        """Positions of new tokens with this mask, ``(batch, tokens)``."""
        return self.positions[..., -1:] + mask.to(self.positions.dtype).cumsum(dim=-1)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.cache.reorder_cache(beam_idx)
        self._take(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        self.cache.batch_select_indices(indices)
        self._take(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.cache.batch_repeat_interleave(repeats)
        self._take(torch.arange(len(self.mask), device=self.mask.device).repeat_interleave(repeats))

    def _take(self, rows: Tensor) -> None:
        rows = rows.to(self.mask.device)
        self.mask, self.visual = self.mask[rows], self.visual[rows]
        self.positions = self.positions[..., rows, :]

    def activate_past_recording(self) -> None:
        if hasattr(self.cache, "activate_past_recording"):
            self.cache.activate_past_recording()

    def crop(self, _: int) -> None:
        """Followed at the next forward: see `roll_back_to`."""

    def reset(self) -> None:
        """An empty cache starts a new branch."""

    def offload(self) -> None:
        """The branch stays where it is."""

    def prefetch(self) -> None:
        """The branch is where it was."""

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1


def _records_past(cache: Cache) -> bool:
    return any(getattr(layer, "record_past", False) for layer in cache.layers)
