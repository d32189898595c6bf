"""The most memory that a batch had beside what stood before it: of a GPU, or of this process where that is Linux.

Linux keeps the most bytes that a process had resident, ``VmHWM``, until a 5 is written to ``clear_refs`` (proc(5)).
Memory that was freed may stay with the process and would serve the next batch unseen, so it is given back first.
"""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from pathlib import Path

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def begin_counting(device: torch.device) -> int | None:
    """Forget the peak so far, and give the bytes that stand now; None where they cannot be counted."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    if device.type == "cpu":
        with suppress(OSError, AttributeError):  # no Linux, no GNU libc, or not permitted
            ctypes.CDLL(None).malloc_trim(0)
            _CLEAR.write_text("5")
            return _resident("VmRSS")
    return None


def most_beside(before: int | None, device: torch.device) -> int | None:
    """Give the most bytes that there were at once since `begin_counting` gave ``before``, beside those."""
    if before is None:
        return None
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident("VmHWM")
    return None if peak is None else max(0, peak - before)


def _resident(name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else None
