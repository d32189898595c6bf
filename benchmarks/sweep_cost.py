"""What a sweep of 8 methods x 5 benchmarks x 3 models would cost on 1, 8 and 64 GPUs: calculated, not measured.

    python benchmarks/sweep_cost.py

The batches of each run are handed out as `farsight eval --engine ray` does, in order to whichever worker is free first,
and runs follow each other. What a batch takes is estimated from the model's size and the GPU's data sheet, times what
each method cost over greedy decoding when `benchmarks/methods.py` measured it on a CPU.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import ceil

PARAMETERS = 7e9
FLOPS, UTILIZATION = 312e12, 0.4
"""An A100's bfloat16 matrix products, and the share of them that a prefill reaches."""
STEP = 0.035
"""Seconds of a decoding step of Transformers with up to 16 sequences: what takes long is launching kernels."""
PROMPT = 640
"""Tokens: 576 of the picture and the question."""
LOAD = 90.0
"""Seconds until a worker has started and read 14 GB."""
DOLLARS = 2.0
"""Of a GPU for an hour."""

METHODS = {
    "greedy": (1.0, 16), "farsight": (1.0, 16), "icd": (1.98, 16), "vcd": (1.91, 16), "fixvpe": (1.36, 16),
    "edvt": (1.23, 16), "beam": (2.88, 1), "opera": (9.01, 1),
}  # fmt: skip
"""Cost over greedy decoding, as measured, and prompts at once: searches have five sequences for each."""
BENCHMARKS = {
    "CHAIR, 500 pictures": (500, 150),
    "captions of AMBER's 1,004 pictures": (1004, 150),
    "POPE on COCO, 9,000 questions": (9000, 4),
    "POPE on A-OKVQA, 9,000 questions": (9000, 4),
    "POPE on GQA, 9,000 questions": (9000, 4),
}
"""Items, and decoding steps of a batch, which go on until its longest answer ends."""
MODELS = 3


def batch_seconds(method: str, prompts: int, steps: int) -> float:
    factor, _ = METHODS[method]
    return factor * (prompts * 2 * PARAMETERS * PROMPT / (FLOPS * UTILIZATION) + steps * STEP)


def batches(size: int, items: int, steps: int) -> Iterator[float]:
    """Seconds of each batch of a run of all methods that are asked so many prompts at once."""
    for method, (_, at_once) in METHODS.items():
        if at_once == size:
            for start in range(0, items, size):
                yield batch_seconds(method, min(size, items - start), steps)


def makespan(seconds: list[float], workers: int) -> float:
    """When the last batch is answered, if each goes to the worker that is free first."""
    free = [LOAD] * min(workers, len(seconds))
    for one in seconds:
        heapq.heappush(free, heapq.heappop(free) + one)
    return max(free)


def main() -> None:
    runs = [list(batches(size, *benchmark)) for benchmark in BENCHMARKS.values() for size in (16, 1)]
    answers = MODELS * len(METHODS) * sum(items for items, _ in BENCHMARKS.values())
    print(f"{answers:,} answers, {MODELS * sum(map(len, runs)):,} batches in {MODELS * len(runs)} runs\n")
    print("| item | greedy | farsight | vcd | opera |\n|---|---|---|---|---|")
    for name, (_, steps) in (("a caption", BENCHMARKS["CHAIR, 500 pictures"]), ("a question", (0, 4))):
        cells = [batch_seconds(one, METHODS[one][1], steps) / METHODS[one][1] for one in METHODS]
        chosen = [f"{cells[list(METHODS).index(one)]:.2f} s" for one in ("greedy", "farsight", "vcd", "opera")]
        print(f"| {name} | {' | '.join(chosen)} |")
    print("\n| GPUs | time | GPU hours | of them idle or loading | cost |\n|---|---|---|---|---|")
    work = MODELS * sum(map(sum, runs))
    for gpus in (1, 8, 64):
        wall = MODELS * sum(makespan(run, gpus) for run in runs)
        hours = wall * gpus / 3600
        print(
            f"| {gpus} | {_span(wall)} | {hours:.0f} | {100 * (1 - work / (wall * gpus)):.0f} % | "
            f"${ceil(hours * DOLLARS)} |"
        )


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


if __name__ == "__main__":
    main()
