"""``farsight serve``: an OpenAI-compatible server that decodes with FarSight."""

from __future__ import annotations

import json
import os
import shlex
import sys
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from farsight.cli import options
from farsight.errors import SettingError

ENGINES = ("vllm",)
_ENGINE = "Server"


def serve(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder or a name on the hub; 'embedded' comes with farsight.")
    ],
    engine: Annotated[str, typer.Option(metavar="NAME", help="vllm.", rich_help_panel=_ENGINE)] = "vllm",
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 is everywhere.", rich_help_panel=_ENGINE)
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, rich_help_panel=_ENGINE)] = 8000,
    sigma: options.Sigma = None,
    strength: options.Strength = None,
    slopes: options.Slopes = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    additional_config: Annotated[
        str | None, typer.Option(metavar="JSON", help="More of vLLM's own.", rich_help_panel=_ENGINE)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the command and leave.", rich_help_panel=_ENGINE)
    ] = False,
) -> None:
    """Serve a model with FarSight under vLLM; options that are not listed here are vLLM's own.

    The horizon is infinite, so that registers are one constant per head: docs/serving.md.
    """
    if engine not in ENGINES:
        raise SettingError(f"unknown engine '{engine}'; choose {', '.join(ENGINES)}")
    settings = {"sigma": sigma, "strength": strength, "slopes": None if slopes == "none" else slopes,
                "layers": options.index_list("--layers", layers),
                "heads": options.index_list("--heads", heads)}  # fmt: skip
    chosen = {name: value for name, value in settings.items() if value is not None}
    config = json.dumps({**_read_config(additional_config), "farsight": _checked(chosen)})
    arguments = ["serve", *_served(model), "--host", host, "--port", str(port), "--additional-config", config]
    arguments += context.args
    if dry_run:
        print(shlex.join(["vllm", *arguments]))
        return
    _run(arguments)


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, of which the engine would complain only after a minute."""
    from farsight.vllm_plugin import Sinks

    Sinks.read({"farsight": settings})
    return settings


def _read_config(text: str | None) -> dict[str, Any]:
    try:
        config = json.loads(text or "{}")
    except ValueError as error:
        raise SettingError(f"--additional-config '{text}' is not valid JSON: {error}") from error
    if not isinstance(config, dict) or "farsight" in config:
        raise SettingError("--additional-config must be a JSON object without 'farsight', which other options give")
    return config


def _served(model: str) -> list[str]:
    if model != options.EMBEDDED:
        return [model]
    return [str(options.embedded_path(videos=False)), "--served-model-name", model]


def _run(arguments: list[str]) -> None:
    """Become the command ``vllm``."""
    if find_spec("vllm") is None:
        raise SettingError("--engine vllm needs vLLM: pip install 'farsight-mllm[vllm]'")
    plugins = os.environ.get("VLLM_PLUGINS")
    if plugins is not None and "farsight" not in plugins.split(","):
        raise SettingError(f"$VLLM_PLUGINS is '{plugins}', which keeps farsight out: add farsight to it, or unset it")
    from vllm.entrypoints.cli.main import main

    sys.argv = ["vllm", *arguments]
    main()
