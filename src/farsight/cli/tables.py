"""Figures in the terminal: tables that are never cut off, differences that are never without their interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farsight.metrics.paired import Difference

WIDEST = 10_000
"""Columns of a terminal that any table fits in."""


NARROWEST = 24
"""To so many letters the first column is folded before others go below."""
MARKS = {"better": "green", "worse": "red"}
"""How a terminal shows what a cell means."""


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    marks: Sequence[Sequence[str]] | None = None,
) -> None:
    """Print a table on stdout. The first column is text, the others are figures.

    In a terminal that is too narrow the figures that do not fit follow below, beside the first column again; in a pipe
    a table has its full width.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from farsight.cli.terminal import new_console, visible

    def made(chosen: Sequence[int]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
        table.title = visible(title) or None
        for number in chosen:
            table.add_column(Text(visible(columns[number])), justify="right" if number else "left", no_wrap=number > 0)
        for place, row in enumerate(rows):
            table.add_row(
                *(Text(visible(row[at]), style=MARKS.get(marks[place][at], "") if marks else "") for at in chosen)
            )
        return table

    def needs(table: Table) -> int:
        return new_console(width=WIDEST).measure(table).maximum

    console = new_console()
    left = list(range(1, len(columns)))
    folded = max(0, max(len(visible(row[0])) for row in [columns, *rows]) - NARROWEST)
    while True:
        fitting = len(left)
        table = made([0, *left])
        while fitting > 1 and console.is_terminal and needs(table) - folded > console.width:
            fitting -= 1
            table = made([0, *left[:fitting]])
        fits = needs(table) - folded * console.is_terminal <= console.width
        (console if fits else new_console(width=needs(table))).print(table)
        if not (left := left[fitting:]):
            return


def percent(share: float) -> str:
    """Give a share between 0 and 1 in percent, as the field's tables have it."""
    return f"{100 * share:.1f}"


def difference(found: Difference, *, scale: float = 100.0) -> str:
    """Give a difference with its 95 % interval: "-1.2 [-3.4, +1.0] p 0.300". Shares are scaled to percent."""
    p = "p < 0.001" if found.p < 0.001 else f"p {found.p:.3f}"
    return f"{found.shown(scale, 1 if scale > 1 else 2)} {p}"
