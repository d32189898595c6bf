"""Which processes `farsight eval --engine vllm` has, and whether they are gone."""

from __future__ import annotations

import time
from pathlib import Path


def engines(ancestor: int) -> list[int]:
    """Process ids of engines below a process; what Python starts to look after them is not counted."""
    return [
        pid
        for pid, (parent, command) in _running().items()
        if parent == ancestor and b"multiprocessing.spawn" in command
    ]


def below(ancestor: int) -> list[int]:
    """Process ids of all that a process has started, and of what those have."""
    running = _running()
    found = [ancestor]
    for pid in found:
        found += [child for child, (parent, _) in running.items() if parent == pid]
    return found[1:]


def ranks(ancestor: int) -> list[int]:
    """Process ids of vLLM's own workers below a process."""
    running = _running()
    return [pid for pid in below(ancestor) if pid in running and b"VLLM::Worker" in running[pid][1]]


def gone(pids: list[int], seconds: float = 60) -> bool:
    """Wait for processes to end."""
    until = time.monotonic() + seconds
    while set(pids) & _running().keys():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _running() -> dict[int, tuple[int, bytes]]:
    """Parent and command of each process that is not merely waiting to be buried."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    found[int(folder.name)] = int(parent), (folder / "cmdline").read_bytes()
            except OSError:
                continue
    return found
