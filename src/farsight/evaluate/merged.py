"""Finished runs in one table: models and methods below each other, figures with their intervals beside each other."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from farsight.errors import InputError
from farsight.evaluate.finished import FinishedRun

FIGURES = {"caption": ("chair_s", "chair_i", "recall"), "question": ("accuracy",), "exact": ("accuracy",)}
"""What is shown of each kind of part."""
NAMES = {"chair_s": "CHAIR_S", "chair_i": "CHAIR_I"}
FORMATS = ("markdown", "csv", "latex")
_LATEX = str.maketrans({letter: f"\\{letter}" for letter in "_%&#$"})


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A figure in percent, and its difference to the first method with the 95 % interval; None of the first itself."""

    value: float
    difference: tuple[float, float, float] | None

    def text(self) -> str:
        """``9.8 (-2.1 [-3.5, -0.6])``, or the figure alone."""
        if self.difference is None:
            return f"{self.value:.1f}"
        middle, low, high = (f"{one:+.1f}" for one in self.difference)
        return f"{self.value:.1f} ({middle} [{low}, {high}])"


Key = tuple[str, str]
"""Model and method."""


def merged(runs: Sequence[FinishedRun]) -> dict[Key, dict[str, Cell]]:
    """Put runs together, by model and method, then by task, part and figure.

    What several runs have, such as those of several seeds, is averaged, the ends of the intervals too: runs on the same
    pictures are not independent, so that an interval is never narrower than those of its runs are on average.

    Raises
    ------
    InputError
        If runs compare with another first method, or have other methods and not the same figures of the first.
    """
    first = runs[0].methods[0]
    found: dict[Key, dict[str, list[Cell]]] = {}
    for run in runs:
        if run.methods[0] != first:
            raise InputError(
                f"{run.name}: compares with '{run.methods[0]}', and {runs[0].name} with '{first}'; make a table of each"
            )
        for part in run.parts:
            for label, figures in part.figures.items():
                cells = found.setdefault((run.model, label), {})
                for name in FIGURES[part.kind]:
                    if (value := figures.get(name)) is None:
                        continue
                    other = None if label == first else part.differences[label][name]
                    ends = None if other is None else (100 * other.value, 100 * other.low, 100 * other.high)
                    column = f"{run.task} {part.part} {NAMES.get(name, name)}"
                    cells.setdefault(column, []).append(Cell(value=100 * value, difference=ends))
    _check_alike(runs)
    return {key: {column: _mean(same) for column, same in cells.items()} for key, cells in found.items()}


def _check_alike(runs: Sequence[FinishedRun]) -> None:
    """Methods of several runs stand beside each other only where what they are compared with is the same."""
    groups: dict[Key, FinishedRun] = {}
    for run in runs:
        one = groups.setdefault((run.task, run.model), run)
        mine, others = ({part.part: part.figures[each.methods[0]] for part in each.parts} for each in (run, one))
        if run.methods != one.methods and mine != others:
            raise InputError(
                f"{run.name} and {one.name} have other methods and other figures of '{one.methods[0]}', so their rows "
                "cannot be compared; make a table of each"
            )


def _mean(cells: Sequence[Cell]) -> Cell:
    ends = [one.difference for one in cells if one.difference is not None]
    middle = tuple(fmean(end) for end in zip(*ends, strict=True))
    return Cell(
        value=fmean(one.value for one in cells),
        difference=(middle[0], middle[1], middle[2]) if ends else None,
    )


def written(table: dict[Key, dict[str, Cell]], form: str) -> str:
    """Write a table as one of `FORMATS`; what all columns begin with is left out. CSV has every number by itself."""
    columns = list(dict.fromkeys(column for cells in table.values() for column in cells))
    if form == "csv":
        return _csv(table, columns)
    task = {column.partition(" ")[0] for column in columns}
    headings = ["model", "method", *(column.partition(" ")[2] if len(task) == 1 else column for column in columns)]
    rows = [
        [*key, *(cells[column].text() if column in cells else "-" for column in columns)]
        for key, cells in table.items()
    ]
    if form == "markdown":
        rule = ["---", "---", *["---:"] * len(columns)]
        escaped = ([cell.replace("|", "\\|") for cell in row] for row in [headings, rule, *rows])
        return "\n".join(f"| {' | '.join(row)} |" for row in escaped)
    lines = [" & ".join(cell.translate(_LATEX) for cell in row) + r" \\" for row in [headings, *rows]]
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    return f"\\begin{{tabular}}{{ll{'r' * len(columns)}}}  % \\usepackage{{booktabs}}\n{body}\n\\end{{tabular}}"


def _csv(table: dict[Key, dict[str, Cell]], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "method", "figure", "value", "difference", "low", "high"])
    for key, cells in table.items():
        for column in columns:
            if column in cells:
                ends = cells[column].difference or ("", "", "")
                writer.writerow([*key, column, cells[column].value, *ends])
    return text.getvalue().rstrip("\n")
