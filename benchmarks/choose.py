"""Choose one setting of every method by the validation split, by the same rule for all, and print them as YAML.

    farsight eval --task scenes:validation --count 150 --question-count 150 --batch-size 100 \
        --config benchmarks/search.yaml --out VALIDATION
    python benchmarks/choose.py VALIDATION > benchmarks/chosen.yaml
    python benchmarks/choose.py --table VALIDATION      # all settings, the chosen ones in bold

Of a method's settings the one with the lowest CHAIR_I is chosen (mean of free and counted captions) among those that
cost at most `MAY_COST` points of recall and of balanced POPE accuracy (mean of the three kinds) against greedy; if none
does, the one that costs least.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

MAY_COST = 1.0
"""Percentage points."""


def figure(parts: dict[str, Any], kind: str, key: str, label: str) -> float:
    """Mean over the parts of a kind, percent."""
    return float(100 * mean(part["figures"][label][key] for part in parts.values() if part["kind"] == kind))


def table(parts: dict[str, Any], methods: Mapping[str, Any], chosen: Collection[str]) -> Iterator[str]:
    """Means over free and counted captions, and over the three kinds of questions."""
    yield "| setting | CHAIR_I | recall | POPE accuracy |"
    yield "|---|---|---|---|"
    for label in methods:
        shown = [figure(parts, "caption", key, label) for key in ("chair_i", "recall")]
        cells = [f"{value:.1f}" for value in [*shown, figure(parts, "question", "accuracy", label)]]
        yield f"| {f'**{label}**' if label in chosen else label} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--table", action="store_true", help="print what was tried instead of what was chosen")
    options = parser.parse_args()
    found = json.loads((options.run / "results.json").read_text())
    parts, methods = found["parts"], found["config"]["methods"]
    baseline, *labels = methods

    def cost(label: str) -> float:
        lost = (
            figure(parts, "caption", "recall", baseline) - figure(parts, "caption", "recall", label),
            figure(parts, "question", "accuracy", baseline) - figure(parts, "question", "accuracy", label),
        )
        return max(lost)

    families: dict[str, list[str]] = {}
    for label in labels:
        families.setdefault(methods[label]["name"], []).append(label)
    chosen: list[Any] = ["greedy"]
    labels_chosen = []
    for name, family in families.items():
        allowed = [label for label in family if cost(label) <= MAY_COST]
        best = (
            min(allowed, key=lambda label: figure(parts, "caption", "chair_i", label))
            if allowed
            else min(family, key=cost)
        )
        settings = {key: value for key, value in methods[best].items() if key != "name"}
        chosen.append({"method": name, **settings, "label": best})
        labels_chosen.append(best)
        print(
            f"{best}: CHAIR_I {figure(parts, 'caption', 'chair_i', best):.1f} (greedy "
            f"{figure(parts, 'caption', 'chair_i', baseline):.1f}), costs {cost(best):.1f} points",
            file=sys.stderr,
        )
    if options.table:
        print("\n".join(table(parts, methods, labels_chosen)))
        return
    print("# Chosen by benchmarks/choose.py from the validation split; do not edit.")
    print(yaml.safe_dump({"methods": chosen}, sort_keys=False, default_flow_style=None, width=120), end="")


if __name__ == "__main__":
    main()
