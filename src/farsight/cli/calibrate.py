"""``farsight calibrate``: what a method needs to know of a model, measured on one's own pictures."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import options
from farsight.cli.terminal import say
from farsight.errors import InputError, SettingError
from farsight.files import real_path

if TYPE_CHECKING:
    from PIL import Image

    from farsight.calibration import Calibration, TextAttention, Verifier
    from farsight.metrics.vocabulary import Vocabulary

FARSIGHT, ADAIAT, VERIFIED = "farsight", "adaiat", "verified"


def calibrate(
    images: Annotated[Path, typer.Option(metavar="DIR", help="Pictures to measure on; or '*.jpg'.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the JSON goes that METHOD(load=FILE) reads.")],
    method: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="METHOD",
            help="farsight: strengths; adaiat: what an answer reads of itself; verified: a threshold.",
        ),
    ] = FARSIGHT,
    absorb: Annotated[
        float | None, typer.Option(metavar="SHARE", help="What the registers are to absorb; 0.1 by default.")
    ] = None,
    model: options.Model = options.EMBEDDED,
    prompt: options.Prompt = options.PICTURE_PROMPT,
    max_new_tokens: options.MaxNewTokens = 64,
    count: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only so many pictures.")] = None,
    sigma: Annotated[
        float | None, typer.Option(metavar="X", help="Decay rate of the registers; smaller absorbs more.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="R", help="Which tokens own registers: all, generated, text.")
    ] = None,
    objects: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="For adaiat and verified: what is in the pictures, rows of image_id, objects."
        ),
    ] = None,
    synonyms: Annotated[
        str | None, typer.Option(metavar="FILE", help="A vocabulary for --objects; 'scenes' for the drawn ones.")
    ] = None,
    verifier: Annotated[
        str | None, typer.Option(metavar="NAME", help="For verified: who is asked; the model itself, or a detector.")
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
    json: options.Json = False,
) -> None:
    """Measure on a folder of pictures what a method needs to know of a model.

    For farsight, one strength for each head of each layer, so that the registers absorb the same share in all of them.
    For adaiat, how much the rows that name true and false objects read of the text before them. For verified, above
    which score the verifier is believed that an object which the model named is there.

    Examples: farsight calibrate --images pictures --absorb 0.1 --out strengths.json

    farsight eval --methods "greedy,farsight(load=strengths.json)" --out run

    farsight calibrate --for adaiat --images val2014 --objects instances_val2014.json --count 500 --out rows.json
    """
    from farsight.calibration import TextAttention, check_share
    from farsight.images import find_pictures

    of_registers = {"absorb": absorb, "sigma": sigma, "rows": rows}
    of_text = {"objects": objects, "synonyms": synonyms}
    of_checks = {"verifier": verifier}
    takes: dict[str, Mapping[str, Any]] = {FARSIGHT: of_registers, ADAIAT: of_text, VERIFIED: of_text | of_checks}
    if method not in takes:
        raise SettingError(f"--for '{method}': nothing is measured for it; choose {', '.join(takes)}")
    given = {name for name, value in (of_registers | of_text | of_checks).items() if value is not None}
    if odd := sorted(given - takes[method].keys()):
        raise SettingError(f"--{odd[0]} says nothing of '{method}': leave it out")
    if method != FARSIGHT and objects is None:
        raise SettingError(f"--for {method} tells true objects from false ones: pass --objects FILE")
    if absorb is not None:
        check_share(absorb)
    if not real_path(out).parent.is_dir():
        raise InputError(f"{out}: cannot be written, there is no folder '{out.parent}'; create it first")
    paths = find_pictures([images])
    asked = (paths, count, prompt, max_new_tokens)

    def load() -> Any:
        return options.load(model, device, dtype, attn_implementation)

    found: Calibration | TextAttention | Verifier
    if objects is None:
        found = _strengths(load, *asked, of_registers)
        strengths = [one for layer in found.strength for one in layer]
        said = (
            f"{found.pictures} pictures: registers absorb {100 * found.absorbed:.2f} % with strengths of "
            f"{min(strengths):.3g} to {max(strengths):.3g}"
        )
    elif method == VERIFIED:
        found = _verifier(load, *asked, objects, synonyms, verifier)
        said = (
            f"{found.pictures} pictures: {found.true_count} true and {found.false_count} false objects named; with the "
            f"threshold {found.threshold:.3g} pass {100 * found.false_there:.1f} % of the false and fail "
            f"{100 * found.false_not_there:.1f} % of the true, on pictures that it was not chosen on"
        )
    else:
        found = _text(load, *asked, objects, synonyms)
        assert isinstance(found, TextAttention)
        said = (
            f"{found.pictures} pictures: {found.true_count} true and {found.false_count} false mentions of objects; "
            f"heads read {_ratio(found):.2f} times as much of the answer where they are true, in the median"
        )
    found.save(out)
    if json:
        say(json_format.dumps(vars(found), indent=2, allow_nan=False))
        return
    say(said)
    say(f"wrote {out}; use it as {method}(load={out})")


def _strengths(
    load: Any, paths: list[Path], count: int | None, prompt: str, max_new_tokens: int, settings: Mapping[str, Any]
) -> Calibration:
    from farsight.diagnose.calibrate import calibrate as solve
    from farsight.images import open_image

    pictures = [open_image(path) for path in paths[:count]]  # before a model is loaded, which may take long
    given = {"absorb": 0.1} | {name: value for name, value in settings.items() if value is not None}
    return solve(load(), pictures, prompt, max_new_tokens=max_new_tokens, **given)


def _text(
    load: Any,
    paths: list[Path],
    count: int | None,
    prompt: str,
    max_new_tokens: int,
    objects: Path,
    synonyms: str | None,
) -> TextAttention:
    from farsight.diagnose.object_rows import measure

    pictures, vocabulary = _known(paths, count, objects, synonyms)
    return measure(load(), pictures, vocabulary.mentions, prompt, max_new_tokens=max_new_tokens)


def _verifier(
    load: Any,
    paths: list[Path],
    count: int | None,
    prompt: str,
    max_new_tokens: int,
    objects: Path,
    synonyms: str | None,
    verifier: str | None,
) -> Verifier:
    from farsight.diagnose.verifier import measure
    from farsight.methods.verified import SELF, Verified

    pictures, vocabulary = _known(paths, count, objects, synonyms)
    verified = Verified(verifier=SELF if verifier is None else verifier)
    return measure(load(), pictures, vocabulary, prompt, verified=verified, max_new_tokens=max_new_tokens)


def _known(
    paths: list[Path], count: int | None, objects: Path, synonyms: str | None
) -> tuple[Iterator[tuple[Image.Image, frozenset[str]]], Vocabulary]:
    """Pictures with what is in them, opened one by one with progress on stderr, and the words that name objects."""
    from rich.progress import track

    from farsight.cli.terminal import new_console
    from farsight.cli.truth import read_truth
    from farsight.images import open_image

    truth = read_truth(objects, synonyms)
    known = [(path, present) for path in paths if (present := truth.present(path)) is not None][:count]
    if not known:
        truth.check(paths)
    described = track(known, "describing", console=new_console(errors=True), transient=True)
    return ((open_image(path), present) for path, present in described), truth.vocabulary


def _ratio(found: TextAttention) -> float:
    from statistics import median

    layers = zip(found.true_rows, found.false_rows, strict=True)
    return median(true / false for layer in layers for true, false in zip(*layer, strict=True) if false > 0)
