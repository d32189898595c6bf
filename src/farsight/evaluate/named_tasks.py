"""Tasks by name: ``scenes:test``, ``videos:test``, ``chair``, ``pope``, and those that other packages add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from farsight.entries import Registry
from farsight.errors import SettingError
from farsight.evaluate.tasks import Medium, Task

DEFAULT = "scenes:test"


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Where a task's pictures and truth are, and how much of it is asked."""

    images: Path | None = None
    objects: tuple[Path, ...] = ()
    questions: tuple[Path, ...] = ()
    synonyms: Path | None = None
    prompt: str | None = None
    max_new_tokens: int | None = None
    count: int | None = None
    skip: int | None = None
    """Of what has an order, lists and drawn scenes, how many to leave out before ``count``."""
    question_count: int | None = None
    """Of each file of questions, also those of scenes."""

    @property
    def given(self) -> set[str]:
        """The names of those that were."""
        return {one.name for one in fields(self) if getattr(self, one.name) not in (None, ())}

    @property
    def asked(self) -> dict[str, str]:
        """Those that decide the items besides the files, for `farsight.evaluate.tasks.Task.sources`."""
        names = ("prompt", "max_new_tokens", "count", "skip", "question_count")
        return {name: str(getattr(self, name)) for name in names if name in self.given}


def _any_will_do(options: TaskOptions) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class NamedTask:
    """What is known of a task that has a name.

    Parameters
    ----------
    make
        Makes the task of its whole name (``scenes:test``), its options, and a folder of the run where it may put
        pictures of its own; if that is there already, it is used as it is. Raises `InputError` if a file is bad.
    uses
        The fields of `TaskOptions` that it makes something of. Others are refused: with one of them it would not ask
        what was meant.
    needs
        Those of them that it cannot do without.
    check
        Raises `SettingError` if options contradict each other. It only looks at them.
    splits
        What follows the colon of its name; the empty one is the name alone.
    medium
        What each of its items shows the model.
    """

    make: Callable[[str, TaskOptions, Path], Task]
    uses: tuple[str, ...]
    needs: tuple[str, ...] = ()
    check: Callable[[TaskOptions], None] = _any_will_do
    splits: tuple[str, ...] = ("",)
    medium: Medium = "picture"

    def names(self, name: str) -> tuple[str, ...]:
        """Give its whole names, if it is registered as ``name``."""
        return tuple(f"{name}:{split}" if split else name for split in self.splits)


TASKS: Registry[NamedTask] = Registry(
    kind=NamedTask,
    noun="task",
    group="farsight.tasks",
    own={
        "scenes": "farsight_scenes.tasks:SCENES",
        "videos": "farsight_scenes.tasks:VIDEOS",
        "chair": "farsight.evaluate.file_tasks:CHAIR",
        "pope": "farsight.evaluate.file_tasks:POPE",
        "lists": "farsight.evaluate.list_tasks:LISTS",
        "amber": "farsight.evaluate.amber_task:AMBER",
        "snowball": "farsight.evaluate.snowball_task:SNOWBALL",
    },
)


def find_task(name: str) -> NamedTask:
    """Give the task of a whole name.

    Raises
    ------
    SettingError
        If there is none, with all that there are.
    InputError
        If its package is missing or broken.
    """
    short = name.partition(":")[0]
    task = TASKS.find(short)
    if task is None or name not in task.names(short):
        there = [whole for other, one in TASKS.found().items() for whole in one.names(other)]
        raise SettingError(f"unknown task '{name}'; there are {', '.join(there)}")
    return task


def choose_task(name: str | None, options: TaskOptions) -> str:
    """Give the whole name of the task, told from the options if it is not given, and check that it uses them all.

    Raises
    ------
    SettingError
        If there is no such task, it has no use for an option, it lacks a file that it needs, or the options do not say
        which it is.
    InputError
        If its package is missing or broken.
    """
    given = options.given
    if name is None and "images" in given and not given & {"objects", "questions"}:
        raise SettingError(
            f"--images {options.images}: what is to be asked about these pictures? Add --objects FILE to have captions "
            "scored, or --questions FILE to have questions asked"
        )
    name = name or ("chair" if "objects" in given else "pope" if "questions" in given else DEFAULT)
    task = find_task(name)
    if unused := sorted(given - set(task.uses)):
        users = [one.names(other)[0] for other, one in TASKS.found().items() if unused[0] in one.uses]
        raise SettingError(
            f"{_option(unused[0])} is of no use to the task '{name}': leave it out, or pass --task {' or '.join(users)}"
        )
    if not given.issuperset(task.needs):
        raise SettingError(f"task '{name}' needs {' and '.join(map(_option, task.needs))}")
    task.check(options)
    return name


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def make_task(name: str | None, options: TaskOptions, pictures: Path) -> Task:
    """Make a task.

    Parameters
    ----------
    name
        A whole name, or None for the one that the options tell; see `choose_task`.
    options
        ``scenes:SPLIT`` and ``videos:SPLIT`` need none of the files; ``chair`` needs pictures and objects, ``pope``
        pictures and questions.
    pictures
        Where a task puts pictures of its own, such as drawn scenes.

    Raises
    ------
    SettingError
        As `choose_task`.
    InputError
        If a file is bad.
    """
    name = choose_task(name, options)
    return find_task(name).make(name, options, pictures)
