"""What each batch took, kept beside the answers: time of each method over the first's, and memory, on the same batches.

Methods answer a batch in turn, so what else the machine does slows all of them, and the median of the ratios of
batches is no method's luck.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from farsight.evaluate.engine import Answer, Said
from farsight.files import json_lines, opened

TIMES = "times.jsonl"
"""In a run folder: a row for each batch that this machine answered, one at a time."""
FEWEST = 3
"""Batches that a method and the first must have in common."""


def keep_time(folder: Path, label: str, first: str, said: Said) -> None:
    """Add the row of a batch, which is known by its first item, if it was timed.

    A time that cannot be written is no reason to end a run.
    """
    answers = [one for one in said if isinstance(one, Answer) and one.seconds is not None]
    if not answers:
        return
    tokens, seconds = sum(one.tokens for one in answers), sum(one.seconds or 0.0 for one in answers)
    row = {"method": label, "first": first, "tokens": tokens, "seconds": round(seconds, 6)}
    if (peak := answers[0].peak_bytes) is not None:
        row["peak_bytes"] = peak
    with suppress(OSError), (folder / TIMES).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(row)}\n")


def times_over_first(folder: Path, methods: Sequence[str]) -> dict[str, float]:
    """Give the time per token of each method over that of the first: the median over batches.

    Empty if one of them has fewer than `FEWEST` batches in common with the first; torn rows are left out.
    """
    return _over_first(folder, methods, lambda row: float(row["seconds"]) / int(row["tokens"]))


def memory_of(folder: Path, methods: Sequence[str]) -> dict[str, float]:
    """Give the most bytes that a batch of each method had beside what stood before it: the median over batches.

    Empty if one of them has fewer than `FEWEST` batches in which that was counted.
    """
    peaks = {label: list(found.values()) for label, found in _costs(folder, methods, _peak).items()}
    return {label: median(found) for label, found in peaks.items() if all(len(one) >= FEWEST for one in peaks.values())}


def _peak(row: dict[str, Any]) -> float:
    return int(row["peak_bytes"])


def _over_first(folder: Path, methods: Sequence[str], cost: Callable[[dict[str, Any]], float]) -> dict[str, float]:
    costs = _costs(folder, methods, cost)
    first = costs[methods[0]]
    ratios = {
        label: [taken / first[batch] for batch, taken in found.items() if batch in first]
        for label, found in costs.items()
    }
    return {
        label: median(found) for label, found in ratios.items() if all(len(one) >= FEWEST for one in ratios.values())
    }


def _costs(
    folder: Path, methods: Sequence[str], cost: Callable[[dict[str, Any]], float]
) -> dict[str, dict[str, float]]:
    """What each method's batches cost, by method and batch."""
    costs: dict[str, dict[str, float]] = {label: {} for label in methods}
    if not (folder / TIMES).is_file():
        return costs
    with opened(folder / TIMES) as file:
        for _, line in json_lines(file):
            with suppress(ValueError, KeyError, TypeError, ZeroDivisionError):
                row = json.loads(line)
                costs[row["method"]][row["first"]] = cost(row)
    return costs
