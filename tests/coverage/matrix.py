"""`make coverage`: check every architecture, each in a process of its own, and write docs/coverage.md.

Results are appended to build/coverage.jsonl as they come, and a second run goes on where the first ended. Names given
on the command line are checked again. Delete the file to start afresh.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import transformers
from check import check
from page import page
from tiny_model import CLASSES

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "coverage.jsonl"
PAGE = ROOT / "docs" / "coverage.md"
CPU_SECONDS = 120
VERSIONS = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}


def main(again: list[str]) -> int:
    """Check what has no result yet, write the page, and fail if there is a defect."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    known = {name: row for name, row in _results().items() if name not in again}
    RESULTS.parent.mkdir(exist_ok=True)
    for name in CLASSES:
        if name in known:
            continue
        known[name] = {**_isolated(name), **VERSIONS}
        with RESULTS.open("a") as file:
            file.write(json.dumps(known[name]) + "\n")
        print(known[name]["result"], name, known[name].get("reason", ""), flush=True)
    rows = [known[name] for name in CLASSES]
    PAGE.write_text(page(rows, VERSIONS))
    defects = [row["architecture"] for row in rows if row["result"] == "defect"]
    print(f"{PAGE.relative_to(ROOT)} written; defects: {', '.join(defects) or 'none'}")
    return len(defects) > 0


def _results() -> dict[str, dict[str, Any]]:
    """The newest result of each architecture with these versions of torch and Transformers."""
    if not RESULTS.exists():
        return {}
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {row["architecture"]: row for row in rows if VERSIONS.items() <= row.items()}


def _isolated(name: str) -> dict[str, Any]:
    """A row, from a process that may crash or run out of time without harm to the others."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(name, sender))
    process.start()
    sender.close()
    try:
        row: dict[str, Any] = receiver.recv()
    except EOFError:
        row = _defect(name, f"the process ended without a result (limit: {CPU_SECONDS} s of CPU time)")
    process.join()
    return row


def _send(name: str, sender: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    warnings.simplefilter("ignore")
    try:
        row = check(name)
    except Exception as error:
        row = _defect(name, f"{type(error).__name__}: {error}".splitlines()[0][:300])
    sender.send(row)


def _defect(name: str, reason: str) -> dict[str, Any]:
    return {"architecture": name, "class": CLASSES[name], "result": "defect", "reason": reason}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
