"""Print the tables of docs/real_model.md from runs of ``farsight eval --task lists``, and draw its pictures.

python benchmarks/lists_table.py --objects OBJECTS.jsonl RUN ...                   # all rows, differences to greedy
python benchmarks/lists_table.py --objects OBJECTS.jsonl --against LABEL RUN ...   # to another row
python benchmarks/lists_table.py --objects OBJECTS.jsonl --row LABEL RUN ...       # one row, each run alone
python benchmarks/lists_table.py --objects OBJECTS.jsonl --picture FILE.png RUN ...    # the same, drawn

Runs of one table have the same lists and the same wording. A row that has not all of its answers yet is left out.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farsight.evaluate.verdicts import direction
from farsight.files import write
from farsight.metrics import chair, snowball
from farsight.metrics.chair import ChairScore
from farsight.metrics.comparison import compare
from farsight.metrics.paired import Difference
from farsight.metrics.text_quality import quality
from farsight.report import charts

FIGURES = {
    "first_3": "first-3",
    "chair_i": "CHAIR_I",
    "chair_s": "CHAIR_S",
    "snowball": "second false",
    "recall": "recall",
    "repetition_4": "rep-4",
}
"""Shares, by their names among differences."""
DRAWN = ("first_3", "chair_i", "snowball", "recall", "repetition_4")


@dataclass(frozen=True, kw_only=True)
class Row:
    """All answers of one method."""

    score: ChairScore
    absorbed: float | None
    prompts: dict[str, str]

    @property
    def quality(self) -> Any:
        """Words and repetition of its texts."""
        return quality(one.caption.text for one in self.score.captions)

    @property
    def ratio(self) -> str:
        """The rank-matched snowball ratio."""
        found = snowball.audit(self.score).ratio
        return "" if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def read(runs: list[Path], objects: dict[str, list[str]]) -> dict[str, Row]:
    """Rows by label, those with all answers."""
    answers: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for run in runs:
        for line in (run / "answers.jsonl").read_text().splitlines():
            row = json.loads(line)
            answers[row["method"]][row["image_id"]] = row
    most = max(map(len, answers.values()))
    rows = {}
    for label, found in answers.items():
        if len(found) < most:
            continue
        taken = [row["absorbed"] for row in found.values() if row["absorbed"] is not None]
        rows[label] = Row(
            score=chair.score(
                {image: row["text"] or "-" for image, row in found.items()}, {i: objects[i] for i in found}
            ),
            absorbed=sum(taken) / len(taken) if taken else None,
            prompts={image: row["prompt"] for image, row in found.items()},
        )
    return rows


def differences(row: Row, other: Row) -> dict[str, Difference]:
    """Of one row to another, each prompt an item."""
    return compare(other.score, row.score, alike=row.prompts)


def cell(found: Difference, scale: float = 100, digits: int = 1) -> str:
    value, low, high = (scale * number for number in (found.value, found.low, found.high))
    shown = f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"**{shown}**" if low > 0 or high < 0 else shown


def table(rows: dict[str, Row], against: str) -> list[str]:
    """The figures of one row, and the differences of all others to it."""
    base = rows[against]
    titles = ["absorbed", *FIGURES.values(), "words", "distinct-2", "snowball ratio"]
    lines = [f"| {len(set(base.prompts.values()))} lists of {len(base.prompts)} pictures | {' | '.join(titles)} |"]
    lines.append("|---" * (len(titles) + 1) + "|")
    first = differences(base, base)
    for label in [against, *(label for label in rows if label != against)]:
        row = rows[label]
        absorbed = "" if row.absorbed is None else f"{100 * row.absorbed:.1f}"
        found = differences(row, base)
        if label == against:
            cells = [f"{100 * first[name].baseline:.1f}" for name in FIGURES] + [f"{first['words'].baseline:.1f}"]
        else:
            cells = [cell(found[name]) for name in FIGURES] + [cell(found["words"], 1)]
        cells += [f"{100 * row.quality.distinct_2:.1f}", row.ratio]
        lines.append(f"| {shortened(label)} | {absorbed} | {' | '.join(cells)} |")
    return lines


def shortened(label: str) -> str:
    """A label with its layers as a range."""
    return re.sub(r"layers=\[(\d+)[\d, ]*, (\d+)\]", r"layers=\1-\2", label)


def draw(found: dict[str, dict[str, Difference]], below: str) -> bytes:
    """Differences as points with their intervals: a panel for each figure, a line for each name."""
    with charts.figure(12, 1.1 + 0.3 * len(found)) as drawn:
        axes = drawn.subplots(1, len(DRAWN), sharey=True)
        for one, name in zip(axes, DRAWN, strict=True):
            numbers = [each[name] for each in found.values()]
            charts.differences(
                one, [(100 * it.low, 100 * it.value, 100 * it.high) for it in numbers], better=direction(name)
            )
            one.set_title(FIGURES[name])
        axes[0].set_yticklabels([shortened(label) for label in found])
        drawn.supxlabel(below)
        return charts.image(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--objects", type=Path, required=True, metavar="FILE")
    parser.add_argument("--against", default="greedy", metavar="LABEL")
    parser.add_argument("--row", metavar="LABEL", help="this row of each run alone")
    parser.add_argument("--picture", type=Path, metavar="FILE.png")
    options = parser.parse_args()
    read_rows = map(json.loads, options.objects.read_text().splitlines())
    objects = {str(one["image_id"]): one["objects"] for one in read_rows}
    if options.row is None:
        rows = read(options.runs, objects)
        print("\n".join(table(rows, options.against)))
        found = {
            label: differences(row, rows[options.against]) for label, row in rows.items() if label != options.against
        }
    else:
        found = {}
        for run in options.runs:
            rows = read([run], objects)
            name = f"{run.name}, {len(set(rows[options.row].prompts.values()))} lists"
            found[name] = differences(rows[options.row], rows[options.against])
        titles = [*FIGURES.values(), "words"]
        print(f"| {options.row} | {' | '.join(titles)} |\n{'|---' * (len(titles) + 1)}|")
        for name, each in found.items():
            print(f"| {name} | {' | '.join(cell(each[one]) for one in FIGURES)} | {cell(each['words'], 1)} |")
    if options.picture is not None:
        below = f"difference to {options.against} in percentage points, 95 % intervals over lists"
        write(options.picture, [draw(found, below)])


if __name__ == "__main__":
    main()
