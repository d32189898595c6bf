"""What `farsight tune` says of the embedded models and of SmolLM2, in one command: five verdicts.

    python benchmarks/tune_verdicts.py build/tune_verdicts --objects OBJECTS.jsonl

Drawn scenes as the model was trained on them and with their co-occurrences reversed, drawn videos, and lists of real
objects of which a language model makes descriptions: within a budget of 1.1 times the time, and without one in the
same folder, which asks what is missing and says that it looks at the second half again if the winner is another. The
lists need a file of objects, such as COCO's, and the package of SmolLM2; without ``--objects`` they are left out.

So many tunings run at once as there are cores, one thread each. Started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FEW = "farsight, farsight(sigma=0.1, rows=generated), flb, beam(num_beams=2)"
"""Where an answer takes long: registers, one rule for logits and the cheapest search."""
VIDEOS = "farsight(sigma=0.05, rows=generated), farsight(profile=0), constant(value=0.9), m3id, pai, beam(num_beams=2)"
DRAWN = ("--count", "100", "--question-count", "40", "--batch-size", "50")
LISTS = ("-m", "smollm2", "--task", "lists:trial", "--count", "48", "--batch-size", "24", "--methods", FEW)
TUNINGS: dict[str, list[tuple[str, ...]]] = {
    "lists": [(*LISTS, "--budget", "1.1"), LISTS],
    "test": [("--task", "scenes:test", *DRAWN)],
    "shifted": [("--task", "scenes:shifted", *DRAWN)],
    "videos": [("--task", "videos:test", *DRAWN, "--methods", VIDEOS)],
}
"""By folder, what is called one after the other; the longest first."""


def tuned(folder: Path, calls: list[tuple[str, ...]], threads: int) -> list[str]:
    """Run the commands of a folder, and give what each of them says."""
    said = []
    for call in calls:
        start, command = time.perf_counter(), [sys.executable, "-m", "farsight", "tune", *call, "--out", str(folder)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr}")
        minutes = (time.perf_counter() - start) / 60
        budget = " within the budget" if "--budget" in call else ""
        said.append(f"{folder.name}{budget}, {minutes:.1f} minutes: {json.loads(done.stdout)['verdict']}")
        print(said[-1], flush=True)
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--objects", type=Path, help="Of the lists: rows of image_id and objects.")
    parser.add_argument("--only", choices=list(TUNINGS), nargs="+", default=list(TUNINGS))
    options = parser.parse_args()
    wanted = {name: TUNINGS[name] for name in options.only}
    if options.objects is None:
        wanted.pop("lists", None)
    elif "lists" in wanted:
        wanted["lists"] = [(*call, "--objects", str(options.objects)) for call in wanted["lists"]]
    cores, start = len(os.sched_getaffinity(0)), time.perf_counter()
    threads = max(1, cores // max(1, len(wanted)))
    with ThreadPoolExecutor(cores) as pool:
        found = [pool.submit(tuned, options.out / name, calls, threads) for name, calls in wanted.items()]
        for one in found:
            one.result()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    minutes, work = (time.perf_counter() - start) / 60, (used.ru_utime + used.ru_stime) / 60
    print(f"all of it took {minutes:.1f} minutes on {cores} cores, which worked {work:.1f}")


if __name__ == "__main__":
    main()
