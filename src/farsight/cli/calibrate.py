"""``farsight calibrate``: what a method needs to know of a model, measured on one's own pictures."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import options
from farsight.cli.terminal import say
from farsight.errors import InputError, SettingError
from farsight.files import real_path

if TYPE_CHECKING:
    from farsight.calibration import Calibration, TextAttention

FARSIGHT, ADAIAT = "farsight", "adaiat"


def calibrate(
    images: Annotated[Path, typer.Option(metavar="DIR", help="Pictures to measure on; or '*.jpg'.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the JSON goes that METHOD(load=FILE) reads.")],
    method: Annotated[
        str,
        typer.Option("--for", metavar="METHOD", help="farsight: strengths; adaiat: what an answer reads of itself."),
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
        typer.Option(metavar="FILE", help="For adaiat: what is in the pictures, rows of image_id and objects."),
    ] = None,
    synonyms: Annotated[
        str | None, typer.Option(metavar="FILE", help="A vocabulary for --objects; 'scenes' for the drawn ones.")
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
    json: options.Json = False,
) -> None:
    """Measure on a folder of pictures what a method needs to know of a model.

    For farsight, one strength for each head of each layer, so that the registers absorb the same share in all of them.
    For adaiat, how much the rows that name true and false objects read of the text before them.

    Examples: farsight calibrate --images pictures --absorb 0.1 --out strengths.json

    farsight eval --methods "greedy,farsight(load=strengths.json)" --out run

    farsight calibrate --for adaiat --images val2014 --objects instances_val2014.json --count 500 --out rows.json
    """
    from farsight.calibration import check_share
    from farsight.images import find_pictures

    of_registers = {"absorb": absorb, "sigma": sigma, "rows": rows}
    of_text = {"objects": objects, "synonyms": synonyms}
    if method not in (FARSIGHT, ADAIAT):
        raise SettingError(f"--for '{method}': nothing is measured for it; choose {FARSIGHT} or {ADAIAT}")
    others = of_text if method == FARSIGHT else of_registers
    if odd := [name for name, value in others.items() if value is not None]:
        raise SettingError(f"--{odd[0]} says nothing of '{method}': leave it out")
    if method == ADAIAT and objects is None:
        raise SettingError("--for adaiat tells true objects from false ones: pass --objects FILE")
    if absorb is not None:
        check_share(absorb)
    if not real_path(out).parent.is_dir():
        raise InputError(f"{out}: cannot be written, there is no folder '{out.parent}'; create it first")
    paths = find_pictures([images])
    asked = (paths, count, prompt, max_new_tokens)

    def load() -> Any:
        return options.load(model, device, dtype, attn_implementation)

    found: Calibration | TextAttention
    if objects is None:
        found = _strengths(load, *asked, of_registers)
        strengths = [one for layer in found.strength for one in layer]
        said = (
            f"{found.pictures} pictures: registers absorb {100 * found.absorbed:.2f} % with strengths of "
            f"{min(strengths):.3g} to {max(strengths):.3g}"
        )
    else:
        found = _text(load, *asked, objects, synonyms)
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
    from rich.progress import track

    from farsight.cli.terminal import new_console
    from farsight.cli.truth import read_truth
    from farsight.diagnose.object_rows import measure
    from farsight.images import open_image

    truth = read_truth(objects, synonyms)
    known = [(path, present) for path in paths if (present := truth.present(path)) is not None][:count]
    if not known:
        truth.check(paths)
    loaded = load()
    described = track(known, "describing", console=new_console(errors=True), transient=True)
    pictures = ((open_image(path), present) for path, present in described)
    return measure(loaded, pictures, truth.vocabulary.mentions, prompt, max_new_tokens=max_new_tokens)


def _ratio(found: TextAttention) -> float:
    from statistics import median

    layers = zip(found.true_rows, found.false_rows, strict=True)
    return median(true / false for layer in layers for true, false in zip(*layer, strict=True) if false > 0)
