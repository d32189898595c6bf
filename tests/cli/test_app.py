"""What every command has in common."""

import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from processes import started

import farsight
from farsight.cli.app import MORE, app
from farsight.cli.quiet import quiet
from farsight_scenes.plan import default_plan_path


def test_version_is_that_of_the_package(run: Any) -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"farsight {farsight.__version__}\n")


@pytest.mark.parametrize("args", [["--help"], ["-h"], []])
def test_help_names_the_commands(run: Any, args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 0
    assert "describe" in result.stdout
    assert "doctor" in result.stdout


COMMANDS = [one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands]


@pytest.mark.parametrize("command", ["", *COMMANDS, *MORE.own, "scenes draw"])
def test_help_shows_no_types_of_python(run: Any, command: str) -> None:
    result = run(*command.split(), "--help", columns=80)
    assert result.exit_code == 0
    assert not re.search(r"<[a-z]", result.stdout)
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_help_of_describe_says_how_a_setting_is_written(run: Any) -> None:
    text = run("describe", "--help", columns=120).stdout
    for option in ("--method", "farsight(sigma=0.1)", "--compare", "--json", "--max-new-tokens"):
        assert option in text
    assert "--sigma" not in text


def test_help_does_not_wait_for_pytorch() -> None:
    script = (
        "import sys; sys.argv = ['farsight', 'describe', '--help']\n"
        "from farsight.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'transformers', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "farsight"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=120)
    assert done.stdout == f"farsight {farsight.__version__}\n"
    done = subprocess.run([*command, "describe", "gone.png"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: picture 'gone.png' was not found; check the path\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_leaves_quietly(model: Path, picture: Path) -> None:
    command = ["describe", *[picture] * 100, "--model", model, "--max-new-tokens", "100000"]
    interruptible = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # also in the background
    with started(*command, stderr=subprocess.PIPE, **interruptible) as process:
        assert process.stdout.readline().strip() == str(picture)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr.strip()) == (130, "")


def test_training_says_nothing_of_what_libraries_say(tmp_path: Path) -> None:
    """Transformers imports torchao where it is installed, which says what it cannot load."""
    plan = tmp_path / "plan.toml"
    lines = default_plan_path().read_text(encoding="utf-8").splitlines()
    small = {"steps": "steps = 1", "scenes": "scenes = 2", "batch": "batch = 2"}
    plan.write_text("\n".join(small.get(line.split(" ")[0], line) for line in lines))
    command = [sys.executable, "-m", "farsight", "train", "--config", str(plan), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"saved {tmp_path / 'out' / 'model'}" in done.stdout


def test_warnings_of_farsight_are_shown_once_and_those_of_libraries_not(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet():
        for _ in range(2):
            warnings.warn_explicit("slow\nhere", UserWarning, farsight.__file__, 1)
            warnings.warn_explicit("never mind", UserWarning, torch.__file__, 1)
            transformers.logging.get_logger("transformers").warning("never mind")
    assert capsys.readouterr().err == "warning: slow here\n"
