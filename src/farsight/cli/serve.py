"""``farsight serve``: an OpenAI-compatible server for a model with a method on."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from farsight.cli import options
from farsight.errors import InputError, SettingError

if TYPE_CHECKING:
    from farsight.checkpoints import LoadedModel

ENGINES = ("transformers", "vllm")


def serve(
    model: options.Model = options.EMBEDDED,
    method: options.MethodName = "farsight",
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="transformers; vllm is not available yet.", rich_help_panel="Model")
    ] = "transformers",
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; by default only here.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 for any that is free.")] = 8000,
) -> None:
    """Answer requests of OpenAI's chat API, with pictures, from a model that a method is on for.

    Clients talk to http://127.0.0.1:8000/v1 without a key. The prompt and max_tokens of a request are its horizon.
    Example: farsight serve --model llava-hf/llava-1.5-7b-hf --method "farsight(sigma=0.1)"
    """
    if engine not in ENGINES:
        raise SettingError(f"--engine '{engine}' is not known; choose transformers")
    if engine == "vllm":
        raise SettingError("--engine vllm is not available yet; choose transformers")
    _serve_transformers(method, lambda: options.load(model, device, dtype, attn_implementation), host, port)


def _serve_transformers(method: str, load: Callable[[], LoadedModel], host: str, port: int) -> None:
    from farsight.cli.quiet import quiet

    try:
        import uvicorn

        from farsight.cli.server import LOOPBACK, application
    except ImportError as missing:
        raise InputError(
            f"serving needs packages that are not installed ({missing}): pip install 'farsight-mllm[serve]'"
        ) from missing
    with quiet():
        chosen = options.make_method(method, {})
        with _listening(host, port) as listener:
            loaded = load()
            label = options.label(chosen)
            app = application(loaded, chosen, label, only_loopback=host in LOOPBACK)
            with chosen(loaded.model):
                where = f"[{host}]" if ":" in host else host
                if host not in LOOPBACK:
                    print(f"warning: whoever reaches {host} may use this server; it asks for no key", file=sys.stderr)
                print(f"{loaded.name} with {label} at http://{where}:{listener.getsockname()[1]}/v1", flush=True)
                uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingError(
            f"cannot listen at {host}, port {port} ({error.strerror or error}); choose another --port or --host"
        ) from error
