"""How far ``farsight tune`` is: a bar on stderr, with who is left after each rung."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from farsight.cli.terminal import new_console, note

if TYPE_CHECKING:
    from farsight.tune.race import Rung


class TuneProgress:
    """A bar for each stage; see `farsight.tune.tuning.Progress`."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=new_console(errors=True))
        self._stage = self._bar.add_task("", total=None, visible=False)

    def __enter__(self) -> TuneProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def stage(self, name: str, answers: int) -> None:
        """Begin a bar."""
        self._stage = self._bar.add_task(name, total=answers)

    def add(self, answers: int) -> None:
        """Go on."""
        self._bar.update(self._stage, advance=answers)

    def rung(self, rung: Rung) -> None:
        """Say who leads."""
        going, first = sum(not one.left for one in rung.standings), rung.standings[0].label
        what = f"{going} of {len(rung.standings)} go on; first is" if going else "nobody goes on; the nearest is"
        note(f"after {rung.pictures} pictures {what} {first}")
