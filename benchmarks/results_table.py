"""Print the tables of docs/results.md from runs of ``farsight eval``.

farsight eval --task scenes:test --count 200 --batch-size 50 --config benchmarks/results.yaml --out RUN
python benchmarks/results_table.py RUN
"""

from __future__ import annotations

import json
import sys
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


def main() -> None:
    for folder in sys.argv[1:]:
        parts = json.loads((Path(folder) / "results.json").read_text())["parts"]
        tables = [captions(parts, name) for name, part in parts.items() if part["kind"] == "caption"]
        print("\n\n".join("\n".join(table) for table in [*tables, questions(parts)]), end="\n\n")


if __name__ == "__main__":
    main()
