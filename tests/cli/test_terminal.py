"""What comes from files, models and names never commands the terminal, and an output that cannot be written is said."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

import farsight.cli
from farsight.cli.tables import print_table
from farsight.cli.terminal import MOST_LETTERS, new_console, note, visible

HOSTILE = "\x1b]0;owned\x07\x1b[31m\x1b[2J\x9b31m\x7f\r\x08[/bold]\ud800"
"""A title, a colour, a cleared screen; an escape of one byte; markup of rich; what UTF-8 cannot hold."""
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def harmless(run: Any, *args: object, code: int = 0) -> Any:
    result = run(*args)
    assert result.exit_code == code, result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)
    for stream in (result.stdout, result.stderr):
        assert not OBEYED.search(stream), repr(stream)
    return result


@given(st.text(), st.text())
def test_what_is_obeyed_is_written_out_and_json_says_the_same(text: str, more: str) -> None:
    assert not OBEYED.search(visible(text))
    document = json.dumps({text: more}, ensure_ascii=False)
    assert json.loads(visible(document)) == {text: more}
    printable = "".join(letter for letter in text if not OBEYED.match(letter))
    assert visible(printable) == printable


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("command", ["chair", "audit"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_captions_and_names_of_files_are_shown_as_what_they_are(
    run: Any, tmp_path: Path, command: str, form: list[str]
) -> None:
    named = HOSTILE.replace("\ud800", "$\\frac{$犬").replace("/", "")
    words = written(tmp_path / f"{named}.txt", {})
    words.write_text("dog, hound\ncat\n")
    objects = written(tmp_path / "o.jsonl", *({"image_id": f"{n}{HOSTILE}", "objects": ["dog"]} for n in range(3)))
    files = [
        written(
            tmp_path / f"{n}{named}.jsonl",
            *({"image_id": f"{n}{HOSTILE}", "caption": f"A cat {HOSTILE}"} for n in range(3)),
        )
        for n in range(2)
    ]
    out = ["--out", tmp_path / named] if command == "audit" else ["--details", tmp_path / named]
    result = harmless(run, command, *files, "--objects", objects, "--synonyms", words, *form, *out)
    assert r"\u001b" in result.stdout


def test_bad_rows_are_quoted_harmlessly(run: Any, tmp_path: Path) -> None:
    objects = written(tmp_path / "o.jsonl", {"image_id": 1, "objects": ["dog"]})
    for text in (
        HOSTILE.replace("\ud800", ""),
        json.dumps({HOSTILE: 1}),
        json.dumps({"image_id": HOSTILE, "caption": "a"}),
    ):
        (tmp_path / "c.jsonl").write_text(text, errors="surrogateescape")
        harmless(run, "chair", tmp_path / "c.jsonl", "--objects", objects, code=2)
        good = json.dumps({"image_id": 1, "caption": "A dog."})
        (tmp_path / "c.jsonl").write_text(f"{good}\n{text}\n")
        harmless(run, "chair", tmp_path / "c.jsonl", "--objects", objects, "--skip-bad")


def test_names_of_methods_and_pictures_are_quoted_harmlessly(run: Any, tmp_path: Path, model: Path) -> None:
    harmless(run, "describe", HOSTILE, code=2)
    harmless(run, HOSTILE, code=2)
    picture = tmp_path / f"{HOSTILE.replace('/', '')[:-1]}.png"
    Image.new("RGB", (40, 30)).save(picture)
    harmless(run, "describe", picture, "--method", HOSTILE, code=2)
    for form in ([], ["--compare"], ["--json"]):
        harmless(run, "describe", picture, "--model", model, "-n", 3, *form)


def test_an_error_of_a_hundred_thousand_letters_is_cut_in_the_middle(capsys: pytest.CaptureFixture[str]) -> None:
    note("error: " + "x" * 100_000 + "; correct it")
    line = capsys.readouterr().err
    assert line.startswith("error: xxx")
    assert line.endswith("xxx; correct it\n")
    assert len(line) < MOST_LETTERS + 20


def test_a_console_shows_escapes_and_keeps_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    console = new_console()
    console._force_terminal = True
    console.print("a\x1b[31mb", style="bold")
    console.print("[red]c[/red]")
    shown = capsys.readouterr().out
    assert r"a\u001b[31mb" in shown
    assert "[red]c[/red]" in shown


def test_only_one_file_of_the_command_line_writes_to_the_terminal() -> None:
    [place] = farsight.cli.__path__
    found = []
    for path in sorted(Path(place).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in ("print", "Console", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write"):
                found.append(f"{path.name}:{node.lineno} {name}")
    assert {line.split(":")[0] for line in found} == {"terminal.py"}, found


posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such devices and shells")


@pytest.fixture
def command(tmp_path: Path) -> str:
    """A command that prints a table, and takes no time."""
    rows = [{"image_id": n, "caption": "A dog and a cat.", "objects": ["dog"]} for n in range(3)]
    files = written(tmp_path / "c.jsonl", *rows), written(tmp_path / "o.jsonl", *rows)
    return f"{sys.executable} -m farsight chair {files[0]} --objects {files[1]}"


def done(line: str, **extra: str) -> tuple[int, str, str]:
    env = {**os.environ, **extra}
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, env=env)
    return result.returncode, result.stdout, result.stderr


@posix
@pytest.mark.parametrize("form", ["", "--json", "--help"])
def test_a_full_disk_is_said_in_one_line(command: str, form: str) -> None:
    expected = "error: the output: No space left on device; choose another place\n"
    assert done(f"{command} {form} > /dev/full") == (2, "", expected)


@posix
@pytest.mark.parametrize("form", ["", "--json"])
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(command: str, form: str) -> None:
    assert done(f"{command} {form} | exec true; echo ${{PIPESTATUS[0]}}") == (0, "141\n", "")


@posix
def test_streams_that_are_closed_change_nothing_else(command: str, tmp_path: Path) -> None:
    out = tmp_path / "details.jsonl"
    for closed in (">&-", "2>&-", ">&- 2>&- <&-", "2>/dev/full"):
        code, _, errors = done(f"{command} --details {out} {closed}")
        assert (code, errors, len(out.read_text().splitlines())) == (0, "", 3)
        out.unlink()
    assert done(f"{command} --synonyms gone 2>/dev/full") == (2, "", "")


@posix
def test_rows_may_go_where_the_table_goes_if_that_is_no_file(command: str, tmp_path: Path) -> None:
    code, shown, errors = done(f"{command} --details /dev/stdout | cat")
    assert (code, shown.count('{"file": '), "CHAIR_S" in shown, errors) == (0, 3, True, "")
    out = tmp_path / "out.txt"
    code, _, errors = done(f"{command} --details {out} > {out}")
    assert (code, errors.split(": ")[2][:8]) == (2, "is where")


@posix
def test_a_terminal_that_knows_only_ascii_gets_escapes(command: str) -> None:
    code, _, errors = done(f"{command} --synonyms é", PYTHONIOENCODING="ascii")
    assert (code, errors.split(":")[1]) == (2, " \\xe9")


def test_a_terminal_that_is_too_narrow_has_the_rest_of_a_table_below(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, rows = ["method", "CHAIR_S", "CHAIR_I", "recall"], [["farsight(sigma=0.1)", "48.01", "13.02", "80.03"]]
    wide = printed(monkeypatch, columns, rows, width=80, terminal=True)
    assert wide.count("farsight(sigma=0.1)") == 1
    narrow = printed(monkeypatch, columns, rows, width=40, terminal=True)
    assert narrow.count("farsight(sigma=0.1)") > 1
    assert max(map(len, narrow.splitlines())) <= 40
    assert all(cell in narrow for cell in (*columns, *rows[0]))
    piped = printed(monkeypatch, columns, rows, width=20, terminal=False)
    assert piped.count("farsight(sigma=0.1)") == 1


def printed(
    monkeypatch: pytest.MonkeyPatch, columns: list[str], rows: list[list[str]], *, width: int, terminal: bool
) -> str:
    out = StringIO()

    def console(width: int = width) -> Console:
        return Console(file=out, force_terminal=terminal, width=width, no_color=True, highlight=False)

    monkeypatch.setattr("farsight.cli.terminal.new_console", console)
    print_table(columns, rows)
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
