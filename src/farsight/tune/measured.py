"""Candidates that have to know what this model does: measured on captions of the racing half before they race.

Only the other half decides, so whatever the racing half is used for does no harm. What was measured is kept in the
folder, which holds the model, the task and the split, and is read from there by the same command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from farsight.errors import FarSightError, InputError, SettingError, UnsupportedModelError
from farsight.evaluate.engine import Engine, Said
from farsight.evaluate.local import LocalEngine, answer_request
from farsight.evaluate.plan import Batch, Plan, batches
from farsight.evaluate.run import request_of
from farsight.evaluate.tasks import Item, Task
from farsight.inputs.checkpoints import LoadedModel
from farsight.method import Method, Plain
from farsight.methods.adaiat import AdaIAT
from farsight.methods.constant_gate import ConstantGate
from farsight.tune import gates, text_rows
from farsight.tune.asked import by_picture
from farsight.tune.race import halves
from farsight.tune.time_left import Progress


@dataclass(frozen=True, kw_only=True)
class MeasuredFirst:
    """One such candidate.

    Parameters
    ----------
    method
        What stands for it until it is measured.
    decoding
        How captions are generated while it is measured.
    captions
        On how many; None for all of the racing half.
    annotated
        Whether only those count of which it is known what is in the picture.
    file
        Where in the folder it is kept.
    measure
        Measures and writes that file, while captions are generated.
    read
        Makes the method of that file.
    otherwise
        What can be done where it is not measured.
    """

    method: Method
    decoding: Method
    captions: int | None
    annotated: bool
    file: str
    measure: Callable[[LoadedModel, Task, Iterator[tuple[Batch, Said]], Path], None]
    read: Callable[[Path], Method]
    otherwise: str = ""


MEASURED = {
    "constant(value=per head, rows=generated)": MeasuredFirst(
        method=ConstantGate(),
        decoding=gates.REGISTERS,
        captions=16,
        annotated=False,
        file="per_head.yaml",
        measure=gates.measure,
        read=gates.read,
    ),
    "adaiat": MeasuredFirst(
        method=AdaIAT(),
        decoding=Plain(),
        captions=None,
        annotated=True,
        file="adaiat.json",
        measure=text_rows.measure,
        read=AdaIAT.load,
        otherwise="; measure it on other pictures with farsight calibrate --for adaiat --out rows.json, and pass "
        '--methods "adaiat(load=rows.json)"',
    ),
}
"""By label."""


def measured(
    plan: Plan, engine: Engine, seed: int, folder: Path | None, progress: Progress
) -> tuple[Plan, dict[str, str]]:
    """Measure those of `MEASURED` that are to race.

    Parameters
    ----------
    plan
        Of the tuning, with what stands for them.
    engine
        What answers; only with the local one is anything measured, and what the folder has is taken with any.
    seed
        Of the split.
    folder
        Where what was measured is kept; None to measure nothing, and leave in the plan what stands for them.
    progress
        Hears how far it is.

    Returns
    -------
    The plan with what was measured, without those that could not be; and why these are out, by label.

    Raises
    ------
    InputError
        If a file is damaged, or a caption cannot be generated.
    """
    half = _half(plan, seed)
    methods, out = dict(plan.methods), dict[str, str]()
    for label, one in MEASURED.items():
        if methods.get(label) != one.method:
            continue
        file = None if folder is None else folder / one.file
        if file is None or not file.exists():
            try:
                if not isinstance(engine, LocalEngine):
                    raise SettingError("it has to be measured first, which only --engine local does")
                items = _captions(one, half)
                if file is not None:
                    loaded = engine.load()
                    one.measure(loaded, plan.task, _generated(label, one, plan, items, loaded, progress), file)
            except (SettingError, UnsupportedModelError) as error:
                del methods[label]
                out[label] = f"{error}{one.otherwise}"
                continue
        methods[label] = one.method if file is None else _kept(one, file)
    return replace(plan, methods=methods), out


def captions_first(plan: Plan, seed: int) -> int:
    """Give on how many captions the candidates of a plan would be measured that `measured` left in it."""
    half = _half(plan, seed)
    return sum(len(_captions(one, half)) for label, one in MEASURED.items() if plan.methods.get(label) == one.method)


def _half(plan: Plan, seed: int) -> list[Item]:
    return [item for about in halves(by_picture(plan.task), seed)[0] for item in about if item.kind == "caption"]


def _captions(one: MeasuredFirst, half: Sequence[Item]) -> Sequence[Item]:
    found = [item for item in half if "objects" in item.truth] if one.annotated else half
    if not found:
        raise SettingError("it has to be measured first, where it is annotated what is in the pictures")
    return found[: one.captions]


def _generated(
    label: str, one: MeasuredFirst, plan: Plan, items: Sequence[Item], loaded: LoadedModel, progress: Progress
) -> Iterator[tuple[Batch, Said]]:
    """Generate captions, batch by batch, as they are asked for."""
    alone, done = replace(plan, methods={label: one.decoding}), 0
    for batch in batches(alone, {label: items}):
        progress.told(f"measuring {label}: {done} of {len(items)} captions", 0, None)
        yield batch, answer_request(loaded, replace(request_of(alone, 0, batch), watched=False))
        done += len(batch.items)


def _kept(one: MeasuredFirst, file: Path) -> Method:
    try:
        return one.read(file)
    except FarSightError as error:
        raise InputError(f"{error}; or delete {file} to have it measured again") from error
