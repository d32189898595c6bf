"""The names under which tapped attention stands in Transformers' registries: the one place that makes and reads them.

Transformers looks an attention function up by the name that a config holds. While a model is tapped its configs name
``farsight_sdpa`` instead of ``sdpa``; the function of that name runs a layer's own implementation unchanged unless that
very layer carries taps. What is registered globally is a name; nothing of Transformers is patched.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface

from farsight.attention.layers import LanguageModel
from farsight.attention.source import asks_for_the_name
from farsight.errors import UnsupportedModelError

_PREFIX = "farsight_"
_lock = threading.Lock()


@dataclass(kw_only=True, eq=False)
class _Named:
    """A config that holds a name of ours: what it held before, and how many blocks need it."""

    config: Any
    before: Any
    name: str
    blocks: int = 0

    @property
    def holds(self) -> bool:
        """Whether nobody else has set a name in the meantime."""
        return self.config._attn_implementation_internal is self.name


_named: dict[int, _Named] = {}


class StandInName(str):
    """A name of an attention implementation that also equals the one it stands for.

    Some models ask whether the implementation is ``"sdpa"`` or ``"eager"`` before they build a mask (of the keys that
    a sparse indexer chose, say); what holds for the plain one holds for its stand-in. It equals both names and hashes
    as the new one: a comparison finds either, a look-up in a registry the new one alone.

    Parameters
    ----------
    name
        The new name.
    plain
        The one it stands for.
    """

    plain: str

    def __new__(cls, name: str, plain: str = "") -> StandInName:
        made = super().__new__(cls, name)
        made.plain = plain
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and (str.__eq__(self, other) or str.__eq__(self.plain, other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def own_name(implementation: str | None) -> str:
    """The implementation that a name stands for: itself, or what a tapped model used before."""
    return str(implementation or "eager").removeprefix(_PREFIX)


def attention_function(implementation: str, module: nn.Module) -> Callable[..., Any]:
    """What a layer runs under the name of an implementation: Transformers' function, or its own file's eager one."""
    functions = AttentionInterface()
    if implementation not in functions:
        functions = vars(sys.modules[type(module).__module__])
        implementation = "eager_attention_forward"
    function: Callable[..., Any] = functions[implementation]
    return function


@contextmanager
def named(language_model: LanguageModel, attend: Callable[[str], Callable[..., Any]]) -> Iterator[None]:
    """Let the configs of a language model name tapped attention for the length of a ``with`` block.

    Blocks may overlap and be left in any order, also those of models that share a config: the last one that is left
    puts back what the config held. A name that somebody else has set in the meantime stays, and a forward with it is an
    error: its layers would go on without their taps.

    Parameters
    ----------
    language_model
        The language model whose configs name the attention.
    attend
        Gives the function to register beside an implementation; asked once for each name.
    """
    kinds: set[Any] = {type(module) for module in language_model.module.modules()}
    asks = any(asks_for_the_name(kind) for kind in kinds)
    configs = language_model.configs

    def check(module: nn.Module, args: Any) -> None:
        for config in () if torch.compiler.is_compiling() else configs:
            if (held := _named.get(id(config))) is None or not held.holds:
                raise UnsupportedModelError(
                    f"the attention implementation was changed to '{config._attn_implementation}' inside a method's "
                    "block, so the method would no longer be on: leave the block, change it, and enter again"
                )

    with ExitStack() as stack:
        for config in configs:
            stack.enter_context(_holding(config, lambda name: _registered(name, attend, asks)))
        stack.callback(language_model.module.register_forward_pre_hook(check).remove)
        yield


@contextmanager
def _holding(config: Any, registered: Callable[[str], str]) -> Iterator[None]:
    with _lock:
        held = _named.get(id(config))
        if held is None or not held.holds:
            before = config._attn_implementation
            held = _named[id(config)] = _Named(config=config, before=before, name=registered(own_name(before)))
            config._attn_implementation_internal = held.name
        held.blocks += 1
    try:
        yield
    finally:
        with _lock:
            held.blocks -= 1
            if held.blocks == 0:
                if held.holds:
                    config._attn_implementation_internal = held.before
                if _named.get(id(config)) is held:
                    del _named[id(config)]


def _registered(implementation: str, attend: Callable[[str], Callable[..., Any]], asks: bool) -> str:
    """The name for an implementation, registered with its mask: without one Transformers hands over no mask at all."""
    name = _PREFIX + implementation
    masks = AttentionMaskInterface()
    if name not in masks:
        AttentionInterface.register(name, attend(implementation))
        AttentionMaskInterface.register(
            name, masks["flash_attention_2" if "flash" in implementation else implementation]
        )
    return StandInName(name, implementation) if asks else name
