"""DoLa: contrast the last layer with an early one (Chuang et al., ICLR 2024)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.method import Method
from farsight.methods.early_exit import Exit, as_layers, checked_layers, early_exits, find_exit
from farsight.setting_checks import check_indices, check_share, check_switch, one_of, setting


@dataclass(frozen=True, kw_only=True)
class DoLa(Method):
    """Decode from ``log p_N - log p_M``: what the last layer ``N`` knows and a premature layer ``M`` does not.

    ``M`` is the candidate layer whose distribution differs most from the last one's, by Jensen-Shannon divergence,
    for each row and token anew (dynamic), or the one layer that is given (static). Tokens with
    ``p_N(x) < relative_top * max p_N`` are excluded. (Chuang et al., sections 2.2 and 2.3.)

    Parameters
    ----------
    layers
        Candidates: ``"low"`` (every second layer of the lower half, at most 20 layers deep; for long answers),
        ``"high"`` (of the upper half; for short answers), or numbers: 0 is the embeddings, ``i`` the output of
        the ``i``-th layer. One number is static DoLa.
    relative_top
        Share of the highest probability that a token needs, in [0, 1]. 1 keeps the highest alone: plain greedy tokens.
    final_norm
        Whether early states go through the model's final norm before its head, which the published code leaves out.

    Raises
    ------
    SettingError
        If a value has no meaning, or a layer does not exist.
    """

    name: ClassVar[str] = "dola"
    paper: ClassVar[str] = "Chuang et al., ICLR 2024, arXiv 2309.03883"
    changes: ClassVar[str] = "logits"
    extra_forwards: ClassVar[float] = 0.0

    layers: str | tuple[int, ...] = setting("low", one_of("low", "high") | check_indices)
    relative_top: float = setting(0.1, check_share)
    final_norm: bool = setting(True, check_switch)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", as_layers(self.layers))
        super().__post_init__()

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Contrast the logits of every forward of ``model``; see `Method`."""
        found = find_exit(model)
        layers = checked_layers(found, self.candidates(found))

        def combine(logits: Tensor, early: Callable[[int], Tensor]) -> Tensor:
            return contrasted(logits, early, layers, self.relative_top)

        with early_exits(found, layers, combine, final_norm=self.final_norm):
            yield

    def candidates(self, found: Exit) -> Sequence[int]:
        """The candidate layers in a model, as Transformers' recipe chooses them for ``"low"`` and ``"high"``.

        The embeddings are no candidate where the head is the embedding matrix: each token would predict itself.
        """
        if not isinstance(self.layers, str):
            return self.layers
        depth = found.depth
        if self.layers == "high":
            return range(depth // 2 if depth <= 40 else depth - 20, depth, 2)
        first = min(2, depth - 1) if found.is_tied else 0
        return range(first, depth // 2 if depth <= 40 else 20, 2) or (first,)


def contrasted(logits: Tensor, early: Callable[[int], Tensor], layers: Sequence[int], relative_top: float) -> Tensor:
    """``log p_N - log p_M`` of plausible tokens, ``-inf`` for the others, ``(batch, rows, vocabulary)``."""
    final = logits.log_softmax(-1)
    premature = early(layers[0]).log_softmax(-1)
    if len(layers) > 1:
        furthest = jensen_shannon(final, premature)
        for layer in layers[1:]:  # one candidate at a time: a whole vocabulary of each would need much memory
            candidate = early(layer).log_softmax(-1)
            divergence = jensen_shannon(final, candidate)
            premature = torch.where((divergence > furthest).unsqueeze(-1), candidate, premature)
            furthest = torch.maximum(divergence, furthest)
    floor = final.amax(-1, keepdim=True) + (math.log(relative_top) if relative_top > 0 else -math.inf)
    return torch.where(final < floor, -math.inf, final - premature)


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two distributions in nats, from their log-probabilities ``(..., vocabulary)``."""
    middle = torch.logaddexp(first, second) - math.log(2)
    divergence = [torch.where(p > -math.inf, p.exp() * (p - middle), 0).sum(-1) for p in (first, second)]
    return (divergence[0] + divergence[1]) / 2
