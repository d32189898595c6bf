"""``farsight judge``: is what was named there? A page to say so, and what it makes of each method."""

from __future__ import annotations

import getpass
import importlib.util
import json as json_format
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farsight.cli import options
from farsight.cli.terminal import note, say
from farsight.errors import InputError, SettingError

if TYPE_CHECKING:
    from farsight.judging.desk import Desk

_PAGE = "Page"


def judge(
    context: typer.Context,
    answers: Annotated[
        list[Path],
        typer.Argument(metavar="TUNED|RUN|ANSWERS.jsonl", help="Folders of tune or eval, or answers of production."),
    ],
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the pictures are; by default where the answers say.")
    ] = None,
    synonyms: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="That of tune; 'scenes' for the drawn objects. Every noun without."),
    ] = None,
    judge: Annotated[str | None, typer.Option(metavar="NAME", help="Who judges; you, by your login.")] = None,
    judgements: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Where verdicts go, beside the answers by default. Further files are other judges', and only read.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; this machine alone.", rich_help_panel=_PAGE)
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Port; 0 is any that is free.", rich_help_panel=_PAGE)] = 7861,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.", rich_help_panel=_PAGE)] = False,
    json: options.Json = False,
) -> None:
    """Say of each object that was named whether it is there, and see how often each method is wrong.

    With --json the figures so far are printed, and no page is opened.

    Examples: farsight judge tuned

    farsight judge october.jsonl --images photos --json
    """
    if json:
        options.refuse_unused(context, "--json opens no page", "host", "port", "no_open")
    desk = desk_of(answers, images, synonyms, judge, judgements)
    if json:
        say(json_format.dumps(desk.record(), indent=2, allow_nan=False))
        return
    if not host.strip():
        raise SettingError("--host is empty; leave it out for this machine alone, or give an address")
    if missing := [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]:
        raise InputError(f"the page needs {missing[0]}, which is not installed: pip install '.[judge]' in a clone")

    from farsight.web.judging_server import judging_server

    with judging_server(desk, host=host, port=port) as server:
        say(
            f"{len(desk.left())} of {len(desk.pictures)} pictures are to be judged at {server.address} (Ctrl+C ends it)"
        )
        say(f"verdicts go to {desk.judgements.path}")
        if not no_open:
            threading.Timer(0.5, _open, (server.address,)).start()
        server.run()


def desk_of(
    sources: list[Path],
    images: Path | None = None,
    synonyms: str | None = None,
    name: str | None = None,
    judgements: list[Path] | None = None,
) -> Desk:
    """Lay out what is judged, and say what is left out of it.

    Raises
    ------
    InputError
        If there is nothing to judge, or it was tuned with another vocabulary.
    """
    from farsight.cli.truth import read_vocabulary_by_name, vocabulary_file
    from farsight.judging import judgements as verdicts
    from farsight.judging import merges
    from farsight.judging.answers import read_answers
    from farsight.judging.desk import Desk
    from farsight.judging.judgements import Judgements, check_judge
    from farsight.judging.nouns import Nouns
    from farsight.tune.asked import check_same_names

    names = Nouns() if synonyms is None else read_vocabulary_by_name(synonyms)
    for source in sources:
        check_same_names(source, vocabulary_file(synonyms))
    files = judgements or [beside(sources[0], verdicts.NAME)]
    desk = Desk(
        answers=read_answers(sources, images),
        names=names,
        judgements=Judgements(files[0]),
        others=[Judgements(file) for file in files[1:]],
        merges=merges.Merges(beside(sources[0], merges.NAME)),
        judge=check_judge(_login() if name is None else name),
    )
    if left_out := desk.answers.left_out:
        note("not judged: " + ", ".join(f"{count} {reason}" for reason, count in left_out.items()))
    if not desk.pictures:
        raise InputError(f"{sources[0]}: no answer names anything; is --synonyms the right vocabulary?")
    return desk


def beside(source: Path, name: str) -> Path:
    """Where a file of a folder stands; one of ``october.jsonl`` is ``october.judgements.jsonl``."""
    return source / name if source.is_dir() else source.with_name(f"{source.stem}.{name}")


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, as in some containers
        return "judge"


def _open(address: str) -> None:
    import webbrowser

    webbrowser.open(address)
