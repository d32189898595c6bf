"""``farsight export``: a copy of a model in which registers are tokens, for any engine."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from farsight import __version__
from farsight.cli import options
from farsight.cli.terminal import new_console, note, say
from farsight.errors import InputError, SettingError

_FORMATS = ("safetensors", "gguf")


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder, a GGUF file, a name; 'smollm2'.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The new folder.")],
    registers: Annotated[
        int,
        typer.Option(metavar="N", help="Tokens in front of a prompt where a request does not say: 10 is sigma 0.095."),
    ] = 10,
    token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="Which becomes the register; one that is not there is appended.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(metavar="NAME", help="safetensors or gguf, where MODEL has both.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Write a copy of a model whose registers are tokens: FarSight in llama.cpp, Ollama, vLLM or any other engine.

    One token gets an embedding of zeros, and the chat template writes N of them in front of everything, or as many as
    a request says (chat_template_kwargs={"registers": 20}). What was written is run first: a model with biases, which
    cannot have registers as tokens, is refused.
    """
    from farsight.register_tokens import MOST_TOKENS

    if format is not None and format not in _FORMATS:
        raise SettingError(f"--format must be one of {', '.join(_FORMATS)}, not {format}")
    if not 0 <= registers <= MOST_TOKENS:
        raise SettingError(f"--registers must be from 0 to {MOST_TOKENS}, not {registers}")
    source = _source(model, format)
    from farsight.export.exported import export as exported

    about = exported(source, model, out.expanduser(), registers, token, __version__, _watched)
    if json:
        say(json_format.dumps({"out": str(out), **about}, indent=2))
    else:
        _show(about, out)


def _watched(parts: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Show on stderr how much of a large file is written."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("writing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=new_console(errors=True), transient=True) as progress:
        task = progress.add_task("writing", total=size)
        for part in parts:
            yield part
            progress.advance(task, len(part))


def _source(model: str, format: str | None) -> Path:
    """The folder or the GGUF file that is meant."""
    from farsight.inputs import smollm2
    from farsight.inputs.named_models import MODELS, source_of

    if model == "smollm2" and format != "safetensors":
        return smollm2.packaged()
    path = Path(model).expanduser()
    if MODELS.find(model) is None and path.is_file():
        if path.suffix != ".gguf":
            raise InputError(f"'{model}' is a file, and no *.gguf; pass the folder of a checkpoint or a GGUF file")
        if format == "safetensors":
            raise SettingError(f"--format safetensors: '{model}' is a GGUF file; pass the folder of its checkpoint")
        return path
    if format == "gguf":
        found = sorted(path.glob("*.gguf")) if path.is_dir() else []
        found = [file for file in found if not file.name.startswith("mmproj")]
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            raise InputError(f"'{model}' has not one *.gguf ({names}); pass the file itself")
        return found[0]
    from farsight.inputs.checkpoints import folder_of

    return folder_of(source_of(model))


def _show(about: dict[str, Any], out: Path) -> None:
    was = {
        "named": "", "reserved": ", which the vocabulary reserves", "padding": ", a row that had no token",
        "appended": ", appended: embedding and vocabulary have grown by it",
    }[about["token_was"]]  # fmt: skip
    say(f"{out}: {about['token']} (number {about['token_id']}) is a register{was}")
    strength = "none" if about["sigma"] is None else f"{about['registers']}, FarSight with sigma {about['sigma']:.4g}"
    say(f'registers in front of a prompt: {strength}; chat_template_kwargs={{"registers": 20}} sets others')
    error = about["checked"]["error"]
    say(f"checked: {about['checked']['how']}" + ("" if error is None else f" (within {error:.1e})"))
    if (window := about["checked"]["window"]) is not None:
        note(f"layers that read the last {window} tokens only lose the registers further on")
