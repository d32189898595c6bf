"""``farsight serve``: an OpenAI-compatible server for a model with a method on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from farsight.cli import options
from farsight.cli.serve_vllm import serve_vllm
from farsight.cli.terminal import note, say
from farsight.errors import InputError, SettingError
from farsight.web.listening import address_of, listen

if TYPE_CHECKING:
    from farsight.inputs.checkpoints import LoadedModel

ENGINES = ("transformers", "vllm")
_SECONDS_TO_END = 2
_HOW = {
    "log_level": "warning",
    "access_log": False,
    "http": "h11",  # it bounds what it keeps of a request's head
    "ws": "none",
    "timeout_graceful_shutdown": _SECONDS_TO_END,
}
"""What of uvicorn is used; requests that are still there so many seconds after a signal are given up."""
_SERVER, _VLLM = "Server", "Under vLLM"


def serve(
    context: typer.Context,
    placed: Annotated[str | None, typer.Argument(metavar="MODEL", help="The same as --model.")] = None,
    model: options.Model = options.EMBEDDED,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="transformers: any method; vllm: farsight.", rich_help_panel=_SERVER)
    ] = "transformers",
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 is everywhere.", rich_help_panel=_SERVER)
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="0 for any that is free.", rich_help_panel=_SERVER)
    ] = 8000,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Most that max_tokens may ask for; 4096.", rich_help_panel=_SERVER),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Requests answered together, where they can be; 8.", rich_help_panel=_SERVER
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", envvar="FARSIGHT_API_KEY", help="What clients have to send.", rich_help_panel=_SERVER
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            rich_help_panel="Method",
            help="As of describe; farsight, and farsight(horizon=infinite) under vLLM, which also takes greedy.",
        ),
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
    additional_config: Annotated[
        str | None, typer.Option(metavar="JSON", help="More of vLLM's own.", rich_help_panel=_VLLM)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the command and leave.", rich_help_panel=_VLLM)
    ] = False,
) -> None:
    """Answer requests of OpenAI's chat API, with pictures, from a model that a method is on for.

    Clients talk to http://127.0.0.1:8000/v1, without a key unless --api-key says one. With Transformers the prompt and
    max_tokens of a request are its horizon. Under vLLM the horizon is infinite, so that registers are one constant per
    head, and options that are not listed here are vLLM's own.
    Example: farsight serve llava-hf/llava-1.5-7b-hf --method "farsight(sigma=0.1)"
    """
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
        raise SettingError("--api-key must be printable ASCII without spaces around it; leave it out to ask for none")
    if engine not in ENGINES:
        raise SettingError(f"unknown engine '{engine}'; choose {', '.join(ENGINES)}")
    if not host.strip():
        raise SettingError(
            "--host '' is no address; leave it out for this machine alone, or say 0.0.0.0 for everywhere"
        )
    named = options.is_given(context, "model")
    more = [*([] if placed is None else [placed]), *context.args]
    for word in (model, *more):
        options.check_no_setting(word)
    if more and not more[0].startswith("-"):
        if named:
            raise SettingError(f"two models are named, {model} and {more[0]}; leave one out")
        named, model = True, more.pop(0)
    if engine == "vllm":
        if more and not named:
            raise SettingError(f"name a model in front of {more[0]}")
        if max_new_tokens is not None:
            raise SettingError("--max-new-tokens is no option of the engine vllm; choose its own --max-model-len")
        if batch_size is not None:
            raise SettingError("--batch-size is no option of the engine vllm; choose its own --max-num-seqs")
        if device is not None or attn_implementation is not None:
            raise SettingError("--engine vllm chooses the rest itself: leave out --device and --attn-implementation")
        more = [*(["--dtype", dtype] if dtype else []), *(["--api-key", api_key] if api_key else []), *more]
        serve_vllm(model, method or "farsight(horizon=infinite)", host, port, additional_config, more, dry_run)
        return
    if more or additional_config is not None or dry_run:
        first = more[0] if more else "--dry-run" if dry_run else "--additional-config"
        raise SettingError(f"{first} is no option of the engine transformers; choose --engine vllm, or leave it out")
    _serve_transformers(
        method or "farsight",
        lambda: options.load(model, device, dtype, attn_implementation),
        host,
        port,
        {"new_tokens": max_new_tokens, "batch_size": batch_size},
        api_key,
    )


def _serve_transformers(
    method: str,
    load: Callable[[], LoadedModel],
    host: str,
    port: int,
    limits: Mapping[str, int | None],
    api_key: str | None,
) -> None:
    try:
        import uvicorn

        from farsight.serve.app import LOOPBACK, application
        from farsight.serve.limits import Limits
    except ImportError as missing:
        raise InputError(
            f"serving needs packages that are not installed ({missing}): pip install '.[serve]' in a clone of farsight"
        ) from missing
    from farsight.methods.grammar import label_of, parse_method

    chosen = parse_method(method)
    with listen(host, port) as listening:
        loaded = load()
        label = label_of(chosen)
        bounds = Limits(**{name: value for name, value in limits.items() if value is not None})
        app = application(loaded, chosen, label, only_loopback=host in LOOPBACK, limits=bounds, api_key=api_key)
        if host not in LOOPBACK and api_key is None:
            note(f"warning: whoever reaches {host} may use this server; it asks for no key; pass --api-key")
        say(f"{loaded.name} with {label} at {address_of(listening)}/v1")
        try:
            uvicorn.Server(uvicorn.Config(app, **_HOW)).run(sockets=[listening])
        finally:
            if not app.state.worker.close(_SECONDS_TO_END):
                os._exit(130)  # a forward pass cannot be interrupted
