"""How far ``farsight tune`` is: one bar over all of it on stderr, and who is left after each rung."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from farsight.cli.terminal import new_console, note

if TYPE_CHECKING:
    from farsight.tune.forecast import Stage
    from farsight.tune.race import Rung


class TuneProgress:
    """A bar with what is done now and the most time that is left; see `farsight.tune.time_left.Progress`.

    Where stderr is no terminal only the lines that stay are written.
    """

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
        console = new_console(errors=True)
        left = TextColumn("{task.fields[left]}")
        self._bar = Progress(*columns, left, console=console, disable=not console.is_terminal)
        self._all = self._bar.add_task("", total=None, left="")

    def __enter__(self) -> TuneProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._bar.update(self._all, description="done", left="", completed=1, total=1)
        self._bar.stop()

    def stage(self, stage: Stage) -> None:
        """Say what is asked now."""
        note(stage.sentence)

    def told(self, doing: str, elapsed: float, left: float | None) -> None:
        """Show what is done, and how much there is left."""
        from farsight.tune.forecast import told_seconds

        total, shown = (None, "") if left is None else (elapsed + left, f"about {told_seconds(left)} left")
        self._bar.update(self._all, description=doing, completed=elapsed, total=total, left=shown)

    def rung(self, rung: Rung) -> None:
        """Say who leads."""
        going, first = sum(not one.left for one in rung.standings), rung.standings[0].label
        what = f"{going} of {len(rung.standings)} go on; first is" if going else "nobody goes on; the nearest is"
        note(f"after {rung.pictures} pictures {what} {first}")
