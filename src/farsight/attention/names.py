"""The names under which tapped attention stands in Transformers' registries: the one place that makes and reads them.

Transformers looks an attention function up by the name that a config holds. While a model is tapped its configs name
``farsight_sdpa`` instead of ``sdpa``; the function of that name runs a layer's own implementation unchanged unless that
very layer carries taps. What is registered globally is a name; nothing of Transformers is patched.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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
    if implementation in functions:
        function: Callable[..., Any] = functions[implementation]
    else:
        function = sys.modules[type(module).__module__].eager_attention_forward
    return function


@contextmanager
def named(language_model: LanguageModel, attend: Callable[[str], Callable[..., Any]]) -> Iterator[None]:
    """Let the configs of a language model name tapped attention for the length of a ``with`` block.

    Blocks may overlap and be left in any order, also those of models that share a config: the last one that is left
    puts back what the config held. A name that somebody else has set in the meantime stays.

    Parameters
    ----------
    language_model
        Whose configs.
    attend
        Gives the function to register beside an implementation; asked once for each name.
    """
    kinds: set[Any] = {type(module) for module in language_model.module.modules()}
    asks = any(asks_for_the_name(kind) for kind in kinds)
    entered: list[_Named] = []
    try:
        for config in language_model.configs:
            with _lock:
                held = _named.get(id(config))
                if held is None or not _holds(held):
                    held = _Named(
                        config=config,
                        before=config._attn_implementation,
                        name=_registered(own_name(config._attn_implementation), attend, asks),
                    )
                    config._attn_implementation_internal = held.name
                    _named[id(config)] = held
                held.blocks += 1
                entered.append(held)
        yield
    finally:
        for held in entered:
            with _lock:
                held.blocks -= 1
                if held.blocks == 0:
                    if _holds(held):
                        held.config._attn_implementation_internal = held.before
                    if _named.get(id(held.config)) is held:
                        del _named[id(held.config)]


def check_names(language_model: LanguageModel) -> None:
    """Raise if a tapped model's attention implementation was changed: its layers would go on without their taps.

    Raises
    ------
    UnsupportedModelError
        The message names the implementation.
    """
    for config in language_model.configs:
        held = _named.get(id(config))
        if held is None or not _holds(held):
            raise UnsupportedModelError(
                f"the attention implementation was changed to '{config._attn_implementation}' inside a method's block, "
                "so the method would no longer be on: leave the block, change it, and enter again"
            )


def _holds(held: _Named) -> bool:
    return held.config._attn_implementation_internal is held.name


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
