"""A model of VLMEvalKit that decodes with a method."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import nn

from farsight.errors import InputError, UnsupportedModelError
from farsight.method import Method

FAILED = "Chat Mode: Failed with all possible conversation turns."
"""What VLMEvalKit has for an answer where every turn of a conversation ended with an error."""


def make(name: str, base: Callable[..., Any], method: Method, **arguments: Any) -> Any:
    """Make a model of VLMEvalKit, whose Transformers model is under a method while it answers.

    Parameters
    ----------
    name
        What VLMEvalKit calls the model.
    base
        Makes the model of VLMEvalKit.
    method
        How to decode.
    arguments
        Arguments of ``base``.

    Raises
    ------
    UnsupportedModelError
        If it has no PyTorch model that generates, or the method does not run on it.
    """
    model = base(**arguments)
    inner = transformers_model(name, model)
    with method(inner):  # what is refused is refused before anything is asked
        pass
    for ask in ("generate", "chat"):
        if callable(getattr(model, ask, None)):
            setattr(model, ask, _mitigated(name, getattr(model, ask), method, inner))
    return model


def _mitigated(name: str, ask: Callable[..., Any], method: Method, inner: nn.Module) -> Callable[..., Any]:
    @wraps(ask)
    def mitigated(*arguments: Any, **more: Any) -> Any:
        with method(inner):
            answer = ask(*arguments, **more)
        if answer == FAILED:
            raise InputError(f"'{name}' failed in every turn of a conversation; its log says why")
        return answer

    return mitigated


def transformers_model(name: str, model: Any) -> nn.Module:
    """Find the PyTorch model of a model of VLMEvalKit.

    Raises
    ------
    UnsupportedModelError
        If it has none that generates, as those that ask a server or run in an engine of their own.
    """
    attributes = dict(vars(model))
    for found in (attributes.get("model"), *attributes.values()):
        if isinstance(found, nn.Module) and callable(getattr(found, "generate", None)):
            return found
    raise UnsupportedModelError(
        f"VLMEvalKit's model '{name}' has no PyTorch model in this process whose generate could be changed; choose one "
        "that runs Transformers, such as llava_next_vicuna_7b or Qwen2.5-VL-7B-Instruct"
    )
