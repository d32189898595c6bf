"""The block in which a method is on: entered once for a model, left when no thread is inside a call of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from types import TracebackType
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary, ref

import torch
from torch import nn
from transformers import GenerationMixin

from farsight.call import following
from farsight.errors import SettingError, UnsupportedModelError
from farsight.instances import replaced


class Applicable(Protocol):
    """What a block needs of a method."""

    changes: ClassVar[str]

    def applied(self, model: nn.Module) -> Any: ...


_claims: WeakKeyDictionary[nn.Module, ref[Block]] = WeakKeyDictionary()
_ENABLED = "farsight_enabled"
_lock = threading.Lock()


class Block:
    """A ``with`` block: inside it a method is on for a model, afterwards the model is exactly what it was.

    Meanwhile no other method may be put on any part of the model, and the model cannot be copied: a copy would run
    with the original's changes.
    """

    def __init__(self, method: Applicable, model: nn.Module) -> None:
        self.method, self.model = method, model
        self._stack = ExitStack()
        self._running = _Running()
        self.enabled = False

    def __enter__(self) -> nn.Module:
        self._claim()
        self._running, self.enabled = _Running(), False
        with ExitStack() as stack:
            stack.callback(self._release)
            stack.callback(vars(self.model).pop, _ENABLED, None)
            if self.method.changes != "nothing":
                stack.enter_context(following(self.model))
            stack.enter_context(self.method.applied(self.model))
            self._running.install(stack, self.model)
            self._stack = stack.pop_all()
        return self.model

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._running.finish():
            return
        try:
            self._stack.__exit__(kind, error, traceback)
        finally:
            self._running.release()

    def enable(self) -> None:
        """Enter for longer than a ``with`` block."""
        self.__enter__()
        vars(self.model)[_ENABLED] = self  # keeps the block for as long as the model
        self.enabled = True

    def disable(self) -> None:
        """Leave what `enable` entered."""
        if not self.enabled:
            raise SettingError(f"{self.method} was put on by a with block: leave that block to turn it off")
        self.__exit__(None, None, None)

    def _claim(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise UnsupportedModelError(
                f"a method is put on a model, and {type(self.model).__name__} is none: pass the torch module, such as "
                "a pipeline's .model"
            )
        with _lock:
            if (other := next((found for part in self.model.modules() if (found := block_on(part))), None)) is not None:
                how = "call farsight.disable(model)" if other.enabled else "leave that block"
                raise SettingError(
                    f"{type(other.model).__name__} is already enabled with {other.method}; {how} before enabling "
                    f"{self.method}"
                )
            for part in self.model.modules():
                _claims[part] = ref(self)

    def _release(self) -> None:
        with _lock:
            for part in self.model.modules():
                if block_on(part) is self:
                    del _claims[part]


def block_on(model: nn.Module) -> Block | None:
    """The block that a model, or a model of which this is a part, is in."""
    claim = _claims.get(model)
    return None if claim is None else claim()


class _Running:
    """Which threads are inside a call of the model. A call that begins while the block is being left waits for that."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._depth: dict[int, int] = {}
        self._leaving = self._left = False

    def install(self, stack: ExitStack, model: nn.Module) -> None:
        """Count every `generate` and every forward of the model, and refuse copies of what was changed."""
        for module in model.modules():
            if isinstance(module, GenerationMixin):
                stack.enter_context(replaced(module, "generate", self._counted(module, "generate")))
        stack.enter_context(replaced(model, "forward", self._counted(model, "forward")))
        for part in model.modules():
            vars(part)["__getstate__"] = _no_copies
            stack.callback(vars(part).pop, "__getstate__", None)

    def _counted(self, module: nn.Module, name: str) -> Callable[..., Any]:
        original = getattr(module, name)

        @wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return original(*args, **kwargs)
            if not self._begin():
                return getattr(module, name)(*args, **kwargs)  # the block was left while this call waited
            try:
                return original(*args, **kwargs)
            finally:
                self._end()

        return call

    def _begin(self) -> bool:
        me = threading.get_ident()
        with self._changed:
            if self._leaving and me not in self._depth:
                self._changed.wait_for(lambda: self._left or not self._leaving)
                if self._left:
                    return False
            self._depth[me] = self._depth.get(me, 0) + 1
            return True

    def _end(self) -> None:
        me = threading.get_ident()
        with self._changed:
            self._depth[me] -= 1
            if not self._depth[me]:
                del self._depth[me]
                self._changed.notify_all()

    def finish(self) -> bool:
        """Wait until no other thread is inside a call; refuse from inside a call of this thread.

        False where another thread has left the block meanwhile.
        """
        with self._changed:
            if threading.get_ident() in self._depth:
                raise SettingError(
                    "a method cannot be turned off from inside a call of its model: let the call end first"
                )
            self._changed.wait_for(lambda: self._left or not self._leaving)
            if self._left:
                return False
            self._leaving = True
            try:
                self._changed.wait_for(lambda: not self._depth)
            except BaseException:  # Ctrl-C: the block stays, and so does what runs in it
                self._leaving = False
                self._changed.notify_all()
                raise
            return True

    def release(self) -> None:
        """Let calls that waited go on with the model as it is now."""
        with self._changed:
            self._left = True
            self._changed.notify_all()


def _no_copies(*_: object) -> Any:
    raise SettingError(
        "a model cannot be copied or pickled while a method is on, the copy would keep a part of it: "
        "copy it before, or leave the block first"
    )
