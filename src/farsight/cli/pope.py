"""``farsight pope`` and ``farsight pope-questions``: does a model say yes to objects that are not there?"""

from __future__ import annotations

import json as json_format
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import captions as caption_options
from farsight.cli import options
from farsight.cli.captions import short_names
from farsight.errors import InputError

if TYPE_CHECKING:
    from farsight.metrics.pope.comparison import Comparison
    from farsight.metrics.pope.scoring import PopeScore

    Scores = dict[str, dict[str, PopeScore]]
    Comparisons = dict[str, dict[str, Comparison]]

SPLITS = ("random", "popular", "adversarial")
"""Words by which the name of a file says which split it belongs to."""
SHOWN = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1", "yes_ratio": "yes ratio"}
COUNTS = ("tp", "fp", "tn", "fn", "questions")


def pope(
    answers: Annotated[
        list[Path], typer.Argument(metavar="ANSWERS.jsonl", help="Rows of question_id and answer. One file or several.")
    ],
    questions: Annotated[
        list[Path],
        typer.Option(
            metavar="QUESTIONS.jsonl", help="Rows of question_id, image, text, label. One option for each split."
        ),
    ],
    strict: Annotated[
        bool, typer.Option("--strict", help="Count answers that say neither yes nor no, or both, as unanswered.")
    ] = False,
    details: Annotated[
        Path | None, typer.Option(metavar="OUT.jsonl", help="Write one row a question: what was said, what is right.")
    ] = None,
    skip_bad: caption_options.SkipBad = False,
    seed: caption_options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Score yes/no answers with POPE (Li et al. 2023): accuracy, precision, recall, F1, yes ratio.

    Of several splits, give the questions of each and, in the same order, the answers to each.

    Of several methods, give the answers of one after those of the other. The first is the baseline of a comparison.

    Example: farsight pope greedy.jsonl farsight.jsonl --questions pope_random.jsonl
    """
    from farsight.metrics.pope.scoring import score

    methods = _methods(answers, questions)
    caption_options.check_output(details, [*answers, *questions])
    scores = {
        method: {split: score(said, asked, strict=strict, skip_bad=skip_bad) for split, (said, asked) in splits.items()}
        for method, splits in methods.items()
    }
    _tell_skipped(scores)
    if details is not None:
        from farsight.files import write_lines

        write_lines(details, _details(scores))
    (baseline, first), *others = scores.items()
    comparisons: Comparisons = {}
    if others:
        from farsight.metrics.pope.comparison import compare

        comparisons = {
            method: {split: compare(first[split], found, seed=seed) for split, found in splits.items()}
            for method, splits in others
        }
    if json:
        print(json_format.dumps(_record(scores, baseline, comparisons, strict=strict), indent=2, allow_nan=False))
        return
    _print_scores(scores, strict=strict)
    _print_comparisons(baseline, comparisons)


def pope_questions(
    objects: Annotated[
        Path, typer.Argument(metavar="OBJECTS.jsonl", help="Rows of image_id and objects: a list of any names.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the three files; it is made if missing.")],
    per_image: Annotated[
        int, typer.Option(metavar="N", help="Pairs of questions about a picture: one yes, one no.")
    ] = 3,
    seed: Annotated[int, typer.Option(help="The same seed gives the same questions.")] = 0,
    image_template: Annotated[
        str, typer.Option(metavar="TEXT", help="File name of a picture, such as COCO_val2014_{:0>12}.jpg or {}.png.")
    ] = "{}",
    skip_bad: caption_options.SkipBad = False,
    json: options.Json = False,
) -> None:
    """Make POPE's questions, random, popular and adversarial, from any list of objects in pictures.

    Example: farsight pope-questions objects.jsonl --out questions
    """
    from farsight.cli.tables import note
    from farsight.files import make_folder, write_lines
    from farsight.metrics.pope.questions import make_questions

    made = make_questions(objects, per_image=per_image, seed=seed, image_template=image_template, skip_bad=skip_bad)
    files = {kind: out / f"pope_{kind}.jsonl" for kind in made.pairs}
    make_folder(out)
    for kind, path in files.items():
        write_lines(path, (json_format.dumps(row, ensure_ascii=False) for row in made.rows(kind)))
    if made.skipped:
        note(f"{len(made.skipped)} bad rows left out; the first: {made.skipped[0]}")
    if json:
        record = {"files": {kind: str(path) for kind, path in files.items()}} | made.record() | {"seed": seed}
        print(json_format.dumps(record, indent=2))
        return
    print(f"wrote {', '.join(map(str, files.values()))}")
    print(f"{made.questions} questions in each, half of them with the answer yes, about {made.images} images")
    if fewer := made.images_with_fewer:
        print(f"{fewer} images have fewer than {per_image} pairs, as too few objects are there or missing")
    if left_out := made.nothing_to_ask:
        print(f"{len(left_out)} images are left out, as no object is there or none is missing (first: {left_out[0]})")


def _methods(answers: list[Path], questions: list[Path]) -> dict[str, dict[str, tuple[Path, Path]]]:
    """For each method and split, the files of answers and of questions.

    Raises
    ------
    InputError
        If the numbers of files do not fit, one is given twice, or names say that the splits are mixed up.
    """
    for paths, what in ((answers, "answers"), (questions, "questions")):
        for number, path in enumerate(paths):
            if path.resolve() in {other.resolve() for other in paths[:number]}:
                raise InputError(f"{path}: is given twice among the {what}; give each file once")
    rounds, left = divmod(len(answers), len(questions))
    if left or not rounds:
        raise InputError(
            f"{len(answers)} files of answers do not go with {len(questions)} files of questions; give one file of "
            "answers for each file of questions, and as many again for each further method"
        )
    splits = short_names(questions)
    files = [answers[start : start + len(questions)] for start in range(0, len(answers), len(questions))]
    for one in files:
        for said, asked in zip(one, questions, strict=True):
            _check_split(said, asked)
    names = short_names([one[0] for one in files])
    if len(splits) > 1:
        names = _without_splits(names)
    return {
        name: dict(zip(splits, zip(one, questions, strict=True), strict=True))
        for name, one in zip(names, files, strict=True)
    }


def _check_split(answers: Path, questions: Path) -> None:
    """Question identifiers are the same in all splits: only names can tell that the wrong files were put together."""
    said, asked = ({kind for kind in SPLITS if kind in path.name.lower()} for path in (answers, questions))
    if said and asked and not said & asked:
        raise InputError(
            f"{answers} would be scored with {questions}, which is another split by its name; give answers and "
            "--questions in the same order, or rename the file"
        )


def _without_splits(names: list[str]) -> list[str]:
    """Drop the splits from the names of methods, unless that leaves two the same or one empty."""
    shorter = [re.sub(rf"[-_. ]*({'|'.join(SPLITS)})", "", name, flags=re.IGNORECASE).strip("/-_. ") for name in names]
    return shorter if all(shorter) and len(set(shorter)) == len(shorter) else names


def _tell_skipped(scores: Scores) -> None:
    from farsight.cli.tables import note

    for method, splits in scores.items():
        for split, found in splits.items():
            if found.skipped:
                note(f"{method}, {split}: {len(found.skipped)} bad rows left out; the first: {found.skipped[0]}")


def _details(scores: Scores) -> Iterator[str]:
    for method, splits in scores.items():
        for split, found in splits.items():
            for one in found.results:
                yield json_format.dumps({"method": method, "split": split} | one.record(), ensure_ascii=False)


def _record(scores: Scores, baseline: str, comparisons: Comparisons, *, strict: bool) -> dict[str, Any]:
    from farsight.metrics.pope.scoring import table

    return {
        "rule": "strict" if strict else "official",
        "methods": {method: table(splits) for method, splits in scores.items()},
        "baseline": baseline,
        "comparisons": {
            method: {split: found.record() for split, found in splits.items()} for method, splits in comparisons.items()
        },
    }


def _print_scores(scores: Scores, *, strict: bool) -> None:
    """One table of methods if there is one split, else a table of splits for each method."""
    from farsight.cli.tables import percent, print_table
    from farsight.metrics.pope.scoring import table

    counts = (*COUNTS, "unanswered") if strict else COUNTS
    rows = {
        method: [
            [row["split"], *(percent(row[name]) for name in SHOWN), *(str(row.get(name, "")) for name in counts)]
            for row in table(splits)
        ]
        for method, splits in scores.items()
    }
    columns = [*SHOWN.values(), *(name.upper() if len(name) == 2 else name for name in counts)]
    if all(len(found) == 1 for found in rows.values()):
        print_table(["answers", *columns], [[method, *found[0][1:]] for method, found in rows.items()])
        return
    for method, found in rows.items():
        print_table(["split", *columns], found, title=method)


def _print_comparisons(baseline: str, comparisons: Comparisons) -> None:
    from farsight.cli.tables import difference, note, print_table

    if not comparisons:
        return
    splits = list(next(iter(comparisons.values())))
    for split in splits:
        found = [of[split] for of in comparisons.values()]
        rows = [[shown] + [difference(one.differences[name]) for one in found] for name, shown in SHOWN.items()]
        tests = [one.mcnemar for one in found]
        rows += [
            [f"right where {baseline} is wrong", *(str(test.only_other_right) for test in tests)],
            [f"wrong where {baseline} is right", *(str(test.only_baseline_right) for test in tests)],
            ["McNemar's test", *("p < 0.001" if test.p < 0.001 else f"p {test.p:.3f}" for test in tests)],
            ["questions", *(str(test.items) for test in tests)],
        ]
        print_table([f"minus {baseline}", *comparisons], rows, title=split if len(splits) > 1 else "")
    note("differences in percentage points, with 95 % intervals of a paired bootstrap over pictures")
