"""Settings that a task of lmms-eval has for one model alone, which lmms-eval finds by the name given to ``--model``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lmms_eval.api.instance import Instance
from lmms_eval.api.task import Task

from farsight.errors import SettingError
from farsight.lmms_eval import NAME

_KINDS = ("lmms_eval_specific_kwargs", "model_specific_target_kwargs", "model_specific_generation_kwargs")


def check_task_settings(base: str, requests: Sequence[Instance]) -> None:
    """Refuse a task that asks the base model in another way than other models, since it would not be asked so here.

    Raises
    ------
    SettingError
        If a task has settings for ``base`` and none for ``farsight``.
    """
    for task in _tasks(requests):
        for kind in _KINDS:
            settings: Any = getattr(task.config, kind, None)
            if isinstance(settings, dict) and base in settings and NAME not in settings:
                raise SettingError(
                    f"task '{task.config.task}' has {kind} for '{base}', which lmms-eval gives only to --model {base}: "
                    f"write them under '{NAME}' as well, in a copy of the task (--include_path), or add "
                    "task_settings=default to --model_args to ask as other models are asked"
                )


def _tasks(requests: Sequence[Instance]) -> Iterator[Any]:
    """The tasks that requests belong to: their functions are methods of them."""
    seen: set[int] = set()
    for request in requests:
        for argument in request.args:
            task = getattr(argument, "__self__", None)
            if isinstance(task, Task) and id(task) not in seen:
                seen.add(id(task))
                yield task
