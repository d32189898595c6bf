"""The one place of the command line that writes to the terminal.

Captions, names of files and what models say come from anywhere, and a terminal obeys what it is sent: a title, a
colour, a line written over. So whatever is printed goes through `visible` first.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from rich.console import Console

MOST_LETTERS = 2000
"""Of a line on stderr: a name of a hundred thousand letters is cut in the middle."""

_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Write out what a terminal would obey, or could not show, as JSON does: an escape becomes ``\u001b``.

    Tabs and line ends stay. JSON says the same before and after.
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str, end: str = "\n") -> None:
    """Write to stdout what a command was asked for, at once."""
    try:
        print(visible(text), end=end, flush=True)
    except BrokenPipeError:
        leave()


def note(text: str) -> None:
    """Say one line on stderr, about the figures or about what went wrong."""
    line = visible(" ".join(text.split()))
    if len(line) > MOST_LETTERS:
        line = f"{line[: MOST_LETTERS // 2]} ... {line[-MOST_LETTERS // 2 :]}"
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:  # nobody can be told
        abandon(sys.stderr)


def new_console(*, errors: bool = False, width: int | None = None) -> Console:
    """Give a console on stdout, or stderr, for tables, colours and progress; its text is `visible` too."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Visible(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(visible(segment.text), segment.style)

        def on_broken_pipe(self) -> None:
            leave()

    return Visible(file=sys.stderr if errors else sys.stdout, highlight=False, markup=False, width=width)


@contextmanager
def under_way(what: str) -> Iterator[None]:
    """Show on a terminal what is under way; nothing elsewhere."""
    from rich.text import Text

    console = new_console(errors=True)
    if not console.is_terminal:
        yield
        return
    with console.status(Text(what)):
        yield


def prepare() -> None:
    """Let stdout and stderr take any text, also where they are closed or know only ASCII."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def leave() -> NoReturn:
    """End the command quietly, as others end: whoever reads what it prints has seen enough."""
    abandon(sys.stdout)
    sys.exit(141)


def abandon(stream: TextIO) -> None:
    """Write no more to a stream that cannot be written to, so that Python does not try again when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
