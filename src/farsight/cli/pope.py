"""``farsight pope`` and ``farsight pope-questions``: does a model say yes to objects that are not there?"""

from __future__ import annotations

import json as json_format
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import captions as caption_options
from farsight.cli import options
from farsight.cli.terminal import note, say
from farsight.errors import InputError
from farsight.files import real_path, short_names

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
    relabeled: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="QUESTIONS.jsonl",
            help="The same questions, or some of them, with corrected labels, as in RePOPE: one option for each of "
            "--questions. Shown side by side.",
        ),
    ] = None,
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

    relabeled = relabeled or []
    methods = _methods(answers, questions, relabeled)
    caption_options.check_output(details, [*answers, *questions, *relabeled])
    scores = {
        method: {split: score(said, asked, strict=strict, skip_bad=skip_bad) for split, (said, asked) in splits.items()}
        for method, splits in methods.items()
    }
    _tell_left_out(scores, len(questions), strict=strict)
    _check_relabeled(scores, len(questions))
    if details is not None:
        from farsight.files import write_lines

        write_lines(details, _details(scores))
    baseline = next(iter(scores))
    comparisons, not_compared = _compared(scores, seed=seed)
    if json:
        record = _record(scores, comparisons, len(questions), strict=strict) | {"not_compared": not_compared}
        say(json_format.dumps(record, indent=2, allow_nan=False))
        return
    _print_scores(scores, len(questions), strict=strict)
    _print_comparisons(baseline, comparisons)


def pope_questions(
    objects: Annotated[
        Path, typer.Argument(metavar="OBJECTS.jsonl", help="Rows of image_id and objects: a list of any names.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the three files; it is made if missing.")],
    per_image: Annotated[
        int, typer.Option(metavar="N", help="Pairs of questions about a picture: one yes, one no.")
    ] = 3,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same questions.")] = 0,
    image_template: Annotated[
        str, typer.Option(metavar="TEXT", help="File name of a picture, such as COCO_val2014_{:0>12}.jpg or {}.png.")
    ] = "{}",
    skip_bad: caption_options.SkipBad = False,
    json: options.Json = False,
) -> None:
    """Make POPE's questions, random, popular and adversarial, from any list of objects in pictures.

    Example: farsight pope-questions objects.jsonl --out questions
    """
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
        say(json_format.dumps(record, indent=2))
        return
    say(f"wrote {', '.join(map(str, files.values()))}")
    say(f"{made.questions} questions in each, half of them with the answer yes, about {made.images} images")
    if fewer := made.images_with_fewer:
        say(f"{fewer} images have fewer than {per_image} pairs, as too few objects are there or missing")
    if left_out := made.nothing_to_ask:
        say(f"{len(left_out)} images are left out, as no object is there or none is missing (first: {left_out[0]})")


def _methods(
    answers: list[Path], questions: list[Path], relabeled: list[Path]
) -> dict[str, dict[str, tuple[Path, Path]]]:
    """For each method and split, then for each relabeled split, the files of answers and of questions.

    Raises
    ------
    InputError
        If the numbers of files do not fit, one is given twice, or names say that the splits are mixed up.
    """
    for paths, what in ((answers, "answers"), ([*questions, *relabeled], "questions")):
        for number, path in enumerate(paths):
            if real_path(path) in map(real_path, paths[:number]):
                raise InputError(f"{path}: is given twice among the {what}; give each file once")
    rounds, left = divmod(len(answers), len(questions))
    if left or not rounds:
        raise InputError(
            f"{len(answers)} files of answers do not go with {len(questions)} files of questions; give one file of "
            "answers for each file of questions, and as many again for each further method"
        )
    if relabeled and len(relabeled) != len(questions):
        raise InputError(
            f"{len(relabeled)} files of --relabeled do not go with {len(questions)} of --questions; give one for each, "
            "in the same order"
        )
    splits = short_names([*questions, *relabeled])
    files = [answers[start : start + len(questions)] for start in range(0, len(answers), len(questions))]
    for one in files:
        for said, asked in _together(one, questions, relabeled):
            _check_split(said, asked)
    names = short_names([one[0] for one in files])
    if len(questions) > 1:
        names = _without_splits(names)
    return {
        name: dict(zip(splits, _together(one, questions, relabeled), strict=True))
        for name, one in zip(names, files, strict=True)
    }


def _together(answers: list[Path], questions: list[Path], relabeled: list[Path]) -> list[tuple[Path, Path]]:
    """Answers with their questions, then again with the same questions in their other labels."""
    return [*zip(answers, questions, strict=True), *zip(answers, relabeled, strict=False)]


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


def _tell_left_out(scores: Scores, splits: int, *, strict: bool) -> None:
    """Say on stderr what is not scored, and what may be read otherwise than it was meant."""
    from farsight.metrics.pope.answers import YES

    for method, of in scores.items():
        for number, (split, found) in enumerate(of.items()):
            if found.skipped:
                note(f"{method}, {split}: {len(found.skipped)} bad rows left out; the first: {found.skipped[0]}")
            if found.not_asked:
                note(f"{method}, {split}: {found.not_asked} answers left out, as their questions are not asked there")
            if not strict and number < splits and (unclear := found.unclear):
                yes = sum(one.said == YES for one in unclear)
                note(
                    f"{method}, {split}: {len(unclear)} of {found.questions} answers begin neither with Yes nor with "
                    f"No (the first: {json_format.dumps(unclear[0].answer[:40], ensure_ascii=False)}); by the official "
                    f"rule {yes} of them count as yes. --strict reads them by their words"
                )


def _check_relabeled(scores: Scores, splits: int) -> None:
    """Say how relabeled questions differ from those that they replace.

    Raises
    ------
    InputError
        If a question of the same identifier is another one.
    """
    named = list(next(iter(scores.values())).items())
    for (split, found), (again, other) in zip(named, named[splits:], strict=False):
        before = {one.question.question_id: one.question for one in found.results}
        changed = 0
        for one in (result.question for result in other.results):
            old = before.get(one.question_id, one)
            if (old.image, old.text) != (one.image, one.text):
                raise InputError(
                    f"question_id {one.question_id} of {again} is '{one.text}' about {one.image}, and in {split} it is "
                    f"'{old.text}' about {old.image}; --relabeled takes the same questions with other labels"
                )
            changed += old.label != one.label
        note(f"{again}: {other.questions} of the {found.questions} questions of {split}, {changed} with another label")


def _details(scores: Scores) -> Iterator[str]:
    for method, splits in scores.items():
        for split, found in splits.items():
            for one in found.results:
                yield json_format.dumps({"method": method, "split": split} | one.record(), ensure_ascii=False)


def _rows(scores: dict[str, PopeScore], splits: int) -> list[dict[str, Any]]:
    """The splits and their mean; below them, where there are, the relabeled ones and theirs."""
    from farsight.metrics.pope.scoring import table

    named = list(scores.items())
    return table(dict(named[:splits])) + table(dict(named[splits:]), "mean, relabeled")


def _compared(scores: Scores, *, seed: int) -> tuple[Comparisons, dict[str, str]]:
    """Compare each method with the first, split by split, and say why where that cannot be done."""
    (_, baseline), *others = scores.items()
    comparisons: Comparisons = {}
    not_compared: dict[str, str] = {}
    if others:
        from farsight.metrics.pope.comparison import compare

        for method, splits in others:
            comparisons[method] = {}
            for split, score in splits.items():
                both = partial(compare, baseline[split], score, seed=seed)
                found = caption_options.unless_too_few(f"{method}, {split}", both, not_compared)
                if found is not None:
                    comparisons[method][split] = found
    return comparisons, not_compared


def _record(scores: Scores, comparisons: Comparisons, splits: int, *, strict: bool) -> dict[str, Any]:
    return {
        "rule": "strict" if strict else "official",
        "methods": {method: _rows(found, splits) for method, found in scores.items()},
        "baseline": next(iter(scores)),
        "comparisons": {
            method: {split: found.record() for split, found in splits.items()} for method, splits in comparisons.items()
        },
    }


def _print_scores(scores: Scores, splits: int, *, strict: bool) -> None:
    """One table of methods if there is one split, else a table of splits for each method."""
    from farsight.cli.tables import percent, print_table

    counts = (*COUNTS, "unanswered") if strict else COUNTS
    rows = {
        method: [
            [row["split"], *(percent(row[name]) for name in SHOWN), *(str(row.get(name, "")) for name in counts)]
            for row in _rows(found, splits)
        ]
        for method, found in scores.items()
    }
    columns = [*SHOWN.values(), *(name.upper() if len(name) == 2 else name for name in counts)]
    if all(len(found) == 1 for found in rows.values()):
        print_table(["answers", *columns], [[method, *found[0][1:]] for method, found in rows.items()])
        return
    for method, lines in rows.items():
        print_table(["split", *columns], lines, title=method)


def _print_comparisons(baseline: str, comparisons: Comparisons) -> None:
    from farsight.cli.tables import difference, print_table

    splits = list(dict.fromkeys(split for of in comparisons.values() for split in of))
    for split in splits:
        found = {method: of[split] for method, of in comparisons.items() if split in of}
        rows = [
            [shown, *(difference(one.differences[name]) for one in found.values())] for name, shown in SHOWN.items()
        ]
        tests = [one.mcnemar for one in found.values()]
        rows += [
            [f"right where {baseline} is wrong", *(str(test.only_other_right) for test in tests)],
            [f"wrong where {baseline} is right", *(str(test.only_baseline_right) for test in tests)],
            ["McNemar's test", *("p < 0.001" if test.p < 0.001 else f"p {test.p:.3f}" for test in tests)],
            ["questions", *(str(test.items) for test in tests)],
        ]
        print_table([f"minus {baseline}", *found], rows, title=split if len(splits) > 1 else "")
    if splits:
        note("differences in percentage points, with 95 % intervals of a paired bootstrap over pictures")
