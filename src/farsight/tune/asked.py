"""What is asked: everything about one picture stands together, on one side of the split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from farsight.errors import InputError, SettingError
from farsight.evaluate.fingerprints import fingerprint
from farsight.evaluate.named_tasks import TaskOptions, choose_task, find_task
from farsight.evaluate.run_folder import CONFIG
from farsight.evaluate.tasks import CAPTION_TOKENS, DESCRIBE, Item, Task
from farsight.files import read_json
from farsight.images import find_images
from farsight.judging.annotated import Annotated
from farsight.judging.detector import NAME as SCORES
from farsight.judging.detector import Example, detected, score_of
from farsight.judging.judged import judged
from farsight.judging.truth import Truth
from farsight.metrics.vocabulary import read_vocabulary

About = tuple[Item, ...]
"""All that is asked about one picture, or with one prompt where there is none: what lots are drawn of."""
PICTURES_ALONE = "pictures"
"""The task of a folder of pictures of which nothing is known."""
LEAST = 8
"""Pictures without which there is nothing to choose by."""


def by_picture(task: Task) -> list[About]:
    """Put the items of a task together that show the same picture, or say the same without one.

    Raises
    ------
    InputError
        If it asks for no captions, or is about too few pictures.
    """
    if not any(item.kind == "caption" for item in task.items):
        raise InputError(f"task '{task.name}' asks for no captions, and CHAIR_I is of captions: choose one that does")
    found: dict[object, list[Item]] = {}
    for item in task.items:
        found.setdefault(item.path or item.prompt, []).append(item)
    if len(found) < LEAST:
        raise InputError(
            f"task '{task.name}' is about {len(found)} pictures, and half of them have to choose a method: give at "
            f"least {LEAST}, better a hundred (--count, --images)"
        )
    return [tuple(items) for items in found.values()]


def make(name: str, options: TaskOptions, prompts: Sequence[str], folder: Path) -> Task:
    """Make the task that is asked about.

    Parameters
    ----------
    name
        As `choose` gave it.
    options
        Where the pictures are.
    prompts
        What asks for a caption.
    folder
        Where a task puts pictures of its own.
    """
    made = _pictures(options) if name == PICTURES_ALONE else find_task(name).make(name, options, folder)
    return _with_prompts(made, prompts) if len(prompts) > 1 else made


def choose(name: str | None, options: TaskOptions, prompts: Sequence[str]) -> str:
    """Give the name of the task: `PICTURES_ALONE` for pictures of which nothing is known.

    Raises
    ------
    SettingError
        As `farsight.evaluate.named_tasks.choose_task`; if nothing says what to ask about; or if there are several
        prompts for a task that has its own.
    """
    if not all(map(str.strip, prompts)):
        raise SettingError("--prompt is empty; say what to ask about the pictures")
    if len(prompts) > 1 and options.images is None:
        raise SettingError("several --prompt are for --images, and this task has prompts of its own: pass one")
    if name is not None or options.objects:
        return choose_task(name, options)
    if options.images is None:
        raise SettingError("what is to be asked about? Pass --images DIR, or a task that is there: --task scenes:test")
    if unused := sorted(options.given - {"images", "synonyms", "max_new_tokens", "count", "prompt"}):
        raise SettingError(f"--{unused[0].replace('_', '-')} is of no use with --images alone: leave it out")
    return PICTURES_ALONE


def truth_of(
    name: str, options: TaskOptions, task: Task, folder: Path, judge: str | None = None, device: str | None = None
) -> Truth:
    """Give what is known of the pictures: by their annotations, or by what was judged in the folder so far.

    What nobody judged is judged by the detector ``judge``, if there is one, loaded to ``device``. Its threshold is
    chosen on what people judged.

    Raises
    ------
    InputError
        As `farsight.judging.judged.judged` and `farsight.judging.detector.detected`.
    """
    if name != PICTURES_ALONE:
        return annotated(task)
    known = judged(folder, None if options.synonyms is None else task.vocabulary)
    if judge is None:
        return known
    images = {item.image_id: item.path for item in task.items if item.path is not None}
    examples = [Example(*key, there) for key, there in known.known.items()]
    return detected(judge, images, known, examples, file=folder / SCORES, score=score_of(judge, device))


def annotated(task: Task) -> Annotated:
    """Give what the task itself says of its pictures."""
    objects = {item.image_id: frozenset(item.truth["objects"]) for item in task.items if "objects" in item.truth}
    return Annotated(objects=objects, vocabulary=task.vocabulary)


def check_same_names(folder: Path, synonyms: Path | None) -> None:
    """See that a folder is judged by the vocabulary that it was tuned with, as ``farsight tune`` reads the verdicts.

    Only a folder of `PICTURES_ALONE` is held to one: what is judged elsewhere is read by nothing but the page.

    Raises
    ------
    InputError
        If it is another one, or one is given and every noun was an object, or the other way round.
    """
    file = folder / CONFIG
    match read_json(file, "judge another folder") if file.exists() else None:
        case {"task": {"name": str(name), "sources": dict(sources)}} if name == PICTURES_ALONE:
            before = sources.get("synonyms")
        case _:
            return
    if before == (None if synonyms is None else fingerprint(synonyms)):
        return
    if before is None:
        raise InputError(f"{folder}: was tuned without --synonyms, so that every noun is an object: leave it out")
    found = "there is none here" if synonyms is None else f"{synonyms} is another, or has changed since"
    raise InputError(
        f"{folder}: was tuned with --synonyms FILE, and {found}; pass the same: farsight judge {folder} --synonyms FILE"
    )


def _pictures(options: TaskOptions) -> Task:
    """Ask for a caption of every picture of a folder of which nothing is known, in the order of their names."""
    assert options.images is not None
    paths = sorted(set(find_images(options.images).values()))[: options.count]
    items = tuple(
        Item(
            item_id=f"captions/{path.name}",
            part="captions",
            kind="caption",
            image_id=path.name,
            path=path,
            prompt=options.prompt or DESCRIBE,
            max_new_tokens=options.max_new_tokens or CAPTION_TOKENS,
        )
        for path in paths
    )
    sources = options.asked | ({} if options.synonyms is None else {"synonyms": fingerprint(options.synonyms)})
    return Task(name=PICTURES_ALONE, items=items, vocabulary=read_vocabulary(options.synonyms), sources=sources)


def _with_prompts(task: Task, prompts: Sequence[str]) -> Task:
    """Ask for each caption with each of several prompts, each a part of its own."""
    asked = [
        replace(item, prompt=prompt, part=f"{item.part} {number}", item_id=f"{item.part} {number}/{item.image_id}")
        for number, prompt in enumerate(prompts, start=1)
        for item in task.items
    ]
    return replace(task, items=tuple(asked), sources={**task.sources, "prompts": list(prompts)})
