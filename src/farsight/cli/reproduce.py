"""``farsight reproduce``: the commands of a table of the paper, printed or run."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from farsight.cli import options
from farsight.cli.terminal import note, say
from farsight.errors import InputError, SettingError

METHODS = "greedy,icd,vcd,farsight,fixvpe,edvt"
"""The rows of table 2 that take a pass or two for a token; OPERA, whose beams need room, is by itself."""
LMMS_EVAL_METHODS = ("greedy", "icd", "vcd", "opera", "farsight")
"""The rows that table 2 has in the columns of `LMMS_EVAL`."""
POPE = ("random", "popular", "adversarial")
LMMS_EVAL = {
    "MMBench": ("mmbench_en_dev",),
    "LLaVA-W": ("llava_in_the_wild", "--gen_kwargs", "max_new_tokens=1024"),
    "MM-Vet": ("mmvet", "--gen_kwargs", "temperature=0"),
    "VizWiz": ("vizwiz_vqa_val", "--gen_kwargs", "max_new_tokens=16"),
    "SQA": ("scienceqa_img",),
}
"""Columns that lmms-eval scores, with its task and how that is asked; docs/reproduce.md says why."""
JUDGED = ("MMBench", "LLaVA-W", "MM-Vet")
"""Of these, the columns that ask a judge of OpenAI's."""
_JUDGE = "needs lmms-eval and OPENAI_API_KEY; the judge is newer than the paper's, so compare rows with each other"
SAID = {
    "MMBench": "needs lmms-eval, and OPENAI_API_KEY for answers that are no letter",
    "LLaVA-W": _JUDGE,
    "MM-Vet": _JUDGE,
    "VizWiz": "needs lmms-eval; asks val, as the answers to test, the paper's split, are scored on a server alone",
    "SQA": "needs lmms-eval",
    "CHAIR": "CHAIR_S and CHAIR_I, with intervals",
    "POPE": "POPE-R, POPE-P and POPE-A, with intervals",
}
"""The columns of table 2, and what each takes."""
KEY = "OPENAI_API_KEY"
RESULTS = "*_results.json"
"""What lmms-eval writes at the end."""


def reproduce(
    table: Annotated[int, typer.Option(metavar="N", help="Of the paper: 2, LLaVA-1.5-7B on all benchmarks.")] = 2,
    columns: Annotated[
        str, typer.Option(metavar="LIST", help="Of it: MMBench, LLaVA-W, MM-Vet, VizWiz, SQA, CHAIR, POPE.")
    ] = ",".join(SAID),
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
    """Print the commands of a table of the paper, or run them.

    Examples: farsight reproduce --table 2

    farsight reproduce --table 2 --columns CHAIR,POPE --data coco --run
    """
    if table != 2:
        raise SettingError(f"--table {table}: there are commands of table 2; docs/reproduce.md has the others'")
    wanted = _columns(columns)
    if run:
        _check_there(wanted, data)
    tell = note if run else say
    for column in wanted:
        tell(f"# {column}: {SAID[column]}")
        for words in _commands(column, model, data, out, count):
            tell(shlex.join(words))
            if run:
                _run(words)
    own = [str(out / column.lower()) for column in wanted if column not in LMMS_EVAL]
    for runs in (own, [f"{path}-opera" for path in own]) if own else ():
        words = ["farsight", "table", *runs]
        tell(shlex.join(words))
        if run:
            _run(words)


def _columns(text: str) -> list[str]:
    names = {name.lower(): name for name in SAID}
    asked = [word.strip() for word in text.split(",")]
    if unknown := [word for word in asked if word.lower() not in names]:
        raise SettingError(f"--columns: table 2 has no '{unknown[0]}'; choose of {', '.join(SAID)}")
    return [names[word] for word in dict.fromkeys(word.lower() for word in asked)]


def _check_there(wanted: list[str], data: Path) -> None:
    """Refuse before the first of many hours what would end in the middle."""
    annotations = [data / "annotations" / f"{kind}_val2014.json" for kind in ("instances", "captions")]
    needed = {"CHAIR": annotations, "POPE": [data / f"coco_pope_{kind}.json" for kind in POPE]}
    for column in needed.keys() & set(wanted):
        if missing := [path for path in (data / "val2014", *needed[column]) if not path.exists()]:
            raise InputError(f"{missing[0]}: is not there; --data takes a folder with COCO's and POPE's files")
    others = ", or leave the column out with --columns"
    if (theirs := [column for column in wanted if column in LMMS_EVAL]) and find_spec("lmms_eval") is None:
        raise InputError(f"{theirs[0]} needs lmms-eval: pip install '.[lmms-eval]' in the repository{others}")
    if (judged := [column for column in wanted if column in JUDGED]) and not os.environ.get(KEY):
        raise InputError(f"{judged[0]} asks a judge: set {KEY}{others}")


def _commands(column: str, model: str, data: Path, out: Path, count: int) -> list[list[str]]:
    if column in LMMS_EVAL:
        task, *how = LMMS_EVAL[column]
        asked = ["lmms-eval", "--model", "farsight", "--batch_size", "1", "--log_samples", "--tasks", task, *how]
        base = f"base=llava_hf,pretrained={model},dtype=float16,method="
        return [
            [*asked, "--output_path", str(out / column / method), "--model_args", base + method]
            for method in LMMS_EVAL_METHODS
        ]
    asked = ["farsight", "eval", "-m", model, "--images", str(data / "val2014"), "--task", column.lower()]
    if column == "CHAIR":
        objects = [str(data / "annotations" / f"{kind}_val2014.json") for kind in ("instances", "captions")]
        asked += ["--count", str(count), *(word for path in objects for word in ("--objects", path))]
    else:
        asked += [word for kind in POPE for word in ("--questions", str(data / f"coco_pope_{kind}.json"))]
    run = str(out / column.lower())
    return [
        [*asked, "--methods", METHODS, "--controls", "--out", run],
        [*asked, "--methods", "greedy,opera", "--batch-size", "1", "--out", f"{run}-opera"],
    ]


def _run(words: list[str]) -> None:
    """Run a command, but one of lmms-eval whose results are there; it ends with 0 also where it failed."""
    folder = Path(words[words.index("--output_path") + 1]) if words[0] == "lmms-eval" else None
    if folder is not None and any(folder.rglob(RESULTS)):
        return
    done = subprocess.run([sys.executable, "-m", words[0].replace("-", "_"), *words[1:]], check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)
    if folder is not None and not any(folder.rglob(RESULTS)):
        raise InputError(f"{folder}: lmms-eval wrote no results; its log above says why")
