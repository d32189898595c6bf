"""The one abstraction: a `Method` is a frozen dataclass that is called on a model and gives a context manager."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar, Self

from torch import nn

from farsight.block import Block, block_on
from farsight.errors import SettingError
from farsight.setting_checks import check_settings

CHANGES = ("scores", "gate", "states", "logits", "search", "answer")
"""What methods can change, in the order in which methods that are used together are applied: attention scores before
the softmax, how much of each row of attention is kept after it, hidden states, the logits, the search over them, and
the answer when it is there, which is no decoding any more (`farsight.methods.verified`)."""


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A training-free change of decoding.

    ::

        with method(model):
            model.generate(**inputs, max_new_tokens=256)

    Inside the block ``model.generate`` is the mitigated one, so pipelines, evaluation harnesses and a user's own
    loop run unchanged. On leaving, also by an exception, the model is what it was.

    ``FarSight() + BeamSearch()`` is both at once: see `Composed`.

    A subclass sets ``name`` and ``paper``, declares its parameters as fields with what they may be
    (`farsight.setting_checks.setting`) and implements ``applied``.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    changes: ClassVar[str]
    """One of `CHANGES`, or several of them joined by " and "; see `Composed`"""
    goes_with: ClassVar[tuple[str, ...]] = CHANGES
    """Changes of other methods with which it can be used together"""
    extra_forwards: ClassVar[float] = 0.0
    """Forward passes per new token beyond the one of greedy decoding, with default settings. A pass over several beams
    at once is one pass; a rollback's are not counted."""

    own_prompt: ClassVar[bool] = False
    """Whether it runs a second pass over a prompt that is longer or shorter than the model's own."""
    cache: ClassVar[str] = "any"
    """Whether generation needs a cache ("needed") or goes without one ("none")"""

    greedy_alike: ClassVar[bool] = False
    """Whether greedy decoding says the same without it, so that it is refused there"""

    def __new__(cls, *given: object, **settings: object) -> Self:
        if given:
            name = cls.__name__
            raise SettingError(
                f"settings of {name} are given by name, and a model after them: with {name}()(model): ..."
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def changed(self) -> tuple[str, ...]:
        """What it changes with these settings, of `CHANGES`."""
        return tuple(self.changes.split(" and "))

    @abstractmethod
    def applied(self, model: nn.Module) -> AbstractContextManager[object]:
        """Change ``model`` on entering the context and restore it exactly on leaving."""

    def __add__(self, other: Method) -> Composed:
        """Use both methods at once."""
        return Composed(methods=(self, other)) if isinstance(other, Method) else NotImplemented

    def __call__(self, model: nn.Module) -> Block:
        """Apply the method to ``model`` for the length of a ``with`` block.

        Other threads may generate inside the block; it is left when they have finished. Enter it before they do: a
        plain call that another thread has already begun is not known to it, and would be changed halfway.

        Raises
        ------
        SettingError
            If a method is already active on this model or a part of it.
        UnsupportedModelError
            If the method cannot be exact on this model; the message says why.
        """
        return Block(self, model)


@dataclass(frozen=True, kw_only=True)
class Plain(Method):
    """The model as it is: the baseline of every table."""

    name: ClassVar[str] = "plain"
    paper: ClassVar[str] = "plain decoding"
    changes: ClassVar[str] = "nothing"

    def applied(self, model: nn.Module) -> AbstractContextManager[object]:
        return nullcontext()


@dataclass(frozen=True, kw_only=True)
class Composed(Method):
    """Several methods on one model at once, each changing something else.

    Methods are applied in the order of `CHANGES`, whatever the order they are given in: registers are in the attention
    that a contrast's passes run, and a search is over what both make of the logits.

    Parameters
    ----------
    methods
        Two or more; composed ones among them are taken apart.

    Raises
    ------
    SettingError
        If two of them change the same thing (two contrasts of logits, say: neither paper says what the other's contrast
        is made of), if one changes nothing, or if one does not go with another.
    """

    name: ClassVar[str] = "composed"
    paper: ClassVar[str] = "several methods at once"
    changes: ClassVar[str] = "what its parts change"

    methods: tuple[Method, ...]

    def __post_init__(self) -> None:
        methods = [part for method in self.methods for part in parts(method)]
        if len(methods) < 2:
            raise SettingError("methods are composed of two or more, such as FarSight() + BeamSearch()")
        for method in methods:
            if method.changes == "nothing":
                raise SettingError(f"{method.name} changes nothing, so composing it with another means nothing")
        for one, other in permutations(methods, 2):
            _check_pair(one, other)
        order = sorted(methods, key=lambda method: CHANGES.index(method.changed[0]))
        object.__setattr__(self, "methods", tuple(order))

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Apply all methods to ``model``; see `Method`."""
        with ExitStack() as stack:
            for method in self.methods:
                stack.enter_context(method.applied(model))
            yield


def parts(method: Method) -> tuple[Method, ...]:
    """What a method is composed of: itself, if it is not."""
    return method.methods if isinstance(method, Composed) else (method,)


def searches(method: Method) -> bool:
    """Whether a method searches, so that no token is final, or streamed, before all are."""
    return any("search" in part.changed for part in parts(method))


def needs_drawing(method: Method) -> bool:
    """Whether greedy decoding would say the same without a part of a method: tokens must be drawn, or searched for."""
    return not searches(method) and any(part.greedy_alike for part in parts(method))


def _check_pair(one: Method, other: Method) -> None:
    """Raise if ``one`` cannot be used with ``other``; what holds both ways is found either way."""
    reason = None
    if one.name == other.name:
        reason = f"{one.name} cannot be composed with itself"
    elif both := [change for change in one.changed if change in other.changed]:
        reason = f"{one.name} and {other.name} both change the {both[0]}, and no paper says what they do together"
    elif not {change for change in other.changed if change != "answer"} <= set(one.goes_with):
        reason = (
            f"{one.name} goes with methods that change the {' or the '.join(one.goes_with)}; "
            f"{other.name} changes the {' and the '.join(other.changed)}"
        )
    elif other.own_prompt and getattr(one, "rows", "all") != "all":
        reason = (
            f"{other.name} runs a second pass over a prompt of its own, in which the rows of {one.name} would be "
            "others: use rows='all', or"
        )
    elif (one.cache, other.cache) == ("none", "needed"):
        reason = f"{one.name} generates without a cache, and {other.name} needs one"
    if reason is not None:
        raise SettingError(f"{reason} leave one out" if reason.endswith(" or") else f"{reason}: leave one out")


def enable(model: nn.Module, method: Method) -> None:
    """Apply ``method`` to ``model`` until ``disable``: the same as a ``with`` block, for code that cannot have one.

    Raises
    ------
    SettingError
        If a method is already active on this model.
    UnsupportedModelError
        If the method cannot be exact on this model.
    """
    method(model).enable()


def disable(model: nn.Module) -> None:
    """Undo ``enable``, when the calls that other threads have in progress are finished.

    A model on which nothing was enabled is left alone.

    Raises
    ------
    SettingError
        If the method was entered by a ``with`` block, or if this thread is inside a call of the model.
    """
    if (block := block_on(model)) is not None:
        block.disable()


def active_method(model: nn.Module) -> Method | None:
    """The method that is active on ``model`` now, or None."""
    block = block_on(model)
    return block.method if block is not None and isinstance(block.method, Method) else None
