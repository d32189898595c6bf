"""``farsight table``: runs, models and seeds in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farsight.cli.terminal import note, say
from farsight.errors import SettingError


def table(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of finished 'farsight eval' or 'tune'.")],
    format: Annotated[
        str, typer.Option(metavar="NAME", help="markdown, latex, or csv, which has every number by itself.")
    ] = "markdown",
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Such as n,CHAIR_I,first-3,words,time: by the names that the tables of a run have."
        ),
    ] = None,
) -> None:
    """Put finished runs into one table: models and methods as rows, figures with their intervals as columns.

    Runs of the same task and model, such as several seeds, are averaged, and so are the ends of their intervals.

    LaTeX writes methods and CHAIR as papers do.

    Examples: farsight table runs/llava runs/qwen --format latex > table.tex

    farsight table runs/llava --columns n,CHAIR_I,first-3,recall,words,time
    """
    from farsight.evaluate.finished import read_run
    from farsight.evaluate.merged import FORMATS, merged, written
    from farsight.files import short_names

    if format not in FORMATS:
        raise SettingError(f"--format '{format}': choose {', '.join(FORMATS)}")
    short_names(runs)  # refuses the same one twice, which would count double
    found = [read_run(run) for run in runs]
    wanted = None if columns is None else [word.strip() for word in columns.split(",")]
    say(written(merged(found, wanted), format))
    kinds = {(run.task, run.model) for run in found}
    if len(kinds) < len(found):
        note(f"{len(found)} runs of {len(kinds)} pairs of task and model: means, also of the ends of the intervals")
