"""Failures that a model of lmms-eval would hide: errors of ``generate``, and empty answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

from lmms_eval.api.instance import Instance, unwrap_generation_output
from torch import nn
from transformers import GenerationMixin

from farsight.errors import InputError
from farsight.instances import replaced


class _GenerateError(BaseException):
    """Carries an error of ``generate`` through the ``except Exception`` of a model that would go on with ""."""


@contextmanager
def loud(model: nn.Module) -> Iterator[None]:
    """Let an error of ``generate`` end the evaluation.

    Many models of lmms-eval catch every exception and answer "", which would be scored as if the model had said it.

    Raises
    ------
    Exception
        What ``generate`` raised, as it was.
    """
    with ExitStack() as stack:
        for module in model.modules():
            if module is model or isinstance(module, GenerationMixin):
                generate: Any = module.generate
                stack.enter_context(replaced(module, "generate", _loud(generate)))
        try:
            yield
        except _GenerateError as carrier:
            raise carrier.args[0] from None


def _loud(generate: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(generate)
    def loud_generate(*args: Any, **kwargs: Any) -> Any:
        try:
            return generate(*args, **kwargs)
        except Exception as error:
            raise _GenerateError(error) from error

    return loud_generate


def check_answers(base: str, requests: Sequence[Instance], answers: Sequence[Any]) -> None:
    """Refuse empty answers: a model of lmms-eval gives them also where something went wrong.

    Raises
    ------
    InputError
        If there is not one answer for each request, or one is empty; the message names the first such item.
    """
    if len(answers) != len(requests):
        raise InputError(f"'{base}' gave {len(answers)} answers to {len(requests)} requests; see its log")
    empty = [request for request, answer in zip(requests, answers, strict=True) if _is_empty(answer)]
    if empty:
        raise InputError(
            f"'{base}' gave {len(empty)} empty answers to {len(requests)} requests, the first to item "
            f"{empty[0].doc_id} of {empty[0].task_name}: its log may say why; if the model really says nothing there, "
            "add allow_empty=true to --model_args"
        )


def _is_empty(answer: Any) -> bool:
    said, _ = unwrap_generation_output(answer)
    rounds = said if isinstance(said, list) else [said]
    return any(isinstance(one, str) and not one.strip() for one in rounds)
