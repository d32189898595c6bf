"""The one abstraction: a `Method` is a frozen dataclass that is called on a model and gives a context manager."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import ClassVar
from weakref import WeakKeyDictionary

from torch import nn

from farsight.errors import SettingError

_active: WeakKeyDictionary[nn.Module, Method] = WeakKeyDictionary()
_enabled: WeakKeyDictionary[nn.Module, ExitStack] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A training-free change of decoding.

    ::

        with method(model):
            model.generate(**inputs, max_new_tokens=256)

    Inside the block ``model.generate`` is the mitigated one, so pipelines, evaluation harnesses and a user's own
    loop run unchanged. On leaving, also by an exception, the model is what it was.

    A subclass sets ``name`` and ``paper``, declares its parameters as fields, checks them in ``__post_init__`` and
    implements ``applied``.
    """

    name: ClassVar[str]
    paper: ClassVar[str]

    @abstractmethod
    def applied(self, model: nn.Module) -> AbstractContextManager[object]:
        """Change ``model`` on entering the context and restore it exactly on leaving."""

    @contextmanager
    def __call__(self, model: nn.Module) -> Iterator[nn.Module]:
        """Apply the method to ``model`` for the length of a ``with`` block.

        Raises
        ------
        SettingError
            If a method is already active on this model.
        UnsupportedModelError
            If the method cannot be exact on this model; the message says why.
        """
        if (active := _active.get(model)) is not None:
            raise SettingError(
                f"{type(model).__name__} is already enabled with {active}; "
                f"leave that block or call farsight.disable(model) before enabling {self}"
            )
        _active[model] = self
        try:
            with self.applied(model):
                yield model
        finally:
            del _active[model]


@dataclass(frozen=True, kw_only=True)
class Plain(Method):
    """The model as it is: the baseline of every table."""

    name: ClassVar[str] = "plain"
    paper: ClassVar[str] = "plain decoding"

    def applied(self, model: nn.Module) -> AbstractContextManager[object]:
        return nullcontext()


def enable(model: nn.Module, method: Method) -> None:
    """Apply ``method`` to ``model`` until ``disable``: the same as a ``with`` block, for code that cannot have one.

    Raises
    ------
    SettingError
        If a method is already active on this model.
    UnsupportedModelError
        If the method cannot be exact on this model.
    """
    stack = ExitStack()
    stack.enter_context(method(model))
    _enabled[model] = stack


def disable(model: nn.Module) -> None:
    """Undo ``enable``. A model on which nothing was enabled is left alone."""
    if (stack := _enabled.pop(model, None)) is not None:
        stack.close()


def active_method(model: nn.Module) -> Method | None:
    """The method that is active on ``model`` now, or None."""
    return _active.get(model)
