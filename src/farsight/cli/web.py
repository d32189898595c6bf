"""``farsight web``: the page."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from farsight.cli import options
from farsight.cli.judge import desk_of
from farsight.cli.terminal import say
from farsight.errors import InputError, SettingError

_LIMITS = "Limits"


def web(
    model: options.Model = options.EMBEDDED,
    run: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN", help="A folder of 'farsight eval' or 'tune' for the second tab; one option for each."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD", help="One more that can be chosen, such as @tuned/method.yaml; first on the right."
        ),
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option(metavar="TUNED", help="What 'farsight judge' takes, for a tab to judge it in."),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Port; 0 is any that is free.")] = 7860,
    allow_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A host name under which it is opened too, as of a server in front; one option each.",
        ),
    ] = None,
    max_megabytes: Annotated[
        float, typer.Option(metavar="X", help="Largest uploaded file.", rich_help_panel=_LIMITS)
    ] = 10.0,
    max_megapixels: Annotated[
        float, typer.Option(metavar="X", help="Largest uploaded picture.", rich_help_panel=_LIMITS)
    ] = 24.0,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
) -> None:
    """Open a page: descriptions side by side with what each word looked at, runs, the audit of captions, and judging.

    It listens on this machine alone, calls no other host, and keeps nothing but what is judged.

    Example: farsight web --run runs/scenes
    """
    if not host.strip():
        raise SettingError("--host is empty; leave it out for this machine alone, or give an address")
    for name, value in (("--max-megabytes", max_megabytes), ("--max-megapixels", max_megapixels)):
        if not 0 < value <= 10_000:
            raise SettingError(f"{name} must be above 0 and at most 10000, not {value:g}")
    if importlib.util.find_spec("gradio") is None:
        raise InputError(
            "farsight web needs Gradio, which is not installed: pip install '.[web]' in a clone of farsight"
        )

    from farsight.methods.grammar import label_of, parse_method
    from farsight.web.limits import Limits
    from farsight.web.models import Models
    from farsight.web.server import run_names, serving

    given = {} if method is None else {label_of(made := parse_method(method)): made}
    limits = Limits(megabytes=max_megabytes, megapixels=max_megapixels)
    models = Models(name=model, device=device, dtype=dtype, attn_implementation=attn_implementation, methods=given)
    runs = run_names(run or [])
    desk = None if judge is None else desk_of([judge])
    with serving(models, host=host, port=port, runs=runs, limits=limits, names=allow_name or [], desk=desk) as server:
        say(f"FarSight is at {server.address} (Ctrl+C ends it)")
        server.run()
