"""DeCo: correct the last layer by the preceding layer that is surest of a candidate token (Wang et al., ICLR 2025)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.method import Method
from farsight.methods.early_exit import as_layers, checked_layers, early_exits, find_exit
from farsight.setting_checks import check_chosen, check_positive, check_share, check_strength, setting, whole

_PAPER_DEPTH, _PAPER_FIRST, _PAPER_LAST = 32, 20, 28


@dataclass(frozen=True, kw_only=True)
class DeCo(Method):
    """Add the logits of a preceding layer, weighted by how sure it is, to those of the last.

    Candidates are the last layer's most probable tokens (top-k, then top-p). The anchor ``A`` is the preceding layer
    that gives any candidate the highest probability ``p``; logits are ``l_N + alpha * p * l_A`` for candidates and
    ``-inf`` for other tokens. (Wang et al., as their code has it.)

    Parameters
    ----------
    alpha
        Weight of the preceding layer, >= 0. With 0 greedy tokens are the plain ones.
    layers
        Preceding layers to choose from: 0 is the embeddings, ``i`` the output of the ``i``-th layer. None for the
        paper's 20 to 28 of 32, scaled to the depth of the model.
    top_p, top_k
        The candidates: the fewest most probable tokens with at least ``top_p`` of the probability, at most ``top_k``.

    Raises
    ------
    SettingError
        If a value has no meaning, or a layer does not exist.
    """

    name: ClassVar[str] = "deco"
    paper: ClassVar[str] = "Wang et al., ICLR 2025, arXiv 2410.11779"
    changes: ClassVar[str] = "logits"
    extra_forwards: ClassVar[float] = 0.0

    alpha: float = setting(0.6, check_strength)
    layers: tuple[int, ...] | None = setting(None, check_chosen)
    top_p: float = setting(0.9, check_positive, check_share)
    top_k: int = setting(20, whole(1))

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", as_layers(self.layers))
        super().__post_init__()

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Correct the logits of every forward of ``model``; see `Method`."""
        found = find_exit(model)
        layers = checked_layers(found, paper_layers(found.depth) if self.layers is None else self.layers)

        def combine(logits: Tensor, early: Callable[[int], Tensor]) -> Tensor:
            return corrected(logits, early, layers, self.alpha, candidates(logits, self.top_p, self.top_k))

        with early_exits(found, layers, combine):
            yield


def paper_layers(depth: int) -> range:
    """Layers 20 to 28 of 32, for a model of another depth."""
    first = round(depth * _PAPER_FIRST / _PAPER_DEPTH)
    last = round(depth * _PAPER_LAST / _PAPER_DEPTH)
    return range(min(first, depth - 1), min(last, depth - 1) + 1)


def candidates(logits: Tensor, top_p: float, top_k: int) -> Tensor:
    """Which tokens may be chosen, ``(batch, rows, vocabulary)``, bool; the most probable one always may."""
    probabilities, tokens = logits.softmax(-1).topk(min(top_k, logits.shape[-1]), dim=-1)
    before = probabilities.cumsum(-1) - probabilities
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, tokens, before < top_p)


def corrected(
    logits: Tensor, early: Callable[[int], Tensor], layers: Sequence[int], alpha: float, allowed: Tensor
) -> Tensor:
    """``l_N + alpha * p * l_A`` of the candidates, ``-inf`` for the others, ``(batch, rows, vocabulary)``."""
    anchor, surest = torch.zeros_like(logits), torch.full_like(logits[..., :1], -1.0)
    for layer in layers:
        given = early(layer)
        sure = given.softmax(-1).masked_fill(~allowed, 0).amax(-1, keepdim=True)
        anchor = torch.where(sure > surest, given, anchor)
        surest = torch.maximum(sure, surest)
    return torch.where(allowed, logits + alpha * surest * anchor, -math.inf)
