"""What a method takes is told over the first one, on the same batches of the same run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from farsight.evaluate.engine import Answer, Failure
from farsight.evaluate.memory import begin_counting, most_beside
from farsight.evaluate.page import told_costs
from farsight.evaluate.times import TIMES, keep_time, memory_of, times_over_first

METHODS = ["greedy", "beam"]


def said(tokens: int, seconds: float | None) -> Answer:
    return Answer(text="", tokens=tokens, ended=True, absorbed=None, seconds=seconds)


def keep(folder: Path, *, slow: int = -1) -> None:
    """Three batches of both: beams take twice the time, and one batch meets a busy machine."""
    for batch in range(3):
        busy = 50 if batch == slow else 1
        keep_time(folder, "greedy", f"item {batch}", [said(10, 1.0), said(30, 1.0)])
        keep_time(folder, "beam", f"item {batch}", [said(20, 2.0 * busy), Failure(reason="no picture")])


def test_time_is_that_of_a_token_over_the_first_methods(tmp_path: Path) -> None:
    keep(tmp_path)
    found = times_over_first(tmp_path, METHODS)
    assert found == pytest.approx({"greedy": 1, "beam": 2})
    assert told_costs(found, memory_of(tmp_path, METHODS)) == ["Time per token over greedy: beam x2.00."]


def test_a_busy_minute_is_no_methods_fault(tmp_path: Path) -> None:
    keep(tmp_path, slow=1)
    assert times_over_first(tmp_path, METHODS) == pytest.approx({"greedy": 1, "beam": 2})


def test_a_torn_row_is_left_out(tmp_path: Path) -> None:
    keep(tmp_path)
    with (tmp_path / TIMES).open("a") as file:
        file.write('{"method": "greedy", "tok')
    assert times_over_first(tmp_path, METHODS) == pytest.approx({"greedy": 1, "beam": 2})


def test_what_was_hardly_or_not_timed_has_no_time(tmp_path: Path) -> None:
    assert times_over_first(tmp_path, METHODS) == {}
    keep_time(tmp_path, "greedy", "item 0", [said(10, None)])
    assert not (tmp_path / TIMES).exists()
    keep_time(tmp_path, "greedy", "item 0", [said(10, 1.0)])
    keep_time(tmp_path, "beam", "item 0", [said(10, 1.0)])
    assert times_over_first(tmp_path, METHODS) == {}


def test_memory_is_told_by_method_where_it_is_counted(tmp_path: Path) -> None:
    for batch in range(3):
        for label, peak in (("greedy", 20_400_000), ("beam", 1_234_000_000)):
            keep_time(tmp_path, label, f"item {batch}", [replace(said(10, 1.0), peak_bytes=peak + batch)] * 2)
    found = memory_of(tmp_path, METHODS)
    assert found == {"greedy": 20_400_001, "beam": 1_234_000_001}
    assert told_costs({}, found) == ["Most memory of a batch beside the model: greedy 20 MB, beam 1,230 MB."]
    assert told_costs({}, {"greedy": 4e6})[0].endswith("greedy below 10 MB.")


def test_the_peak_of_this_process_is_that_since_it_was_asked_for() -> None:
    """Also where memory that an earlier batch has freed would serve the next one."""
    cpu = torch.device("cpu")
    if begin_counting(cpu) is None:
        pytest.skip("this system does not count it")
    for megabytes in (64, 128, 32):
        before = begin_counting(cpu)
        held = torch.ones(megabytes << 18)
        small = [torch.ones(1 << 10) for _ in range(1 << 10)]  # below what malloc gives back by itself
        del held, small
        peak = most_beside(before, cpu)
        assert peak is not None
        assert megabytes - 8 < peak / 2**20 < megabytes + 24
    assert most_beside(None, cpu) is None
