"""Compare two methods of a run of ``farsight eval`` with each other, where its tables compare each with the first.

python benchmarks/results_between.py --methods constant "farsight(profile=0)" RUN ...

CHAIR_I of the second minus that of the first, in percentage points, with the 95 % paired bootstrap interval over
captions, and what share of the attention each took.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from results_table import interval

from farsight.metrics.paired import ratio_difference


def captions(run: Path, labels: list[str]) -> dict[str, dict[str, dict[str, tuple[int, int]]]]:
    """False objects and all objects that each caption names, by form, method and picture."""
    found: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
    for line in (run / "details.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["method"] in labels:
            of_method = found.setdefault(row["part"], {label: {} for label in labels})[row["method"]]
            of_method[row["image_id"]] = (len(row["hallucinated"]), len(row["mentions"]))
    return found


def absorbed(part: dict[str, Any], label: str) -> str:
    share = part["figures"][label]["absorbed"]
    return "" if share is None else f"{100 * share:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--methods", nargs=2, required=True, metavar="LABEL", help="as they are called in the runs")
    options = parser.parse_args()
    one, other = options.methods
    print(
        f"| run | captions | absorbed by {one} | by {other} | CHAIR_I of {other} minus {one} |\n|---|---|---|---|---|"
    )
    for run in options.runs:
        parts = json.loads((run / "results.json").read_text())["parts"]
        for form, methods in captions(run, options.methods).items():
            both = sorted(methods[one].keys() & methods[other].keys())
            (above, below), (above_other, below_other) = (
                zip(*(methods[label][item] for item in both), strict=True) for label in options.methods
            )
            found = ratio_difference("CHAIR_I", (above, below), (above_other, below_other))
            shown = interval({"difference": found.value, "low": found.low, "high": found.high}, 100)
            shares = [absorbed(parts[form], label) for label in options.methods]
            print(f"| {run.name} | {form} | {shares[0]} | {shares[1]} | {shown} |")


if __name__ == "__main__":
    main()
