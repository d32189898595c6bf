"""What a tuning writes into its folder: the verdict, the page, the method, and the second half as a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from farsight.evaluate.finished import DETAILS, RESULTS_FILE, write_results
from farsight.evaluate.scores import score_run
from farsight.files import write
from farsight.judging.annotated import Annotated
from farsight.judging.detector import Detected
from farsight.tune.agreement import Agreement
from farsight.tune.forecast import told_answers
from farsight.tune.method_file import FOR_VLLM, NAME, forms, in_vllm, write_method
from farsight.tune.next_steps import Given, after_agreement, after_verdict
from farsight.tune.page import agreement_page, verdict_page
from farsight.tune.second_half import second_half
from farsight.tune.tuning import Tuning
from farsight.tune.verdict import VERDICT, Verdict

PAGE = "report.html"


def write_found(tuning: Tuning, found: Verdict | Agreement, given: Given) -> dict[str, Any]:
    """Write what came out.

    Parameters
    ----------
    tuning
        What was done.
    found
        What it came to.
    given
        The options that ``farsight tune`` was given, by which the page calls the pictures and goes on.

    Returns
    -------
    What `VERDICT` says beside what ``found`` does.
    """
    out, plan = tuning.folder.path, tuning.plan
    more: dict[str, Any] = {"seed": tuning.seed, "config": plan.record(), "answers": tuning.answers}
    more["failed"] = tuning.failed
    if isinstance(tuning.truth, Detected):
        more["judge"] = {"name": tuning.truth.name} | tuning.truth.calibration.record()
    title = f"Which method for {plan.model} on {_asked_about(tuning, given)}?"
    footer = (
        f"{told_answers(**tuning.answers)} of all methods; farsight {more['config']['farsight']}, seed {tuning.seed}, "
        f"batches of {plan.batch_size}."
    )
    answered = {key: row for key, row in tuning.folder.rows.items() if row["failed"] is None}
    known = (plan.task.items, answered, tuning.truth, footer, [tuning.told_failed] if tuning.failed else [])
    if isinstance(found, Verdict):
        raced = bool(found.outcome.race.rungs)
        more["forms"] = _write_method(tuning, found, _asked_about(tuning, given))
        steps = after_verdict(out, plan, given, turn_on=found.outcome.turn_on, forms=more["forms"], raced=raced)
        shown = verdict_page(title, found, steps, *known)
        _write_run(tuning, found)
    else:
        steps = after_agreement(out, given, all_judged=not found.unknown)
        shown = agreement_page(title, found, steps, tuning.baseline, *known)
    more["next"] = [{"to": what, "command": command} for what, command in steps]
    write(out / VERDICT, [json.dumps(found.record() | more, indent=2, allow_nan=False).encode()])
    write(out / PAGE, [shown])
    return more


def _asked_about(tuning: Tuning, given: Given) -> str:
    """What the pictures are called: the folder's name, or the task's."""
    images = given.get("images")
    return Path(images).resolve().name if images is not None else tuning.plan.task.name


def _write_method(tuning: Tuning, found: Verdict, asked_about: str) -> dict[str, Any]:
    """Write the method that came out, beside it that for vLLM if this is another, and give the forms that it has."""
    out, method = tuning.folder.path, tuning.plan.methods[found.chosen]
    write_method(out / NAME, method, comments=[found.sentence, f"farsight tune on {asked_about}"])
    (out / FOR_VLLM).unlink(missing_ok=True)
    if (endless := in_vllm(method)) is not None and endless != method:
        write_method(out / FOR_VLLM, endless, comments=[f"{NAME} as vLLM takes it; not what was measured"])
    return forms(method)


def _write_run(tuning: Tuning, found: Verdict) -> None:
    """Write the second half as a finished run, which chair, audit, table and web read, where the truth is annotated."""
    out, plan = tuning.folder.path, tuning.plan
    for name in (RESULTS_FILE, DETAILS):  # of another winner, under another budget
        (out / name).unlink(missing_ok=True)
    if not (found.outcome.final and isinstance(tuning.truth, Annotated)):
        return
    labels = [tuning.baseline, str(found.outcome.race.winner)]
    half = second_half(plan.task, tuning.halves[1], labels, tuning.folder.rows)
    if not half.items:
        return
    run = replace(plan, task=half, methods={label: plan.methods[label] for label in labels})
    parts = score_run(half, labels, tuning.folder.rows, seed=tuning.seed)
    write_results(run.record(), half, parts, out)
