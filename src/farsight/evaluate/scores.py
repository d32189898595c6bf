"""Answers of a run, scored: figures of each method, and differences to the first with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farsight.errors import InputError
from farsight.evaluate import exact, sums
from farsight.evaluate.exact import ExactScore
from farsight.evaluate.plan import told_missing
from farsight.evaluate.run_folder import Key
from farsight.evaluate.tasks import Item, Task
from farsight.metrics import chair
from farsight.metrics.chair import ChairScore
from farsight.metrics.comparison import compare as compare_captions
from farsight.metrics.paired import Difference
from farsight.metrics.pope import PopeScore
from farsight.metrics.pope import score as score_answers
from farsight.metrics.pope.comparison import compare as compare_answers
from farsight.metrics.text_quality import quality

Rows = Mapping[Key, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class PartScores:
    """One part of a task: its scores and differences by method."""

    part: str
    kind: str
    """See `farsight.evaluate.tasks.Kind`."""
    captions: Mapping[str, ChairScore]
    answers: Mapping[str, PopeScore]
    figures: Mapping[str, Mapping[str, float | None]]
    """All figures of each method, by name."""
    differences: Mapping[str, Mapping[str, Difference]]
    """Of each method but the first, to the first."""
    failed: Mapping[str, str]
    """Items that no method could be asked about, with the reason; they are not scored."""

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        return {
            "kind": self.kind,
            "figures": {label: dict(found) for label, found in self.figures.items()},
            "differences": {
                label: {name: one.record() for name, one in found.items()} for label, found in self.differences.items()
            },
            "failed": dict(self.failed),
        }


def score_run(task: Task, methods: Sequence[str], rows: Rows, *, seed: int = 0) -> list[PartScores]:
    """Score each part of a finished run.

    Parameters
    ----------
    task
        What was asked.
    methods
        Labels; the first is the baseline.
    rows
        Answers by method and item.
    seed
        Seed of the bootstrap.

    Raises
    ------
    InputError
        If too many items of a part failed; the message names them.
    """
    return [_score_part(task, part, items, methods, rows, seed) for part, items in task.parts.items()]


def _score_part(
    task: Task, part: str, items: Sequence[Item], methods: Sequence[str], rows: Rows, seed: int
) -> PartScores:
    failed = {
        item.item_id: str(reason)
        for item in items
        if (reason := next((rows[label, item.item_id]["failed"] for label in methods), None))
    }
    asked = [item for item in items if item.item_id not in failed]
    if len({item.image_id for item in asked}) < min(len(methods), 2):
        raise InputError(_too_few(task, part, len(items), failed))
    said = {label: {item.item_id: rows[label, item.item_id] for item in asked} for label in methods}
    captions: dict[str, ChairScore] = {}
    answers: dict[str, PopeScore] = {}
    words: dict[str, ExactScore] = {}
    ratios: dict[str, sums.Sums] = {}
    differences: Mapping[str, Mapping[str, Difference]]
    if items[0].kind == "caption":
        alike = None if asked[0].path else {item.image_id: item.prompt for item in asked}
        captions = {label: _captions(task, asked, found) for label, found in said.items()}
        differences = {
            label: compare_captions(captions[methods[0]], captions[label], alike=alike, seed=seed)
            for label in methods[1:]
        }
    elif items[0].kind == "exact":
        words = {label: _words(asked, found) for label, found in said.items()}
        differences = {label: exact.compare(words[methods[0]], words[label], seed=seed) for label in methods[1:]}
    elif items[0].kind in sums.TERMS:
        ratios = {label: _sums(asked, found) for label, found in said.items()}
        differences = {label: sums.compare(ratios[methods[0]], ratios[label], seed=seed) for label in methods[1:]}
    else:
        answers = {label: _answers(asked, found) for label, found in said.items()}
        differences = {
            label: compare_answers(answers[methods[0]], answers[label], seed=seed).differences for label in methods[1:]
        }
    return PartScores(
        part=part,
        kind=items[0].kind,
        captions=captions,
        answers=answers,
        figures={
            label: _figures(captions.get(label), answers.get(label), words.get(label), said[label])
            | (_ratios(ratios[label], asked) if ratios else {})
            for label in methods
        },
        differences=differences,
        failed=failed,
    )


def _too_few(task: Task, part: str, count: int, failed: Mapping[str, str], most: int = 5) -> str:
    """Say why there is nothing to score or to compare, and name what is not there."""
    reasons = "; ".join(f"{item}: {reason}" for item, reason in list(failed.items())[:most])
    if count == len(failed):
        return f"nothing of {part} could be asked: {reasons}{told_missing(task)}"
    return (
        f"{part}: {len(failed)} of {count} could not be asked, and methods are compared on at least 2 pictures: "
        f"{reasons}{told_missing(task)}"
    )


SILENT = "..."
"""What an empty caption is scored as: it names nothing."""


def _captions(task: Task, items: Sequence[Item], said: Mapping[str, Mapping[str, Any]]) -> ChairScore:
    return chair.score(
        [{"image_id": one.image_id, "caption": said[one.item_id]["text"].strip() or SILENT} for one in items],
        {item.image_id: item.truth["objects"] for item in items},
        vocabulary=task.vocabulary,
    )


def _answers(items: Sequence[Item], said: Mapping[str, Mapping[str, Any]]) -> PopeScore:
    answers = [{"question_id": one.truth["question_id"], "answer": said[one.item_id]["text"]} for one in items]
    return score_answers(answers, [dict(one.truth) for one in items])


def _words(items: Sequence[Item], said: Mapping[str, Mapping[str, Any]]) -> ExactScore:
    answers = [one.truth["answer"] for one in items]
    return exact.score([one.image_id for one in items], [said[one.item_id]["text"] for one in items], answers)


def _sums(items: Sequence[Item], said: Mapping[str, Mapping[str, Any]]) -> sums.Sums:
    return sums.sums(items[0].kind, items, {one.item_id: said[one.item_id]["text"] for one in items})


def _ratios(found: sums.Sums, items: Sequence[Item]) -> dict[str, float]:
    return sums.figures(found) | {"pictures": len({item.image_id for item in items})}


def _figures(
    captions: ChairScore | None,
    answers: PopeScore | None,
    words: ExactScore | None,
    said: Mapping[str, Mapping[str, Any]],
) -> dict[str, float | None]:
    """Put all figures of one method together; ``absorbed`` and ``ended`` are shares of all that it said."""
    figures: dict[str, float | None] = {}
    if captions is not None:
        figures |= captions.record() | quality(one.caption.text for one in captions.captions).record()
        figures["silent"] = sum(one.caption.text == SILENT for one in captions.captions)
    if answers is not None:
        figures |= answers.record()
        figures["balanced_accuracy"] = balanced_accuracy(answers)
    if words is not None:
        figures |= words.record()
    absorbed = [row["absorbed"] for row in said.values() if row["absorbed"] is not None]
    figures["absorbed"] = sum(absorbed) / len(absorbed) if absorbed else None
    figures["ended"] = sum(row["ended"] for row in said.values()) / len(said)
    figures["tokens"] = sum(row["tokens"] for row in said.values()) / len(said)
    if checked := [row["checked"] for row in said.values() if row.get("checked") is not None]:
        figures["checks"] = sum(len(one["scores"]) for one in checked) / len(checked)
        figures["left_out"] = sum(len(one["failed"]) for one in checked) / len(checked)
    return {name: found for name, found in figures.items() if name != "skipped"}


def balanced_accuracy(found: PopeScore) -> float:
    """Give the mean of the shares of yes and of no questions that are answered rightly."""
    shares = [right / (right + wrong) for right, wrong in ((found.tp, found.fn), (found.tn, found.fp)) if right + wrong]
    return sum(shares) / max(len(shares), 1)
