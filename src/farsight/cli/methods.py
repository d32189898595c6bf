"""``farsight methods``: what there is to choose from."""

from __future__ import annotations

import json as json_format
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from farsight.cli import options
from farsight.cli.terminal import new_console, say

if TYPE_CHECKING:
    from farsight.method import Method


def methods(json: options.Json = False) -> None:
    """List the methods: their papers, what they change, what they cost, their parameters with defaults.

    Methods that change different things can be used together: farsight+beam.

    Examples: farsight methods --json
    """
    from farsight.methods import all_methods

    rows = [_row(kind) for kind in all_methods().values()]
    if json:
        say(json_format.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print(rows)


def _row(kind: type[Method]) -> dict[str, Any]:
    from farsight.methods import called, defaults_of

    return {
        "name": called(kind.name),
        "paper": kind.paper,
        "changes": kind.changes.split(" and "),
        "extra_forwards": kind.extra_forwards,
        "parameters": defaults_of(kind),
    }


PARAMETER_WIDTH = 22


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _print(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    table.add_column("paper", overflow="fold")
    table.add_column("changes", no_wrap=True)
    table.add_column("extra\nforwards", justify="right", no_wrap=True)
    table.add_column("parameters", no_wrap=True)
    for row in rows:
        parameters = "\n".join(
            line
            for name, value in row["parameters"].items()
            for line in wrap(f"{name}={_short(value)}", PARAMETER_WIDTH, subsequent_indent="  ")
        )
        changes = "\n".join(row["changes"])
        table.add_row(
            *(Text(cell) for cell in (row["name"], row["paper"], changes, f"{row['extra_forwards']:g}", parameters))
        )
        table.add_section()
    console = new_console()
    console.print(table)
    console.print(
        "Extra forwards: passes per new token beyond greedy decoding's one, with these parameters.", style="dim"
    )
