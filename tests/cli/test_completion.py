"""Shell completion: Typer's, for bash, zsh and fish."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FARSIGHT = [sys.executable, "-c", "from farsight.cli import main; main()"]
ASKED = {
    "bash": {"COMP_WORDS": "farsight des", "COMP_CWORD": "1"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "farsight des"},
    "fish": {"_TYPER_COMPLETE_ARGS": "farsight des", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}


def ask(shell: str, **words: str) -> str:
    environment = os.environ | words | {"_FARSIGHT_COMPLETE": f"complete_{shell}"}
    done = subprocess.run(FARSIGHT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", ASKED)
def test_commands_are_completed(shell: str) -> None:
    answer = ask(shell, **ASKED[shell])
    assert "describe" in answer
    assert "doctor" not in answer


def test_options_are_completed() -> None:
    assert ask("bash", COMP_WORDS="farsight describe --exp", COMP_CWORD="2").split() == ["--explain"]


def test_a_command_in_a_command_is_completed() -> None:
    assert ask("bash", COMP_WORDS="farsight scenes d", COMP_CWORD="2").split() == ["draw"]


def test_completion_does_not_wait_for_pytorch() -> None:
    script = (
        "import sys\nfrom farsight.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'transformers', 'PIL'} & set(sys.modules)), file=sys.stderr)"
    )
    environment = os.environ | ASKED["bash"] | {"_FARSIGHT_COMPLETE": "complete_bash"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.stdout.split(), done.stderr) == (["describe"], "[]\n")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_what_is_shown_works_in_bash(tmp_path: Path) -> None:
    command = tmp_path / "farsight"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m farsight "$@"\n')
    command.chmod(0o755)
    script = (
        'script="$(farsight --show-completion)"; eval "$script"; COMP_WORDS=(farsight pope); COMP_CWORD=1; '
        '_farsight_completion farsight; echo "${COMPREPLY[@]}"'
    )
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["pope", "pope-questions"], done.stderr
