"""What a method takes is told over the first one, in the same run."""

from __future__ import annotations

from pathlib import Path

import pytest

from farsight.evaluate.engine import Answer, Failure
from farsight.evaluate.page import told_times
from farsight.evaluate.times import TIMES, keep_time, over_first, seconds_per_token


def said(tokens: int, seconds: float | None) -> Answer:
    return Answer(text="", tokens=tokens, ended=True, absorbed=None, seconds=seconds)


def test_time_is_that_of_a_token_over_the_first_methods(tmp_path: Path) -> None:
    keep_time(tmp_path, "greedy", [said(10, 1.0), said(30, 1.0)])
    keep_time(tmp_path, "beam", [said(20, 1.5), Failure(reason="no picture")])
    keep_time(tmp_path, "beam", [said(20, 2.5)])
    per_token = seconds_per_token(tmp_path, ["greedy", "beam"])
    assert per_token == pytest.approx({"greedy": 0.05, "beam": 0.1})
    assert over_first(per_token, ["greedy", "beam"]) == pytest.approx({"greedy": 1, "beam": 2})
    assert told_times(over_first(per_token, ["greedy", "beam"])) == "Time per token over greedy: beam x2.00."


def test_a_torn_row_is_left_out(tmp_path: Path) -> None:
    keep_time(tmp_path, "greedy", [said(10, 1.0)])
    with (tmp_path / TIMES).open("a") as file:
        file.write('{"method": "greedy", "tok')
    assert seconds_per_token(tmp_path, ["greedy"]) == pytest.approx({"greedy": 0.1})


def test_what_was_not_timed_has_no_time(tmp_path: Path) -> None:
    keep_time(tmp_path, "greedy", [said(10, None)])
    assert not (tmp_path / TIMES).exists()
    assert over_first(seconds_per_token(tmp_path, ["greedy", "beam"]), ["greedy", "beam"]) == {}
