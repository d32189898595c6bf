"""The attention weights of the newest row of one layer, whatever kernel computes its attention."""

from __future__ import annotations

import threading

from torch import Tensor

from farsight.attention import LayerCall, Tap


class NewestRow(Tap):
    """Weights of the last query of this thread's last forward, ``(batch, heads, keys)``, each row of sum 1.

    Kernels that give no weights have those of this one row computed beside them: memory is linear in the length. Every
    head's row is scaled to sum 1, so gates and sinks that take a share of a whole row leave it as it is.
    """

    def __init__(self) -> None:
        self._here = threading.local()

    @property
    def weights(self) -> Tensor:
        """At least fp32."""
        weights: Tensor = self._here.weights
        return weights

    def see(self, call: LayerCall) -> None:
        """Take the last row of a call."""
        last = call.query.shape[2] - 1
        newest = call.rows(last, last + 1)[:, :, 0]
        self._here.weights = newest / newest.sum(-1, keepdim=True)
