"""Print the tables of docs/results.md from runs of ``farsight eval``.

farsight eval --task scenes:test --count 500 --batch-size 50 --config benchmarks/results.yaml --out RUN
python benchmarks/results_table.py RUN                       # all figures of one run
python benchmarks/results_table.py --across chair_i RUN ...  # one figure of captions in many runs, side by side
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

CAPTIONS = {"chair_s": "CHAIR_S", "chair_i": "CHAIR_I", "first_3": "first-3", "recall": "recall", "words": "words"}
QUESTIONS = {"pope_random": "random", "pope_popular": "popular", "pope_adversarial": "adversarial"}


def interval(found: dict[str, Any], scale: float) -> str:
    value, low, high = (scale * found[name] for name in ("difference", "low", "high"))
    shown = f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"**{shown}**" if low > 0 or high < 0 else shown


def captions(parts: dict[str, Any], name: str) -> list[str]:
    part = parts[name]
    lines = [f"| {name} | absorbed | {' | '.join(CAPTIONS.values())} |", f"|---|---|{'---|' * len(CAPTIONS)}"]
    for number, (label, figures) in enumerate(part["figures"].items()):
        absorbed = "" if figures["absorbed"] is None else f"{100 * figures['absorbed']:.1f}"
        if number == 0:
            shares = [100 * figures[key] for key in list(CAPTIONS)[:-1]]
            cells = [f"{value:.1f}" for value in (*shares, figures["words_per_caption"])]
        else:
            found = part["differences"][label]
            cells = [interval(found[key], 1 if key == "words" else 100) for key in CAPTIONS]
        lines.append(f"| {label} | {absorbed} | {' | '.join(cells)} |")
    return lines


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


def across(runs: dict[str, dict[str, Any]], key: str) -> list[list[str]]:
    """One table for each form of captions: methods down, runs across."""
    tables = []
    forms = [name for name, part in next(iter(runs.values())).items() if part["kind"] == "caption"]
    for form in forms:
        labels = list(next(iter(runs.values()))[form]["figures"])
        lines = [f"| {form}, {CAPTIONS[key]} | {' | '.join(runs)} |", f"|---|{'---|' * len(runs)}"]
        for number, label in enumerate(labels):
            scale = 1 if key == "words" else 100
            cells = [
                f"{scale * parts[form]['figures'][label][key]:.1f}"
                if number == 0
                else interval(parts[form]["differences"][label][key], scale)
                for parts in runs.values()
            ]
            lines.append(f"| {label} | {' | '.join(cells)} |")
        tables.append(lines)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--across", choices=CAPTIONS, help="this figure alone, with a column for each run")
    options = parser.parse_args()
    runs = {folder.name: json.loads((folder / "results.json").read_text())["parts"] for folder in options.runs}
    if options.across:
        tables = across(runs, options.across)
    else:
        tables = []
        for parts in runs.values():
            tables += [captions(parts, name) for name, part in parts.items() if part["kind"] == "caption"]
            tables.append(questions(parts))
    print("\n\n".join("\n".join(table) for table in tables))


if __name__ == "__main__":
    main()
