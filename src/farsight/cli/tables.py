"""Figures in the terminal: tables that are never cut off, differences that are never without their interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farsight.metrics.paired import Difference

WIDEST = 10_000
"""Columns of a terminal that any table fits in."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Print a table on stdout, at full width also in a pipe. The first column is text, the others are figures."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from farsight.cli.terminal import new_console, visible

    table = Table(box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    table.title = visible(title) or None
    for number, column in enumerate(columns):
        table.add_column(Text(visible(column)), justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    needed = new_console(width=WIDEST).measure(table).maximum
    wide = new_console()
    (wide if needed <= wide.width else new_console(width=needed)).print(table)


def percent(share: float) -> str:
    """Give a share between 0 and 1 in percent, as the field's tables have it."""
    return f"{100 * share:.1f}"


def difference(found: Difference, *, scale: float = 100.0) -> str:
    """Give a difference with its 95 % interval: "-1.2 [-3.4, +1.0] p 0.300". Shares are scaled to percent."""
    value, low, high = (f"{scale * one:+.{1 if scale > 1 else 2}f}" for one in (found.value, found.low, found.high))
    p = "p < 0.001" if found.p < 0.001 else f"p {found.p:.3f}"
    return f"{value} [{low}, {high}] {p}"
