"""One file per attention implementation of Transformers, each giving plain attention and its log-sum-exp."""

from __future__ import annotations

from collections.abc import Callable

from farsight.attention.kernels.eager import eager_attention
from farsight.attention.kernels.flash import flash
from farsight.attention.kernels.flex import flex
from farsight.attention.kernels.sdpa import sdpa_attention
from farsight.attention.layer_call import Attended, LayerCall

Kernel = Callable[[LayerCall], Attended]

_KERNELS: dict[str, Kernel] = {"eager": eager_attention, "sdpa": sdpa_attention, "flex_attention": flex}


def kernel_of(implementation: str) -> Kernel | None:
    """The kernel that stands for an implementation of Transformers; None if that gives no log-sum-exp."""
    return flash if "flash" in implementation and "|" not in implementation else _KERNELS.get(implementation)
