"""What only a module's source says, read here and nowhere else.

What a module does decides wherever it can be seen: the first forward says whether a layer ran its taps. What is asked
here is needed before there is a forward; a yes is sure, and what cannot be read is a no.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType

from torch import nn
from transformers import GenerationMixin, PreTrainedModel

_GENERAL = {*PreTrainedModel.__mro__, *GenerationMixin.__mro__}
_IMPLEMENTATIONS = {"eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "flash_attention_4"}


@cache
def leaves_out_the_interface(kind: type[nn.Module]) -> bool:
    """Whether nothing that an attention layer calls in its file looks up Transformers' attention functions.

    Such a layer runs no tap, which the first forward finds as well; that would be after a server has started, say.
    """
    codes = list(_codes(kind))
    return bool(codes) and not any("ALL_ATTENTION_FUNCTIONS" in code.co_names for code in codes)


@cache
def normalises_heads(kind: type[nn.Module]) -> bool:
    """Whether rows of single heads are brought to one length before heads are put together (Muse Spark).

    The order in which a forward calls its parts is nowhere else: norms of queries and keys look the same.
    """
    try:
        return (
            re.search(
                r"norm\(attn_output\)\s*\.(reshape|view|flatten)\(", inspect.getsource(inspect.unwrap(kind.forward))
            )
            is not None
        )
    except (OSError, TypeError):
        return False


@cache
def asks_for_the_name(kind: type[nn.Module]) -> bool:
    """Whether a method of a module compares the name of the attention implementation with one that it knows.

    Only such a module is shown a `StandInName`: `torch.compile` traces no string that is not a plain one.
    """
    return any(
        "_attn_implementation" in code.co_names and not _IMPLEMENTATIONS.isdisjoint(_constants(code))
        for code in _codes(kind)
    )


def _codes(kind: type[nn.Module]) -> Iterator[CodeType]:
    """The code of all methods of a class and its bases, without what all of Transformers' models share."""
    for base in kind.__mro__:
        if base not in _GENERAL:
            for member in vars(base).values():
                function = inspect.unwrap(getattr(member, "__func__", member))
                if inspect.isfunction(function):
                    yield from _with_called(function, set())


def _with_called(function: FunctionType, seen: set[FunctionType]) -> Iterator[CodeType]:
    """The code of a function and of those beside it in its file that it calls."""
    seen.add(function)
    for code in _with_inner(function.__code__):
        yield code
        for name in code.co_names:
            called = function.__globals__.get(name)
            if inspect.isfunction(called) and called.__module__ == function.__module__ and called not in seen:
                yield from _with_called(called, seen)


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def _constants(code: CodeType) -> set[object]:
    """Constants of a function, also those of tuples and sets that something is looked for in."""
    found: set[object] = set()
    for constant in code.co_consts:
        found.update(constant if isinstance(constant, tuple | frozenset) else (constant,))
    return found
