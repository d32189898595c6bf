"""How much faster two workers of a Ray cluster are than one, and what the engine costs over answering in this process.

    python benchmarks/ray_workers.py              # a few minutes on two CPU cores

The embedded model describes drawn scenes and answers questions about them, greedily. The arms alternate round by round;
the clock runs from the moment at which all models of an arm are loaded to its last answer on the disk.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from farsight import Plain
from farsight.cli import options
from farsight.evaluate.engine import Engine
from farsight.evaluate.local import LocalEngine
from farsight.evaluate.named_tasks import TaskOptions, make_task
from farsight.evaluate.plan import Plan, batches
from farsight.evaluate.ray_cluster import connected
from farsight.evaluate.ray_engine import RayEngine
from farsight.evaluate.run import run
from farsight.evaluate.run_folder import opened
from farsight.inputs.checkpoints import LoadedModel

ARMS = ("local", "1 worker", "2 workers")


def load_together(meeting: Path, count: int) -> LoadedModel:
    """Load the model, and wait until as many have."""
    loaded = options.load(options.EMBEDDED, "cpu", None, None)
    (meeting / str(os.getpid())).touch()
    while len(list(meeting.iterdir())) < count:
        time.sleep(0.02)
    return loaded


def timed(plan: Plan, arm: str, folder: Path) -> dict[str, Any]:
    """Answer everything once."""
    meeting = folder / "meeting"
    meeting.mkdir(parents=True)
    count = 1 if arm == "local" else int(arm.split()[0])
    load = partial(load_together, meeting, count)
    engine: Engine = LocalEngine(load=load) if arm == "local" else RayEngine(load=load, workers=count)
    busy: list[float] = []
    with opened(folder / "run", plan.record()) as opened_folder:
        run(plan, opened_folder, engine, lambda _: busy.append(time.process_time()))
        end = time.time()
    answers = opened_folder.answers
    return {
        "seconds": end - max(path.stat().st_mtime for path in meeting.iterdir()),
        "driver": (busy[-1] - busy[0]) / (len(busy) - 1),
        "rows": sorted(answers.read_bytes().splitlines()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--questions", type=int, default=16, help="of each of three kinds")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, connected(None, 2):
        root = Path(name)
        task = make_task(
            "scenes:test", TaskOptions(count=args.pictures, question_count=args.questions), root / "pictures"
        )
        plan = Plan(model="embedded", task=task, methods={"greedy": Plain()}, batch_size=args.batch_size)
        count = len(list(batches(plan)))
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
        print(f"{plan.answers} answers in {count} batches, one thread a worker")
        found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in args.arms}
        for turn in range(args.rounds):
            for arm in args.arms if turn % 2 == 0 else reversed(args.arms):
                found[arm].append(timed(plan, arm, root / f"{arm} {turn}"))
                seconds, driver = (found[arm][-1][key] for key in ("seconds", "driver"))
                print(
                    f"round {turn + 1}, {arm}: {seconds:.1f} s, {plan.answers / seconds:.2f} answers a second; "
                    f"{1000 * driver:.1f} ms of this process a batch; load average {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
        rows = [one["rows"] for timings in found.values() for one in timings]
        print(f"answers the same in all arms and rounds: {all(one == rows[0] for one in rows)}")
        for first, second in (("1 worker", "2 workers"), ("local", "1 worker")):
            if not {first, second} <= found.keys():
                continue
            ratios = [a["seconds"] / b["seconds"] for a, b in zip(found[first], found[second], strict=True)]
            print(
                f"{second} over {first}: {statistics.median(ratios):.2f} times the answers a second "
                f"({min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
