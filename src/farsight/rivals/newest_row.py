"""The attention weights of the newest row of one layer, whatever kernel computes its attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from farsight.language_model import AttentionLayer, LanguageModel
from farsight.rivals.watched import WatchedCall, watched


class NewestRow:
    """Weights of the last query of the last forward, ``(batch, heads, keys)``, each row of sum 1; at least fp32."""

    def __init__(self) -> None:
        self.weights: Tensor | None = None

    def see(self, call: WatchedCall) -> None:
        """Take the last row of a call."""
        if call.weights is None:
            last = call.query.shape[2] - 1
            newest = call.scored(last, last + 1).weights[:, :, 0]
        else:
            newest = call.weights[:, :, -1].to(torch.promote_types(call.weights.dtype, torch.float32))
        self.weights = newest / newest.sum(-1, keepdim=True)


@contextmanager
def newest_row(language_model: LanguageModel, layer: AttentionLayer) -> Iterator[NewestRow]:
    """See the newest row of ``layer`` at every forward in a ``with`` block; what the model computes stays the same.

    Kernels that give no weights have those of this one row computed beside them: memory is linear in the length. Every
    head's row is scaled to sum 1, so gates and sinks that take a share of a whole row leave it as it is.
    """
    row = NewestRow()
    with watched(language_model, [layer], row.see):
        yield row
