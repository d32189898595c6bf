"""A run folder that was damaged by hand: one line in the page, and never an exception that nobody thought of."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from farsight.cli.app import app

pytest.importorskip("gradio", reason="make test-web installs it")

VALUES = (None, [], {}, "x", -5, [1], {"a": 1}, 1e300)
TRIES = 24


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "good"
    command = ["eval", "--task", "scenes:test", "--count", "3", "--question-count", "24", "--methods", "greedy,beam"]
    done = CliRunner().invoke(app, [*command, "--out", str(out), "--summary"])
    assert done.exit_code == 0, done.output
    return out


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something can be put in place of what is there."""
    if at:
        yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*at, key))


def put(value: Any, at: tuple[Any, ...], other: Any) -> Any:
    for key in at[:-1]:
        value = value[key]
    value[at[-1]] = other


def everything(tab: Any, name: str) -> list[str]:
    """All that a visitor sees of a run."""
    seen = [*tab.choose(name), *tab.change(name, "free", "greedy", "beam")]
    seen += [
        tab.filter(name, "free", "greedy", "beam", "dog", 12),
        tab.more(name, "free", "beam", "greedy", None, 12)[0],
    ]
    return [one for one in seen if isinstance(one, str)]


@pytest.mark.parametrize("name", ["results.json", "details.jsonl"])
def test_a_damaged_run_is_one_line(run_folder: Path, tmp_path: Path, name: str) -> None:
    from farsight.web.run_tab import RunTab

    dice = random.Random(0)
    for path in run_folder.iterdir():
        if path.name != name:
            (tmp_path / path.name).symlink_to(path)
    refused = 0
    for _ in range(TRIES):
        text = (run_folder / name).read_text()
        documents = [json.loads(one) for one in (text.splitlines() if name.endswith("l") else [text])]
        damaged = dice.choice(documents)
        put(damaged, at := dice.choice(list(places(damaged))), dice.choice(VALUES))
        (tmp_path / name).write_text("\n".join(json.dumps(one) for one in documents))
        seen = everything(RunTab(folders={"bad": tmp_path}), "bad")
        errors = [html for html in seen if "status error" in html]
        refused += bool(errors)
        assert not [html for html in seen if "did not work" in html], at
        assert all(html.count("<p>") == 1 for html in errors)
    assert refused > TRIES / 4


@pytest.mark.parametrize("value", ["../bad", None, 3, ["bad"], {}])
def test_names_that_are_not_in_the_lists_are_refused(run_folder: Path, value: Any) -> None:
    from farsight.web.run_tab import RunTab

    tab = RunTab(folders={"good": run_folder})
    assert "no such run" in tab.choose(value)[0]
    assert "no such part" in tab.filter("good", value or "x", "greedy", "beam", None, 12)
    assert "no such method" in tab.filter("good", "free", value, "beam", None, 12)
    assert not [html for html in everything(tab, "good") if "status error" in html]
