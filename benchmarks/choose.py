"""Choose one setting of every method by the validation split, by the same rule for all, and print them as YAML.

    farsight eval --task scenes:validation --count 150 --question-count 300 --batch-size 50 \
        --config benchmarks/search.yaml --out VALIDATION
    python benchmarks/choose.py VALIDATION > benchmarks/chosen.yaml

Of a method's settings the one with the lowest CHAIR_I is chosen (mean of free and counted captions) among those that
cost at most `MAY_COST` points of recall and of balanced POPE accuracy (mean of the three kinds) against greedy; if none
does, the one that costs least.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

MAY_COST = 1.0
"""Percentage points."""


def figure(parts: dict[str, Any], kind: str, key: str, label: str) -> float:
    """Mean over the parts of a kind, percent."""
    return 100 * mean(part["figures"][label][key] for part in parts.values() if part["kind"] == kind)


def main() -> None:
    found = json.loads((Path(sys.argv[1]) / "results.json").read_text())
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
    for name, family in families.items():
        allowed = [label for label in family if cost(label) <= MAY_COST]
        best = (
            min(allowed, key=lambda label: figure(parts, "caption", "chair_i", label))
            if allowed
            else min(family, key=cost)
        )
        settings = {key: value for key, value in methods[best].items() if key != "name"}
        chosen.append({"method": name, **settings})
        print(
            f"{best}: CHAIR_I {figure(parts, 'caption', 'chair_i', best):.1f} (greedy "
            f"{figure(parts, 'caption', 'chair_i', baseline):.1f}), costs {cost(best):.1f} points",
            file=sys.stderr,
        )
    print("# Chosen by benchmarks/choose.py from the validation split; do not edit.")
    print(yaml.safe_dump({"methods": chosen}, sort_keys=False), end="")


if __name__ == "__main__":
    main()
