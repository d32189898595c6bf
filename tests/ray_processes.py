"""Which processes below this one answer a request, by the titles that Ray gives them."""

from __future__ import annotations

import os
import time
from pathlib import Path


def answering(ancestor: int | None = None) -> list[int]:
    """Process ids of workers that have a request in hand."""
    parents, titles = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                titles[int(folder.name)] = (folder / "cmdline").read_bytes()
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    return [
        pid
        for pid, title in titles.items()
        if title.startswith(b"ray::Worker.answer") and (ancestor or os.getpid()) in _ancestors(pid, parents)
    ]


def gone(pids: list[int], seconds: float = 60) -> bool:
    """Wait for processes to end."""
    until = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def _ancestors(pid: int, parents: dict[int, int]) -> set[int]:
    found = set()
    while (pid := parents.get(pid, 0)) and pid not in found:
        found.add(pid)
    return found
