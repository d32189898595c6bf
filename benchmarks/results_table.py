"""Print the tables of docs/appendix from runs of ``farsight eval``.

farsight eval --task scenes:test --count 500 --batch-size 50 --config benchmarks/results.yaml --out RUN
python benchmarks/results_table.py RUN                       # all figures of one run
python benchmarks/results_table.py --across chair_i RUN ...  # one figure of captions in many runs, side by side
python benchmarks/results_table.py --cost COSTS.json RUN     # with the time over greedy (benchmarks/methods.py --json)
python benchmarks/results_table.py --answers RUN             # accuracy, F1 and share of "yes", a table for each kind
python benchmarks/results_table.py --perplexity FILE RUN     # with what benchmarks/answer_perplexity.py has printed
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Column(NamedTuple):
    """A figure of captions: its title, its key among a method's figures, and what a unit is multiplied with."""

    title: str
    figure: str
    scale: int = 100


CAPTIONS = {
    "chair_s": Column("CHAIR_S", "chair_s"),
    "chair_i": Column("CHAIR_I", "chair_i"),
    "first_3": Column("first-3", "first_3"),
    "recall": Column("recall", "recall"),
    "objects": Column("objects", "objects_per_caption", 1),
    "words": Column("words", "words_per_caption", 1),
    "repetition_4": Column("rep-4", "repetition_4"),
}
"""By their keys among the differences."""

QUESTIONS = {"pope_random": "random", "pope_popular": "popular", "pope_adversarial": "adversarial"}


def interval(found: dict[str, Any], scale: int) -> str:
    value, low, high = (scale * found[name] for name in ("difference", "low", "high"))
    digits = 1 if scale > 1 else 2
    shown = f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"**{shown}**" if low > 0 or high < 0 else shown


def cell(part: dict[str, Any], number: int, label: str, key: str) -> str:
    """The figure itself for the first method, the difference to it for the others."""
    _, figure, scale = CAPTIONS[key]
    if number == 0:
        return f"{scale * part['figures'][label][figure]:.{1 if scale > 1 else 2}f}"
    return interval(part["differences"][label][key], scale)


def perplexity_cell(number: int, found: Mapping[str, float]) -> str:
    """The perplexity itself for the first method, the ratio to it for the others."""
    if number == 0:
        return f"{found['perplexity']:.2f}"
    shown = f"x{found['ratio']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
    return f"**{shown}**" if found["low"] > 1 or found["high"] < 1 else shown


def captions(
    parts: dict[str, Any], name: str, cost: Mapping[str, float], perplexity: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """All figures of one form of captions, with perplexities and the time over greedy of labels, if there are any."""
    part = parts[name]
    titles = [column.title for column in CAPTIONS.values()]
    titles += (["perplexity"] if perplexity else []) + (["time"] if cost else [])
    lines = [f"| {name} | absorbed | {' | '.join(titles)} |", f"|---|---|{'---|' * len(titles)}"]
    for number, (label, figures) in enumerate(part["figures"].items()):
        absorbed = "" if figures["absorbed"] is None else f"{100 * figures['absorbed']:.1f}"
        cells = [cell(part, number, label, key) for key in CAPTIONS]
        if perplexity:
            cells.append(perplexity_cell(number, perplexity[label]) if label in perplexity else "")
        if cost:
            cells.append(f"x{cost[label]:.2f}" if label in cost else "")
        lines.append(f"| {label} | {absorbed} | {' | '.join(cells)} |")
    return lines


def costs(file: Path | None, found: dict[str, Any]) -> dict[str, float]:
    """Time over greedy of each label of a run, by the name of its method."""
    if file is None:
        return {}
    times = json.loads(file.read_text())["times"]
    names = {label: settings["name"] for label, settings in found["config"]["methods"].items()}
    return {label: times[name]["ratio"] for label, name in names.items() if name in times}


def questions(parts: dict[str, Any]) -> list[str]:
    names = [name for name in QUESTIONS if name in parts]
    lines = [f"| POPE accuracy | {' | '.join(QUESTIONS[name] for name in names)} |", f"|---|{'---|' * len(names)}"]
    for number, label in enumerate(parts[names[0]]["figures"]):
        cells = [
            f"{100 * parts[name]['figures'][label]['accuracy']:.1f}"
            if number == 0
            else interval(parts[name]["differences"][label]["accuracy"], 100)
            for name in names
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


ANSWERS = {"accuracy": "accuracy", "f1": "F1", "yes_ratio": "yes"}


def answers(part: dict[str, Any], name: str) -> list[str]:
    """How one kind of questions is answered: methods down, figures across."""
    lines = [f"| {QUESTIONS[name]} | {' | '.join(ANSWERS.values())} |", f"|---|{'---|' * len(ANSWERS)}"]
    for number, (label, figures) in enumerate(part["figures"].items()):
        cells = [
            f"{100 * figures[key]:.1f}" if number == 0 else interval(part["differences"][label][key], 100)
            for key in ANSWERS
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def profile(runs: dict[str, dict[str, Any]]) -> list[str]:
    """What each run's model is like under the first method, without intervals; percent."""
    shown = ("chair_s", "chair_i", "first_3", "recall", "repetition_4")
    first = next(iter(runs.values()))
    forms = [name for name, part in first.items() if part["kind"] == "caption"]
    asked = [name for name, part in first.items() if part["kind"] == "question"]
    titles = [f"{form} {CAPTIONS[key].title}" for form in forms for key in shown] + asked
    lines = [f"| model | {' | '.join(titles)} |", f"|---|{'---|' * len(titles)}"]
    for name, parts in runs.items():
        figures = [next(iter(parts[form]["figures"].values()))[CAPTIONS[key].figure] for form in forms for key in shown]
        figures += [next(iter(parts[kind]["figures"].values()))["accuracy"] for kind in asked]
        lines.append(f"| {name} | {' | '.join(f'{100 * value:.1f}' for value in figures)} |")
    return lines


def across(runs: dict[str, dict[str, Any]], key: str) -> list[list[str]]:
    """One table for each form of captions: methods down, runs across."""
    tables = []
    forms = [name for name, part in next(iter(runs.values())).items() if part["kind"] == "caption"]
    for form in forms:
        figures: list[dict[str, Any]] = [parts[form]["figures"] for parts in runs.values()]
        most = max(figures, key=len)
        labels = list(most)
        lines = [f"| {form}, {CAPTIONS[key].title} | {' | '.join(runs)} |", f"|---|{'---|' * len(runs)}"]
        for number, label in enumerate(labels):
            cells = [
                cell(parts[form], number, label, key) if label in parts[form]["figures"] else "–"
                for parts in runs.values()
            ]
            lines.append(f"| {label} | {' | '.join(cells)} |")
        tables.append(lines)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--across", choices=CAPTIONS, help="this figure alone, with a column for each run")
    parser.add_argument("--profile", action="store_true", help="the first method alone, with a row for each run")
    parser.add_argument("--answers", action="store_true", help="questions alone, with F1 and the share of yes")
    parser.add_argument("--perplexity", type=Path, metavar="FILE", help="add the perplexities of this file")
    parser.add_argument("--cost", type=Path, metavar="FILE", help="add the time over greedy from this file")
    options = parser.parse_args()
    found = {folder.name: json.loads((folder / "results.json").read_text()) for folder in options.runs}
    runs = {name: one["parts"] for name, one in found.items()}
    if options.profile:
        tables = [profile(runs)]
    elif options.answers:
        tables = [answers(part, name) for parts in runs.values() for name, part in parts.items() if name in QUESTIONS]
    elif options.across:
        tables = across(runs, options.across)
    else:
        tables = []
        likely = json.loads(options.perplexity.read_text()) if options.perplexity else {}
        for run, parts in runs.items():
            cost = costs(options.cost, found[run])
            forms = [name for name, part in parts.items() if part["kind"] == "caption"]
            tables += [captions(parts, form, cost, likely.get(form, {})) for form in forms]
            tables.append(questions(parts))
    print("\n\n".join("\n".join(table) for table in tables))


if __name__ == "__main__":
    main()
