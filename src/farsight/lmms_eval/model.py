"""The model of lmms-eval that puts a method around another of its models."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from lmms_eval import models
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from torch import nn

from farsight.errors import SettingError, UnsupportedModelError
from farsight.lmms_eval import NAME
from farsight.lmms_eval.arguments import choose_base, choose_method, with_device_map
from farsight.lmms_eval.failures import check_answers, loud
from farsight.lmms_eval.pictures import with_pictures_opened
from farsight.lmms_eval.task_settings import check_task_settings
from farsight.method import Method, Plain

_OWN = {"base", "base_name", "method", "allow_empty", "task_settings", "is_simple"}
"""Attributes of the wrapper; all others are the base model's."""


class FarSightChat(lmms):
    """A model of lmms-eval, decoding with a method.

    The base model makes the prompts and reads the answers as it always does. The method is applied to its Transformers
    model while it answers. Rank, cache hook, tasks and all else that lmms-eval sets or asks are the base model's.

    Parameters
    ----------
    base
        Name of a model of lmms-eval, such as ``llava_hf``.
    method
        Such as ``farsight``, or ``farsight(sigma=0.1)+beam``; see `farsight.lmms_eval.arguments.choose_method`.
    allow_empty
        Accept empty answers.
    task_settings
        "own" refuses a task that has settings for the base model, which lmms-eval finds by the name given to
        ``--model`` and so does not use here; "default" takes the task's default settings.
    arguments
        Settings of the method, and arguments of the base model.

    Raises
    ------
    SettingError
        If the base model or the method is unknown or not given, or an argument belongs to neither.
    UnsupportedModelError
        If the base model does not run a PyTorch model in this process.
    """

    is_simple = False

    def __init__(
        self,
        base: object = None,
        method: object = None,
        *,
        allow_empty: bool = False,
        task_settings: str = "own",
        **arguments: Any,
    ) -> None:
        if task_settings not in ("own", "default"):
            raise SettingError(f"task_settings must be own or default, got {task_settings!r}")
        known = set(models.list_available_models(include_aliases=True)) - {NAME}
        self.base_name = choose_base(base, known)
        make_base = _base_class(self.base_name, force_simple=type(self).is_simple)
        self.method, left = choose_method(method, arguments, self.base_name, make_base)
        self.allow_empty = allow_empty
        self.task_settings = task_settings
        # All state of an lmms is the base model's, so its __init__ has nothing to do here.
        self.base = make_base(**with_device_map(left, make_base, "cuda" if torch.cuda.is_available() else "cpu"))
        self.is_simple = self.base.is_simple
        transformers_model(self.base_name, self.base)

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # not set yet
            raise AttributeError(name)
        return getattr(self.base, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.base, name, value)

    def generate_until(self, requests: list[Instance]) -> Any:
        """Answer requests; see `lmms_eval.api.model.lmms.generate_until`."""
        return self._answered("generate_until", requests)

    def generate_until_multi_round(self, requests: list[Instance]) -> Any:
        """Answer requests of several rounds."""
        return self._answered("generate_until_multi_round", requests)

    def generate_visual_cot(self, requests: list[Instance]) -> Any:
        """Answer requests with a picture in between."""
        return self._answered("generate_visual_cot", requests)

    def loglikelihood(self, requests: list[Instance]) -> Any:
        """Score given answers, with plain decoding alone.

        Raises
        ------
        UnsupportedModelError
            With any other method: it changes how answers are generated, and here none is.
        """
        if not isinstance(self.method, Plain):
            raise UnsupportedModelError(
                f"{self.method.name} changes how answers are generated, and tasks of output_type loglikelihood "
                "generate none: use method=greedy, or the task's variant that generates"
            )
        return self.base.loglikelihood([_copied(request) for request in requests])

    def clean(self) -> None:
        """Free the base model."""
        self.base.clean()

    def _answered(self, kind: str, requests: Sequence[Instance]) -> Any:
        if self.task_settings == "own":
            check_task_settings(self.base_name, requests)
        model = transformers_model(self.base_name, self.base)
        method: Method = self.method
        with method(model), loud(model):
            answers = getattr(self.base, kind)([_copied(request) for request in requests])
        if not self.allow_empty:
            check_answers(self.base_name, requests, answers)
        return answers


class FarSightSimple(FarSightChat):
    """The same for ``--force_simple``: the base model's simple class, where it has one."""

    is_simple = True


def transformers_model(name: str, base: Any) -> nn.Module:
    """Find the PyTorch model of a model of lmms-eval.

    Raises
    ------
    UnsupportedModelError
        If it has none that generates, as those that ask a server or run in an engine of their own.
    """
    for attribute in ("model", "_model"):
        found = getattr(base, attribute, None)
        if isinstance(found, nn.parallel.DistributedDataParallel):
            found = found.module
        if isinstance(found, nn.Module) and callable(getattr(found, "generate", None)):
            return found
    raise UnsupportedModelError(
        f"lmms-eval's model '{name}' has no PyTorch model in this process whose generate could be changed; "
        "choose one that runs Transformers, such as llava_hf, qwen2_5_vl or huggingface"
    )


def _base_class(name: str, *, force_simple: bool) -> Any:
    try:
        return models.get_model(name, force_simple=force_simple)
    except ImportError as error:
        raise SettingError(f"base '{name}' needs a package that is not installed: {error}") from error


def _copied(request: Instance) -> Instance:
    """A request whose generation arguments may be changed, as base models do, without a trace in lmms-eval's cache.

    Its pictures are opened as everywhere else.
    """
    own = copy.copy(request)
    own.arguments = tuple(
        copy.deepcopy(one) if isinstance(one, dict) else with_pictures_opened(one) for one in request.args
    )
    return own
