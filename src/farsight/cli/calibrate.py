"""``farsight calibrate``: strengths with which registers absorb a wanted share on one's own pictures."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from farsight.cli import options
from farsight.cli.terminal import say
from farsight.errors import InputError
from farsight.files import real_path

PROMPT = "Describe this image in detail."


def calibrate(
    images: Annotated[Path, typer.Option(metavar="DIR", help="Pictures to measure on.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the JSON goes that FarSight.load reads.")],
    absorb: Annotated[float, typer.Option(metavar="SHARE", help="What the registers are to absorb.")] = 0.1,
    model: options.Model = options.EMBEDDED,
    prompt: options.Prompt = PROMPT,
    max_new_tokens: options.MaxNewTokens = 64,
    count: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only so many pictures.")] = None,
    sigma: Annotated[
        float | None, typer.Option(metavar="X", help="Decay rate of the registers; smaller absorbs more.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="R", help="Which tokens own registers: all, generated, text.")
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
    json: options.Json = False,
) -> None:
    """Find one strength for each head of each layer, so that the registers absorb the same share in all of them.

    Examples: farsight calibrate --images pictures --absorb 0.1 --out strengths.json

    farsight eval --methods "greedy,farsight(load=strengths.json)" --out run
    """
    from farsight.calibration import check_share

    check_share(absorb)
    if not real_path(out).parent.is_dir():
        raise InputError(f"{out}: cannot be written, there is no folder '{out.parent}'; create it first")

    from farsight.diagnose.calibrate import calibrate as solve
    from farsight.images import find_images, open_image

    paths = sorted(set(find_images(images).values()))[:count]
    pictures = [open_image(path) for path in paths]  # before a model is loaded, which may take long
    loaded = options.load(model, device, dtype, attn_implementation)
    settings = {"sigma": sigma, "rows": rows}
    found = solve(
        loaded,
        pictures,
        prompt,
        absorb=absorb,
        max_new_tokens=max_new_tokens,
        **{name: value for name, value in settings.items() if value is not None},  # type: ignore[arg-type]
    )
    found.save(out)
    if json:
        say(json_format.dumps(vars(found), indent=2, allow_nan=False))
        return
    strengths = [one for layer in found.strength for one in layer]
    say(
        f"{found.pictures} pictures: registers absorb {100 * found.absorbed:.2f} % with strengths of "
        f"{min(strengths):.3g} to {max(strengths):.3g}"
    )
    say(f"wrote {out}; use it as FarSight.load('{out}') or farsight(load={out})")
