"""Where logits are changed: in the ``forward`` of the module that generates, replaced on the instance.

A hook would be missed by whoever calls ``model.forward`` itself. That something is changed is checked: a `generate`
that runs no such forward is an error.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin

from farsight.call import calls_of
from farsight.errors import SettingError, UnsupportedModelError
from farsight.instances import replaced


@contextmanager
def logits_changed(model: nn.Module, rule: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replace the logits of every forward of ``model`` by what a rule makes of them, for a ``with`` block.

    Parameters
    ----------
    model
        A model that generates, or a wrapper around one.
    rule
        Gets the logits that a forward gives, ``(batch, rows, vocabulary)``, at least fp32, and gives those to decode
        from. Each row stands for itself: rows are those of a prompt, the newest alone, or several candidates.

    Raises
    ------
    UnsupportedModelError
        If nothing in ``model`` generates; after a `generate` that ran no forward of the module that has it.
    SettingError
        In a forward that is asked for a loss.
    """
    module = generating(model)
    own_forward = module.forward
    names = list(inspect.signature(own_forward).parameters)

    def changed(*args: Any, **kwargs: Any) -> Any:
        inputs = {**dict(zip(names, args, strict=False)), **kwargs}
        if inputs.get("labels") is not None:
            raise SettingError("a loss would be that of the plain logits: compute it outside of the method's block")
        output = own_forward(**{**inputs, "return_dict": True})
        own = output.logits
        output.logits = rule(own.to(torch.promote_types(own.dtype, torch.float32)))
        return output if inputs.get("return_dict", True) is not False else output.to_tuple()

    with forward_replaced(module, changed):
        yield


@contextmanager
def logits_changed_by_answer(model: nn.Module, rule: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
    """Replace logits by what a rule makes of them and of the answer so far, for a ``with`` block.

    Parameters
    ----------
    model
        A model that generates, or a wrapper around one, for which a method is on.
    rule
        Gets the logits of the next token, ``(batch, vocabulary)``, at least fp32, and the token ids of the answer up to
        it, ``(batch, said)``, and gives the logits to decode from. The prompt is no part of the answer. In a batch an
        answer that has ended goes on with padding; beams are sequences of the batch, each with its own answer.

    Raises
    ------
    UnsupportedModelError
        As `logits_changed` does.
    SettingError
        In a forward outside of `generate`, which does not say where the answer begins.
    """
    module, calls, here = generating(model), calls_of(model), threading.local()
    prepare = module.prepare_inputs_for_generation

    @wraps(prepare)
    def noted(input_ids: Tensor, *args: Any, **kwargs: Any) -> Any:
        here.tokens = input_ids
        return prepare(input_ids, *args, **kwargs)

    def of_rows(logits: Tensor) -> Tensor:
        if calls.call is None:
            raise SettingError(
                "this method reads the answer so far, and a forward outside of generate does not say where the answer "
                "begins: call model.generate"
            )
        answer = here.tokens[:, calls.call.given_ids :]
        changed = logits.clone()
        for ahead in range(min(logits.shape[1], answer.shape[1] + 1)):  # several rows: candidates, newest last
            said = answer[:, : answer.shape[1] - ahead]
            changed[:, -1 - ahead] = rule(logits[:, -1 - ahead], said)
        return changed

    with replaced(module, "prepare_inputs_for_generation", noted), logits_changed(model, of_rows):
        yield


def generating(model: nn.Module) -> Any:
    """The module that generates: ``model``, or the one that it wraps.

    Raises
    ------
    UnsupportedModelError
        If there is none.
    """
    for module in model.modules():
        if isinstance(module, GenerationMixin):
            return module
    raise UnsupportedModelError(
        f"{type(model).__name__} has no generate, so there are no logits to change: put the method on one that has"
    )


@contextmanager
def forward_replaced(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Put ``forward`` in the place of the one of a module that generates, for a ``with`` block.

    Raises
    ------
    UnsupportedModelError
        After a `generate` in which it did not run, because a part of the module has a loop of its own.
    """
    here = threading.local()
    generate = module.generate

    @wraps(module.forward)
    def noted(*args: Any, **kwargs: Any) -> Any:
        if not torch.compiler.is_compiling():
            here.ran = True
        return forward(*args, **kwargs)

    @wraps(generate)
    def checked(*args: Any, **kwargs: Any) -> Any:
        before, here.ran = getattr(here, "ran", False), False
        try:
            output = generate(*args, **kwargs)
            if not here.ran:
                raise UnsupportedModelError(
                    f"{type(module).__name__} generates with a part of itself, whose logits this method does not see: "
                    "put it on that part if it needs no image, or use farsight or beam"
                )
        finally:
            here.ran = before
        return output

    with ExitStack() as stack:
        stack.enter_context(replaced(module, "forward", noted))
        stack.enter_context(replaced(module, "generate", checked))
        yield
