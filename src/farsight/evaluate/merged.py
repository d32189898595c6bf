"""Finished runs in one table: models and methods below each other, figures with their intervals beside each other."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from farsight.errors import InputError, SettingError
from farsight.evaluate.finished import FinishedRun
from farsight.evaluate.page import COLUMNS, COUNTS, DIFFERENCES, PLAIN
from farsight.methods import METHODS

USUAL = {
    "caption": ("CHAIR_S", "CHAIR_I", "recall"),
    "question": ("accuracy",),
    "exact": ("accuracy",),
    "amber_description": ("CHAIR", "Cover", "Hal", "Cog"),
    "amber_answer": ("accuracy", "F1"),
    "snowball": ("alone", "told", "flips"),
}
"""What is shown of each kind of part, by the names of `COLUMNS`."""
TIME = "time"
"""The column of each method's time per token over the first's."""
FORMATS = ("markdown", "csv", "latex")
_LATEX = str.maketrans({letter: f"\\{letter}" for letter in "_%&#$"})
PUBLISHED = {
    "greedy": "Greedy", "beam": "Beam search", "constant": "Constant gate",
    "farsight-released": "FarSight (released)",
}  # fmt: skip
"""Methods as papers write them, where that is not the name of their class."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A figure, and its difference to the first method with the 95 % interval; None of the first itself."""

    value: float
    difference: tuple[float, float, float] | None
    form: str = ".1f"
    """How it is written; shares are in percent."""

    def text(self) -> str:
        """``9.8 (-2.1 [-3.5, -0.6])``, or the figure alone."""
        if self.difference is None:
            return f"{self.value:{self.form}}"
        middle, low, high = (f"{one:+{self.form}}" for one in self.difference)
        return f"{self.value:{self.form}} ({middle} [{low}, {high}])"


Key = tuple[str, str]
"""Model and method."""


def merged(runs: Sequence[FinishedRun], wanted: Sequence[str] | None = None) -> dict[Key, dict[str, Cell]]:
    """Put runs together, by model and method, then by task, part and figure.

    What several runs have, such as those of several seeds, is averaged, the ends of the intervals too: runs on the same
    pictures are not independent, so that an interval is never narrower than those of its runs are on average.

    Parameters
    ----------
    runs
        Of any tasks and models.
    wanted
        Figures, by the names that the tables of a run have (`COLUMNS`), or "time"; `USUAL` if None.

    Raises
    ------
    InputError
        If runs compare with another first method, or have other methods and not the same figures of the first.
    SettingError
        If none of the runs has a figure that is wanted.
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
                shown = {called: name for name, called in COLUMNS[part.kind].items()}
                compared = {called: name for name, called in DIFFERENCES[part.kind].items()}
                for called in wanted or USUAL[part.kind]:
                    if called not in shown or (value := figures.get(name := shown[called])) is None:
                        continue
                    scale = 1 if name in PLAIN or name in COUNTS else 100
                    other = None if label == first or called not in compared else part.differences[label]
                    ends = None if other is None else other[compared[called]]
                    cell = Cell(
                        value=scale * value,
                        difference=None if ends is None else (scale * ends.value, scale * ends.low, scale * ends.high),
                        form=".0f" if name in COUNTS else ".2f" if name in PLAIN else ".1f",
                    )
                    cells.setdefault(f"{run.task} {part.part} {called}", []).append(cell)
        for label, time in run.times.items() if TIME in (wanted or ()) else ():
            cells = found.setdefault((run.model, label), {})
            cells.setdefault(f"{run.task} {TIME}", []).append(Cell(value=time, difference=None, form=".2f"))
    _check_alike(runs)
    there = {column.rpartition(" ")[2] for cells in found.values() for column in cells}
    if missing := [name for name in wanted or () if name not in there]:
        known = {called: None for run in runs for part in run.parts for called in COLUMNS[part.kind].values()}
        raise SettingError(
            f"--columns: no run has '{missing[0]}'"
            + (": none of them was timed" if missing[0] == TIME else f"; choose of {', '.join(known)}, {TIME}")
        )
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
        form=cells[0].form,
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
    headings = ["Model", "Method", *headings[2:]]
    rows = [[model, published(method), *cells] for model, method, *cells in rows]
    lines = [" & ".join(map(_latex, row)) + r" \\" for row in [headings, *rows]]
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    return f"\\begin{{tabular}}{{ll{'r' * len(columns)}}}  % \\usepackage{{booktabs}}\n{body}\n\\end{{tabular}}"


def published(label: str) -> str:
    """Write a method as papers do: ``FarSight(sigma=0.1)+Beam search``; what is no method of ours stays."""
    kinds = {name: PUBLISHED.get(name, kind.__name__) for name, kind in METHODS.items()} | PUBLISHED
    return re.sub(r"(^|\+)([\w-]+)(?=$|\+|\()", lambda found: found[1] + kinds.get(found[2], found[2]), label)


def _latex(cell: str) -> str:
    """A cell with CHAIR's subscripts, true minus signs, and nothing that LaTeX would obey."""
    text = re.sub(r"CHAIR\\_([SI])\b", r"CHAIR$_\1$", cell.translate(_LATEX))
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", text)


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
