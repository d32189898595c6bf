"""Options that say what is asked about, of the commands that ask a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farsight.cli import options

PANEL = "Task"

Objects = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="What is in them: rows, or COCO's annotations.", rich_help_panel=PANEL),
]
Synonyms = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A vocabulary; 'scenes' for the drawn objects.", rich_help_panel=PANEL),
]
QuestionCount = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Only so many questions of each kind.", rich_help_panel=PANEL),
]
CaptionTokens = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens",
        "-n",
        metavar="N",
        help="Of a caption.",
        rich_help_panel=PANEL,
        callback=options.check_new_tokens,
    ),
]
BatchSize = Annotated[int, typer.Option(metavar="N", min=1, help="Prompts at once.", rich_help_panel="Run")]
