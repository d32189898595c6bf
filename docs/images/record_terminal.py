"""Record a terminal for the README from what commands really print: ``python docs/images/record_terminal.py``."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT, WIDTH = Path(__file__).parents[2], 96
PICTURE = "examples/kitchen.png --objects examples/objects.jsonl --synonyms scenes"
RIVALS = "farsight,farsight(sigma=0.05, rows=generated),constant,m3id,beam"
COMMANDS = (
    f"farsight describe {PICTURE} --method greedy",
    f"farsight tune --task scenes:test --count 100 --methods '{RIVALS}' --out {{folder}}/tuned",
)
THEME = TerminalTheme(
    (20, 24, 28),
    (230, 234, 238),
    [
        *((20, 24, 28), (255, 139, 122), (110, 209, 160), (242, 193, 78)),
        *((122, 176, 240), (207, 150, 205), (110, 200, 210), (230, 234, 238)),
    ],
)
_FONTS = re.compile(r"@font-face \{[^}]*\}\s*")


def printed(command: str) -> str:
    """What a command prints in a terminal of `WIDTH` columns, on stdout; progress bars are on stderr."""
    main, side = pty.openpty()
    env = os.environ | {"COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    words = [sys.executable, "-m", *shlex.split(command)]
    process = subprocess.Popen(words, stdout=side, stderr=subprocess.DEVNULL, env=env, cwd=ROOT)
    os.close(side)
    data = b""
    try:
        while part := os.read(main, 4096):
            data += part
    except OSError:  # the other side is closed
        pass
    assert process.wait() == 0, command
    return data.decode().replace("\r\n", "\n").rstrip()


def main() -> None:
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command.replace("{folder}/", ""), "bold")))
            console.print(Text.from_ansi(printed(command.format(folder=folder)).replace(f"{folder}/", "")))
            console.print()
    svg = console.export_svg(title="farsight", theme=THEME)
    Path(__file__).with_name("terminal.svg").write_text(_FONTS.sub("", svg), encoding="utf-8")


if __name__ == "__main__":
    main()
