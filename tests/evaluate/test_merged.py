"""Runs in one table: nothing is averaged that is not alike, and no difference is without its interval."""

from __future__ import annotations

import csv
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from farsight.cli import app
from farsight.errors import InputError, SettingError
from farsight.evaluate.finished import FinishedRun
from farsight.evaluate.merged import USUAL, merged, published, written
from farsight.evaluate.page import COLUMNS
from farsight.evaluate.scores import PartScores
from farsight.metrics.paired import Difference

ENDS = {"low": -0.02, "high": 0.04, "p": 0.5, "items": 9}


def made(name: str, accuracies: dict[str, float], model: str = "m_1") -> FinishedRun:
    first, *others = accuracies
    differences: Any = {
        label: {"accuracy": Difference(name="accuracy", baseline=accuracies[first], other=accuracies[label], **ENDS)}
        for label in others
    }
    part = PartScores(
        part="pope", kind="question", captions={}, answers={}, differences=differences, failed={},
        figures={label: {"accuracy": accuracy} for label, accuracy in accuracies.items()},
    )  # fmt: skip
    return FinishedRun(
        name=name, title=f"pope: {model}", task="pope", model=model, methods=list(accuracies), parts=[part], items={}
    )


SEEDS = [made("one", {"greedy": 0.80, "farsight": 0.82}), made("two", {"greedy": 0.70, "farsight": 0.76})]


def test_seeds_are_averaged_and_models_are_rows() -> None:
    table = merged([*SEEDS, made("three", {"greedy": 0.5, "vcd": 0.51}, model="other")])
    assert list(table) == [("m_1", "greedy"), ("m_1", "farsight"), ("other", "greedy"), ("other", "vcd")]
    cell = table["m_1", "farsight"]["pope pope accuracy"]
    assert cell.text() == "79.0 (+4.0 [-2.0, +4.0])"
    assert table["m_1", "greedy"]["pope pope accuracy"].text() == "75.0"


def test_a_table_is_markdown_latex_or_every_number_by_itself() -> None:
    table = merged(SEEDS)
    assert written(table, "markdown").splitlines()[-1] == "| m_1 | farsight | 79.0 (+4.0 [-2.0, +4.0]) |"
    latex = written(table, "latex").splitlines()
    assert latex[-3] == r"m\_1 & FarSight & 79.0 (+4.0 [$-$2.0, +4.0]) \\"
    rows = list(csv.DictReader(written(table, "csv").splitlines()))
    assert [(row["method"], float(row["value"])) for row in rows] == [
        ("greedy", pytest.approx(75)), ("farsight", pytest.approx(79)),
    ]  # fmt: skip
    assert (rows[0]["low"], float(rows[1]["low"])) == ("", -2.0)


def test_columns_are_chosen_by_the_names_of_a_run_s_tables() -> None:
    runs = [replace(run, times={"greedy": 1.0, "farsight": 1.5}) for run in SEEDS]
    table = merged(runs, ["accuracy", "time"])
    shown = written(table, "markdown").splitlines()
    assert shown[0] == "| model | method | pope accuracy | time |"
    assert shown[-1] == "| m_1 | farsight | 79.0 (+4.0 [-2.0, +4.0]) | 1.50 |"
    with pytest.raises(SettingError, match="no run has 'CHAIR_S'; choose of n, accuracy"):
        merged(runs, ["CHAIR_S"])
    with pytest.raises(SettingError, match="no run has 'time': none of them was timed"):
        merged(SEEDS, ["time"])


def test_every_kind_of_part_has_its_usual_columns() -> None:
    for kind, names in USUAL.items():
        assert set(names) <= set(COLUMNS[kind].values())
    assert set(USUAL) == set(COLUMNS)


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("greedy", "Greedy"), ("vcd", "VCD"), ("farsight(sigma=0.1)+beam", "FarSight(sigma=0.1)+Beam search"),
        ("mine", "mine"), ("dola(relative_top=0.3)", "DoLa(relative_top=0.3)"),
    ],
)  # fmt: skip
def test_latex_has_methods_as_papers_write_them(label: str, shown: str) -> None:
    assert published(label) == shown


def test_methods_of_several_runs_stand_together_only_over_the_same_baseline() -> None:
    table = merged([SEEDS[0], made("more", {"greedy": 0.80, "vcd": 0.81})])
    assert [method for _, method in table] == ["greedy", "farsight", "vcd"]
    with pytest.raises(InputError, match="more and one have other methods and other figures of 'greedy'"):
        merged([SEEDS[0], made("more", {"greedy": 0.79, "vcd": 0.81})])
    with pytest.raises(InputError, match="compares with 'vcd', and one with 'greedy'"):
        merged([SEEDS[0], made("more", {"vcd": 0.79, "greedy": 0.81})])


def test_table_2_has_a_command_for_each_row_and_column_and_those_of_eval_are_understood(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["reproduce", "--data", str(tmp_path), "--count", "7"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    told = {line.removeprefix("# ").partition(":")[0]: line for line in lines if line.startswith("# ")}
    assert list(told) == ["MMBench", "LLaVA-W", "MM-Vet", "VizWiz", "SQA", "CHAIR", "POPE"]
    assert [column for column, line in told.items() if "OPENAI_API_KEY" in line] == ["MMBench", "LLaVA-W", "MM-Vet"]
    assert "server" in told["VizWiz"]
    commands = [shlex.split(line) for line in lines if not line.startswith("# ")]
    theirs, own, tables = commands[:25], commands[25:29], commands[29:]
    assert {words[0] for words in theirs} == {"lmms-eval"}
    assert len({words[words.index("--output_path") + 1] for words in theirs}) == 5 * 5
    assert {words[1] for words in own} == {"eval"}
    for words in own:  # every option is one of eval; the data is not there
        tried = CliRunner().invoke(app, [*words[1:], "--engine", "nowhere"])
        assert "unknown engine 'nowhere'" in tried.stderr
    assert [words[:3] for words in tables] == [
        ["farsight", "table", "runs/table2/chair"], ["farsight", "table", "runs/table2/chair-opera"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "because"),
    [
        (["--columns", "CHAIR,POPE", "--run"], "val2014: is not there"),
        (["--columns", "sqa", "--run"], "SQA needs lmms-eval: pip install"),
        (["--columns", "mm-vet", "--run"], "MM-Vet asks a judge: set OPENAI_API_KEY"),
        (["--columns", "CHAIRS"], "table 2 has no 'CHAIRS'; choose of MMBench"),
        (["--table", "3"], "there are commands of table 2"),
    ],
)
def test_what_a_column_lacks_is_said_before_anything_runs(
    args: list[str], because: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    there = "mm-vet" in args  # as if lmms-eval were installed, or as if it were not
    monkeypatch.setattr("farsight.cli.reproduce.find_spec", lambda name: there or None)
    result = CliRunner().invoke(app, ["reproduce", "--data", str(tmp_path), *args])
    assert (result.exit_code, because in result.stderr) == (2, True), result.stderr


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({}))
    result = CliRunner().invoke(app, ["table", str(tmp_path)])
    assert (result.exit_code, "the run is not finished" in result.stderr) == (2, True)
