"""``farsight amber``: do models describe what is not there, and do they say yes to it?"""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import captions as caption_options
from farsight.cli import options
from farsight.cli.terminal import note, say
from farsight.files import short_names

if TYPE_CHECKING:
    from farsight.metrics.amber.comparison import Comparison
    from farsight.metrics.amber.data import Amber
    from farsight.metrics.amber.discriminative import DiscriminativeScore
    from farsight.metrics.amber.scoring import AmberScore
    from farsight.metrics.amber.vectors import WordVectors
    from farsight.metrics.records import Source

SHOWN = {
    "amber": "AMBER",
    "chair": "CHAIR",
    "cover": "Cover",
    "hal": "Hal",
    "cog": "Cog",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}
"""What figures are called in tables."""
GENERATIVE = ("chair", "cover", "hal", "cog")
DISCRIMINATIVE = ("accuracy", "precision", "recall", "f1")


def amber(
    responses: Annotated[
        list[Path],
        typer.Argument(metavar="RESPONSES", help="Lists or lines of id and response, or RUN folders."),
    ],
    data: Annotated[Path, typer.Option(metavar="DIR", help="The folder 'data' of the AMBER repository.")],
    vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Word vectors as text, of GloVe or fastText: near-synonyms count, as in the paper."
        ),
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Read the first sentence of an answer, not just 'Yes' or 'No' alone.")
    ] = False,
    details: Annotated[
        Path | None, typer.Option(metavar="OUT.jsonl", help="Write one row a response: what is false, and where.")
    ] = None,
    skip_bad: caption_options.SkipBad = False,
    seed: caption_options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Score responses with AMBER (Wang et al. 2023): CHAIR, Cover, Hal, Cog; accuracy, precision, recall, F1.

    Of several files the first is the baseline: the others are compared with it on the items that both have.

    Example: farsight amber greedy.json farsight.json --data AMBER/data
    """
    caption_options.check_output(details, [*responses, *([vectors] if vectors else [])])

    from farsight.metrics.amber.data import read_amber

    given = _given(responses)
    truth = read_amber(data)
    found = _vectors(vectors, truth)
    scores = {name: _scored(source, truth, found, lenient=lenient, skip_bad=skip_bad) for name, source in given.items()}
    comparisons, not_compared = _compared(scores, data, seed=seed)
    if details is not None:
        from farsight.files import write_lines

        write_lines(details, _details(scores))
    _tell(scores, found, len(truth.words), lenient=lenient)
    if json:
        record = {
            "vectors": None if vectors is None else str(vectors),
            "rule": "lenient" if lenient else "official",
            "files": {name: score.record() for name, score in scores.items()},
            "baseline": next(iter(given)),
            "comparisons": {name: one.record() for name, one in comparisons.items()},
            "not_compared": not_compared,
        }
        say(json_format.dumps(record, indent=2, ensure_ascii=False, allow_nan=False))
        return
    _print_scores(scores)
    if comparisons:
        _print_comparisons(next(iter(given)), comparisons)


def _given(paths: list[Path]) -> dict[str, Source]:
    """Give files by their names, and the answers of each method of a run's folder by the method's."""
    from farsight.evaluate.amber_task import responses

    given: dict[str, Source] = {}
    for name, path in zip(short_names(paths), paths, strict=True):
        if path.is_dir():
            prefix = f"{name} " if len(paths) > 1 else ""
            given |= {f"{prefix}{method}": rows for method, rows in responses(path).items()}
        else:
            given[name] = path
    return given


def _vectors(path: Path | None, truth: Amber) -> WordVectors | None:
    if path is None:
        return None
    from farsight.metrics.amber.vectors import read_vectors

    return read_vectors(path, truth.words)


def _scored(path: Source, truth: Amber, vectors: WordVectors | None, *, lenient: bool, skip_bad: bool) -> AmberScore:
    from farsight.metrics.amber.scoring import score

    if vectors is None:
        return score(path, truth, lenient=lenient, skip_bad=skip_bad)
    return score(path, truth, similar=vectors.similar(), lenient=lenient, skip_bad=skip_bad)


def _tell(scores: dict[str, AmberScore], vectors: WordVectors | None, words: int, *, lenient: bool) -> None:
    """Say on stderr what was left out, and what may be counted against a model unjustly."""
    if vectors is not None and len(vectors.vectors) < words:
        note(f"{vectors.name} has vectors for {len(vectors.vectors)} of AMBER's {words} words")
    for name, score in scores.items():
        if score.skipped:
            note(f"{name}: {len(score.skipped)} bad rows left out; the first: {score.skipped[0]}")
        if any(score.missing.values()):
            note(
                f"{name}: {len(score.descriptions)} of {score.scenes} pictures are described "
                f"and {len(score.answers)} of {score.questions} questions answered"
            )
        if score.discriminative and (count := score.discriminative.unanswered):
            rule = "say neither yes nor no" if lenient else "are not exactly 'Yes' or 'No'"
            remedy = "" if lenient else ", as in AMBER's script; --lenient reads them"
            note(f"{name}: {count} answers {rule} and count as wrong{remedy}")


def _compared(scores: dict[str, AmberScore], data: Path, *, seed: int) -> tuple[dict[str, Comparison], dict[str, str]]:
    """Compare each file with the first, and say why where that cannot be done."""
    (_, baseline), *others = scores.items()
    if not others:
        return {}, {}
    from farsight.metrics.amber.comparison import compare
    from farsight.metrics.amber.data import read_pictures

    asked = baseline.answers and any(other.answers for _, other in others)
    pictures = read_pictures(data) if asked else {}
    comparisons: dict[str, Comparison] = {}
    not_compared: dict[str, str] = {}
    for name, other in others:
        both = partial(compare, baseline, other, pictures=pictures, seed=seed)
        found = caption_options.unless_too_few(name, both, not_compared)
        if found is not None:
            comparisons[name] = found
    return comparisons, not_compared


def _details(scores: dict[str, AmberScore]) -> Iterator[str]:
    for name, score in scores.items():
        records = [one.record() for one in score.descriptions] + [one.record() for one in score.answers]
        yield from (json_format.dumps({"file": name} | record, ensure_ascii=False) for record in records)


def _print_scores(scores: dict[str, AmberScore]) -> None:
    from farsight.cli.tables import print_table

    parts = [name for score in scores.values() for name in _figures(score)]
    shown = [name for name in SHOWN if name in parts]
    print_table(
        ["responses", *(SHOWN[name] for name in shown)],
        [[name, *(_figures(score).get(figure, "-") for figure in shown)] for name, score in scores.items()],
    )
    for name, score in scores.items():
        if score.discriminative:
            _print_groups(name, score.discriminative)


def _figures(score: AmberScore) -> dict[str, str]:
    """Give the figures that a file has, as they are printed."""
    found: dict[str, float] = {}
    if score.amber is not None:
        found["amber"] = score.amber
    if score.generative:
        found |= {name: score.generative.figure(name) for name in GENERATIVE}
    if score.discriminative:
        found |= {name: score.discriminative.figure(name) for name in DISCRIMINATIVE}
    return {name: f"{figure:.1f}" for name, figure in found.items()}


def _print_groups(name: str, score: DiscriminativeScore) -> None:
    from farsight.cli.tables import print_table

    print_table(
        ["questions about", "n", *(SHOWN[figure] for figure in DISCRIMINATIVE)],
        [
            [group, str(len(part.answers)), *(f"{part.figure(figure):.1f}" for figure in DISCRIMINATIVE)]
            for group, part in score.groups.items()
        ],
        title=name,
    )


def _print_comparisons(baseline: str, comparisons: dict[str, Comparison]) -> None:
    from farsight.cli.tables import difference, print_table

    found: list[dict[str, Any]] = [dict(one.differences) for one in comparisons.values()]
    rows = [
        [_shown(figure), *(difference(one[figure], scale=1.0) if figure in one else "-" for one in found)]
        for figure in dict.fromkeys(figure for one in found for figure in one)
    ]
    tests = [one.mcnemar for one in comparisons.values()]
    if any(tests):
        rows += [
            [f"right where {baseline} is wrong", *(str(test.only_other_right) if test else "-" for test in tests)],
            [f"wrong where {baseline} is right", *(str(test.only_baseline_right) if test else "-" for test in tests)],
            ["McNemar's test", *(_p(test.p) if test else "-" for test in tests)],
        ]
    rows.append(["descriptions of both", *(str(one.descriptions) for one in comparisons.values())])
    rows.append(["answers of both", *(str(one.answers) for one in comparisons.values())])
    print_table([f"minus {baseline}", *comparisons], rows)
    note("differences in percentage points, with 95 % intervals of a paired bootstrap over pictures")


def _shown(figure: str) -> str:
    """Call ``f1 state`` F1 state."""
    name, _, group = figure.partition(" ")
    return f"{SHOWN[name]} {group}".strip()


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"
