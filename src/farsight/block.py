"""The block in which a method is on: entered once for a model, left when no thread is inside a call of it."""

from __future__ import annotations

import threading
from collections import Counter
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
_lock = threading.Lock()


class Block:
    """A ``with`` block: inside it a method is on for a model, afterwards the model is exactly what it was.

    Meanwhile no other method may be put on any part of the model, and the model cannot be copied: a copy would run
    with the original's changes.
    """

    def __init__(self, method: Applicable, model: nn.Module) -> None:
        self.method, self.model = method, model
        self.enabled = False
        self._running, self._stack = _Running(), ExitStack()

    def __enter__(self) -> nn.Module:
        return self._enter(enabled=False)

    def _enter(self, enabled: bool) -> nn.Module:
        self._claim(enabled, running := _Running())
        with ExitStack() as stack:
            stack.callback(running.become, "left")
            stack.callback(self._release)
            if enabled:  # keeps the block for as long as the model
                stack.enter_context(replaced(self.model, "farsight_enabled", self.disable))
            if self.method.changes != "nothing":
                stack.enter_context(following(self.model))
            stack.enter_context(self.method.applied(self.model))
            running.install(stack, self.model)
            self._stack = stack.pop_all()
        running.become("on")
        return self.model

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running.finish():
            self._stack.__exit__(kind, error, traceback)

    def enable(self) -> None:
        """Enter for longer than a ``with`` block."""
        self._enter(enabled=True)

    def disable(self) -> None:
        """Leave what `enable` entered, or is entering on another thread."""
        if not self.enabled:
            raise SettingError(f"{self.method} was put on by a with block: leave that block to turn it off")
        self.__exit__(None, None, None)

    def _claim(self, enabled: bool, running: _Running) -> None:
        if not isinstance(self.model, nn.Module):
            raise UnsupportedModelError(
                f"a method is put on a model, and {type(self.model).__name__} is none: "
                + (
                    "write method(pipeline.model)"
                    if isinstance(getattr(self.model, "model", None), nn.Module)
                    else "pass the torch module"
                )
            )
        with _lock:
            if (other := next((found for part in self.model.modules() if (found := block_on(part))), None)) is not None:
                how = "call farsight.disable(model)" if other.enabled else "leave that block"
                raise SettingError(
                    f"{type(other.model).__name__} is already enabled with {other.method}; {how} before enabling "
                    f"{self.method}"
                )
            self.enabled, self._running = enabled, running
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
        self._inside: Counter[int] = Counter()
        self._state = "entering"  # then on, leaving, left

    def install(self, stack: ExitStack, model: nn.Module) -> None:
        """Count every `generate` and every forward of the model, and refuse copies of what was changed."""
        counted = [(module, "generate") for module in model.modules() if isinstance(module, GenerationMixin)]
        for module, name in [*counted, (model, "forward")]:
            stack.enter_context(replaced(module, name, self._counted(module, name)))
        for part in model.modules():
            stack.enter_context(replaced(part, "__getstate__", _no_copies))

    def _counted(self, module: nn.Module, name: str) -> Callable[..., Any]:
        original = getattr(module, name)

        @wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return original(*args, **kwargs)
            me = threading.get_ident()
            with self._changed:
                if is_on := me in self._inside or self._settled():
                    self._inside[me] += 1
            if not is_on:  # the block was left while this call waited
                return getattr(module, name)(*args, **kwargs)
            try:
                return original(*args, **kwargs)
            finally:
                with self._changed:
                    self._inside -= Counter([me])
                    self._changed.notify_all()

        return call

    def _settled(self) -> bool:
        """Wait until the block is entered or left; whether it is on."""
        self._changed.wait_for(lambda: self._state in ("on", "left"))
        return self._state == "on"

    def become(self, state: str) -> None:
        """Let calls that waited go on with the model as it is now."""
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def finish(self) -> bool:
        """Wait until no other thread is inside a call; refuse from inside a call of this thread.

        False where another thread has left the block meanwhile, or it was never entered.
        """
        with self._changed:
            if threading.get_ident() in self._inside:
                raise SettingError(
                    "a method cannot be turned off from inside a call of its model: let the call end first"
                )
            if not self._settled():
                return False
            self._state = "leaving"
            try:
                self._changed.wait_for(lambda: not self._inside)
            except BaseException:  # Ctrl-C: the block stays, and so does what runs in it
                self.become("on")
                raise
            return True


def _no_copies(*_: object) -> Any:
    raise SettingError(
        "a model cannot be copied or pickled while a method is on, the copy would keep a part of it: "
        "copy it before, or leave the block first"
    )
