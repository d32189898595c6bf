"""How much faster `farsight eval` is with `--engine vllm` than in its own process, and how many answers are the same.

    python benchmarks/vllm_eval.py                                # the embedded model, in the environment of bench-vllm
    python benchmarks/vllm_eval.py --batch-size 64 --rounds 3     # more prompts at once

Both engines have their model loaded and answer the same batches in turn (A, B, A, B, ...): captions of drawn scenes and
questions about them. The first batch of each warms up. A ratio is that of neighbours; printed is their median with the
least and the greatest.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from contextlib import closing
from functools import partial
from itertools import chain, groupby
from pathlib import Path

from farsight.cli import options
from farsight.evaluate.engine import Answer, Engine, Request, Said
from farsight.evaluate.local import LocalEngine
from farsight.evaluate.named_tasks import TaskOptions, make_task
from farsight.evaluate.tasks import Item
from farsight.evaluate.vllm_engine import VllmEngine
from farsight.inputs.named_models import source_of
from farsight.methods.grammar import parse_method


def requests(items: list[Item], method: str, batch_size: int, rounds: int) -> list[Request]:
    """Batches of one kind after the other, all of them once in each round, and one more to warm up."""
    made: list[Request] = []
    for _, same in groupby(items, key=lambda item: (item.part, item.max_new_tokens)):
        part = list(same)
        for start in range(0, len(part), batch_size):
            batch = part[start : start + batch_size]
            made.append(
                Request(
                    number=len(made),
                    method=parse_method(method),
                    paths=[item.path for item in batch],
                    medium="picture",
                    prompts=[item.prompt for item in batch],
                    max_new_tokens=batch[0].max_new_tokens,
                )
            )
    return [made[0], *(made * rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=options.EMBEDDED, help="folder or name on the hub")
    parser.add_argument("--method", default="farsight(sigma=0.05, horizon=infinite)")
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--questions", type=int, default=32, help="of each of three kinds")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    embedded = args.model == options.EMBEDDED
    source = source_of(args.model)
    engines: dict[str, Engine] = {
        "local": LocalEngine(load=partial(options.load, args.model, None, None, None)),
        "vllm": VllmEngine(source=source, name=args.model, batch_size=args.batch_size, enforce_eager=embedded),
    }
    with tempfile.TemporaryDirectory() as folder:
        task = make_task(
            "scenes:test",
            TaskOptions(count=args.pictures, question_count=args.questions),
            Path(folder) / "pictures",
        )
        asked = requests(list(task.items), args.method, args.batch_size, args.rounds)
        seconds, said = ask(engines, asked)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; {args.model}")
    captions = max(request.max_new_tokens for request in asked)
    for kind, chosen in (
        ("captions", [place for place, one in enumerate(asked) if place and one.max_new_tokens == captions]),
        ("questions", [place for place, one in enumerate(asked) if place and one.max_new_tokens < captions]),
    ):
        show(kind, sum(len(asked[place].prompts) for place in chosen), seconds, chosen)
    pairs = zip(chain(*said["local"]), chain(*said["vllm"]), strict=True)
    texts = [[one.text if isinstance(one, Answer) else None for one in both] for both in pairs]
    same = [one is not None and one == other for one, other in texts]
    print(f"{sum(same)} of {len(same)} answers have the same text")


def ask(engines: dict[str, Engine], asked: list[Request]) -> tuple[dict[str, list[float]], dict[str, list[Said]]]:
    """Seconds of each batch, and what was said to it, by engine."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    said: dict[str, list[Said]] = {name: [] for name in engines}
    local, vllm = (engine.answers(asked) for engine in engines.values())
    with closing(local), closing(vllm):
        for _ in asked:
            for name, answers in zip(engines, (local, vllm), strict=True):
                start = time.perf_counter()
                said[name].append(next(answers)[1])
                seconds[name].append(time.perf_counter() - start)
    return seconds, said


def show(kind: str, prompts: int, seconds: dict[str, list[float]], chosen: list[int]) -> None:
    rates = ", ".join(
        f"{name} {prompts / sum(times[place] for place in chosen):.2f}" for name, times in seconds.items()
    )
    ratios = [seconds["local"][place] / seconds["vllm"][place] for place in chosen]
    print(f"{kind} a second: {rates}, in {len(chosen)} batches")
    print(f"  vllm over local: {statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
