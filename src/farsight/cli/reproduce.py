"""``farsight reproduce``: the commands of a table of the paper, printed or run."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from farsight.cli import options
from farsight.cli.terminal import note, say
from farsight.errors import InputError, SettingError

METHODS = "greedy,icd,vcd,farsight,fixvpe,edvt"
"""The rows of table 2 that take a pass or two for a token; OPERA, whose beams need room, is by itself."""
POPE = ("random", "popular", "adversarial")


def reproduce(
    table: Annotated[int, typer.Option(metavar="N", help="Of the paper: 2, CHAIR and POPE of LLaVA-1.5-7B.")] = 2,
    data: Annotated[
        Path,
        typer.Option(metavar="DIR", help="COCO's val2014 and annotations, and coco_pope_*.json of POPE."),
    ] = Path("data"),
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the runs go.")] = Path("runs/table2"),
    model: options.Model = "llava-hf/llava-1.5-7b-hf",
    count: Annotated[int, typer.Option(metavar="N", min=2, help="Pictures of CHAIR; the paper's are 500.")] = 500,
    run: Annotated[
        bool, typer.Option("--run", help="Run them, one after the other; the same command goes on.")
    ] = False,
) -> None:
    """Print the commands of a table of the paper that farsight alone can run, or run them.

    Table 2's other columns need lmms-eval and a judge: docs/reproduce.md has their commands.

    Examples: farsight reproduce --table 2 --data coco --run
    """
    if table != 2:
        raise SettingError(f"--table {table}: there are commands of table 2; docs/reproduce.md has the others'")
    commands = _table_2(model, data, out, count)
    if not run:
        for words in commands:
            say(shlex.join(["farsight", *words]))
        return
    needed = [
        data / "val2014",
        *(data / "annotations" / name for name in ("instances_val2014.json", "captions_val2014.json")),
    ]
    needed += [data / f"coco_pope_{kind}.json" for kind in POPE]
    if missing := [path for path in needed if not path.exists()]:
        raise InputError(f"{missing[0]}: is not there; --data takes a folder with COCO's and POPE's files")
    for words in commands:
        note(shlex.join(["farsight", *words]))
        done = subprocess.run([sys.executable, "-m", "farsight", *words], check=False)
        if done.returncode:
            raise typer.Exit(done.returncode)


def _table_2(model: str, data: Path, out: Path, count: int) -> list[list[str]]:
    images = ["--images", str(data / "val2014")]
    annotations = data / "annotations"
    objects = [annotations / "instances_val2014.json", annotations / "captions_val2014.json"]
    truth = [word for path in objects for word in ("--objects", str(path))]
    questions = [word for kind in POPE for word in ("--questions", str(data / f"coco_pope_{kind}.json"))]
    asked = ["eval", "-m", model]
    chair = [*images, "--task", "chair", "--count", str(count), *truth]
    chair_out, pope_out, opera_out = (str(out / name) for name in ("chair", "pope", "chair-opera"))
    return [
        [*asked, *chair, "--methods", METHODS, "--controls", "--out", chair_out],
        [*asked, *images, "--task", "pope", *questions, "--methods", METHODS, "--controls", "--out", pope_out],
        [*asked, *chair, "--batch-size", "1", "--methods", "greedy,opera", "--out", opera_out],
        ["table", chair_out, pope_out],
        ["table", opera_out],
    ]
