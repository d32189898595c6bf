"""One file per attention implementation of Transformers, each giving plain attention and its log-sum-exp."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from farsight.attention.kernels.attended import Attended
from farsight.attention.kernels.eager import eager_attention
from farsight.attention.kernels.flash import flash
from farsight.attention.kernels.flex import flex
from farsight.attention.kernels.sdpa import sdpa_attention

_KERNELS: dict[str, Callable[..., Attended]] = {
    "eager": eager_attention,
    "sdpa": sdpa_attention,
    "flex_attention": flex,
}


def kernel_of(implementation: str) -> Callable[..., Attended] | None:
    """The kernel that stands for an implementation of Transformers; None if that gives no log-sum-exp."""
    if "flash" in implementation and "|" not in implementation:
        return partial(flash, implementation=implementation)
    return _KERNELS.get(implementation)
