"""What the commands that score captions have in common: their options, and reading with progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TypeVar

import typer

from farsight.cli.terminal import new_console, note
from farsight.errors import InputError, SettingError
from farsight.files import real_path

if TYPE_CHECKING:
    from farsight.metrics.chair import ChairScore
    from farsight.metrics.cuts import Cut
    from farsight.metrics.paired import Difference

T = TypeVar("T")

Captions = Annotated[
    list[Path],
    typer.Argument(
        metavar="CAPTIONS",
        help="Rows of image_id and caption; what 'describe --json' wrote; the folder of an 'eval' or 'tune'.",
    ),
]
Objects = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="OBJECTS",
        help="Rows of image_id and objects; or COCO's instances_*.json, captions_*.json, one each. A RUN has its own.",
    ),
]
Synonyms = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Your objects: a category a line, its synonyms after commas; or 'scenes'. Else COCO's."
    ),
]
Part = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Of a RUN with several kinds of captions, such as counted; else its first."),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, go on, and count them.")]
Words = Annotated[
    int | None, typer.Option("--words", metavar="N", min=1, help="Cut captions after N words, then score them.")
]
ObjectsAtMost = Annotated[
    int | None,
    typer.Option(
        "--objects-at-most", metavar="K", min=1, help="Cut captions after K distinct objects, then score them."
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of the bootstrap.", min=0)]


def scored(
    captions: list[Path],
    objects: list[Path] | None,
    synonyms: str | None,
    cut: Cut,
    *,
    skip_bad: bool,
    part: str | None = None,
) -> dict[str, ChairScore]:
    """Score each file, cut or whole; what was skipped or cut is said on stderr."""
    from farsight.cli.caption_sources import read_said
    from farsight.cli.truth import read_vocabulary_by_name
    from farsight.metrics import chair
    from farsight.metrics.captions import read_objects
    from farsight.metrics.cuts import Cut
    from farsight.metrics.records import Reader

    said = read_said(captions, part)
    known = {image_id: names for one in said.values() for image_id, names in one.objects.items()}
    if not objects and not known:
        raise SettingError("the objects that are in the pictures are not known: pass --objects FILE")
    if synonyms is None and (lacking := [name for name, one in said.items() if one.own_vocabulary]):
        raise SettingError(f"{lacking[0]}: was scored by a vocabulary of its own; pass the same: --synonyms FILE")
    own = next((one.synonyms for one in said.values()), None) if not objects else None
    vocabulary = read_vocabulary_by_name(synonyms or own)
    reader = Reader(skip_bad=skip_bad)
    present = read_objects(objects or known, vocabulary, reader, opener=_open_with_progress)
    _tell_skipped("objects", reader.skipped)
    scores = {}
    for name, one in said.items():
        scores[name] = chair.score(one.captions, present, vocabulary=vocabulary, cut=cut, skip_bad=skip_bad)
        _tell_skipped(name, list(scores[name].skipped))
        if cut != Cut():
            note(f"{name}: {scores[name].cut_captions} of {len(scores[name].captions)} captions cut {cut}")
    return scores


def unless_too_few(name: str, compare: Callable[[], T], not_compared: dict[str, str]) -> T | None:
    """Compare, or say on stderr and keep in mind why that cannot be done: the figures stand without."""
    from farsight.metrics.paired import TooFewItemsError

    try:
        return compare()
    except TooFewItemsError as error:
        not_compared[name] = str(error)
        note(f"{name}: no differences and no intervals, as {error}")
        return None


def compared(
    scores: Mapping[str, ChairScore], *, seed: int, measured: Mapping[str, Mapping[str, float]] | None = None
) -> tuple[dict[str, dict[str, Difference]], dict[str, str]]:
    """Compare all files with the first; of those that have too few pictures in common with it, give the reason.

    Parameters
    ----------
    scores
        By name; the first is the baseline.
    seed
        Seed of the bootstrap.
    measured
        Perplexities of each file, by image.
    """
    from farsight.metrics.comparison import compare

    (baseline, first), *others = scores.items()
    found, not_compared = {}, dict[str, str]()
    for name, score in others:
        both = (measured[baseline], measured[name]) if measured else None
        one = unless_too_few(name, partial(compare, first, score, perplexities=both, seed=seed), not_compared)
        if one is not None:
            found[name] = one
    return found, not_compared


def tell_shared(differences: Mapping[str, Mapping[str, Difference]]) -> None:
    """Say on stderr what differences rest on."""
    for name, found in differences.items():
        items = found["chair_s"].items
        note(f"{name}: differences on the {items} pictures that both have, with 95 % paired bootstrap intervals")


def check_output(out: Path | None, read: list[Path]) -> None:
    """Refuse to write over what is read.

    Raises
    ------
    InputError
        If the output is one of the inputs.
    """
    if out is not None and real_path(out) in map(real_path, read):
        raise InputError(f"{out}: would be overwritten although it is read; choose another name")


def _tell_skipped(name: str, skipped: list[str]) -> None:
    if skipped:
        note(f"{name}: {len(skipped)} bad rows left out; the first: {skipped[0]}")


@contextmanager
def _open_with_progress(path: Path) -> Iterator[BinaryIO]:
    from rich import progress
    from rich.markup import escape

    from farsight.files import opened

    console = new_console(errors=True)
    with opened(path) as file:
        if not console.is_terminal:
            yield file
            return
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        description = escape(f"reading {path.name}")
        with progress.wrap_file(file, size, description=description, console=console, transient=True) as shown:
            yield shown
