"""``farsight doctor``: what is installed here, and can this model carry registers?"""

from __future__ import annotations

import json as json_format
import platform
from typing import TYPE_CHECKING, Any

import typer

from farsight import __version__
from farsight.cli import options
from farsight.cli.terminal import new_console, say
from farsight.errors import FarSightError

if TYPE_CHECKING:
    from farsight.attention.layers import AttentionLayer
    from farsight.inputs.checkpoints import LoadedModel


def doctor(
    model: options.Model = options.EMBEDDED,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
    json: options.Json = False,
) -> None:
    """Say which versions, device and attention implementation are in use and whether a model can be switched.

    The exit code is 0 if it can, 1 if it cannot.
    """
    from farsight.cli.quiet import quiet

    with quiet():
        report = _examine(options.load(model, device, dtype, attn_implementation))
    if json:
        say(json_format.dumps(report, indent=2))
    else:
        _show(report)
    if not report["switchable"]:
        raise typer.Exit(1)


def _examine(loaded: LoadedModel) -> dict[str, Any]:
    import torch
    import transformers

    from farsight.attention.layers import locate
    from farsight.methods import METHODS

    report: dict[str, Any] = {
        "versions": {
            "farsight": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "device": _device_name(loaded.device),
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "model": loaded.name,
        "architecture": type(loaded.model).__name__,
        "language_model": None,
        "switchable": True,
        "reason": None,
        "layers": [],
    }
    try:
        found = locate(loaded.model, encoder_decoder=True)
        report["language_model"] = found.name
        report["layers"] = [_examine_layer(layer) for layer in found.layers]
        with METHODS["farsight"]()(loaded.model):
            pass
    except FarSightError as error:
        report |= {"switchable": False, "reason": str(error)}
    return report


def _device_name(device: Any) -> str:
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return str(device)


def _examine_layer(layer: AttentionLayer) -> dict[str, Any]:
    from farsight.attention import refusal

    reason = refusal(layer.implementation)
    return {
        "index": layer.index,
        "name": layer.name,
        "attention": type(layer.module).__name__,
        "heads": layer.heads,
        "kv_heads": layer.heads // getattr(layer.module, "num_key_value_groups", 1),
        "sliding_window": _window(layer),
        "implementation": layer.implementation,
        "gate": reason is None,
        "reason": reason,
    }


def _window(layer: AttentionLayer) -> int | None:
    """Length of a layer's sliding window; None is full attention."""
    module: Any = layer.module
    if hasattr(module, "sliding_window"):
        window = module.sliding_window
    else:
        config = module.config
        kinds = getattr(config, "layer_types", None)
        slides = kinds is None or kinds[layer.index] == "sliding_attention"
        window = getattr(config, "sliding_window", None) if slides else None
    return window if isinstance(window, int) and window > 0 else None


def _show(report: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = new_console()
    facts = Table.grid(padding=(0, 2))
    for name, value in report["versions"].items():
        facts.add_row(name, Text(value))
    for name in ("device", "dtype", "model", "architecture"):
        facts.add_row(name, Text(report[name]))
    implementations = dict.fromkeys(layer["implementation"] for layer in report["layers"])
    facts.add_row("language model", Text(report["language_model"] or "not found"))
    facts.add_row("attention", Text(", ".join(implementations) or "unknown"))
    console.print(facts)
    console.print()
    if report["layers"]:
        console.print(_layer_table(report["layers"], prefix=f"{report['language_model']}."))
        console.print()
    if report["switchable"]:
        console.print("This model can be switched: every layer above can carry registers.", style="green")
    else:
        console.print(Text(f"This model cannot be switched: {report['reason']}", style="red"))


def _layer_table(layers: list[dict[str, Any]], prefix: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("#", justify="right")
    for name in ("module", "class", "heads/kv", "window", "attention", "gate"):
        table.add_column(name, overflow="fold")
    for layer in layers:
        window = layer["sliding_window"]
        cells = (
            str(layer["index"]),
            layer["name"].removeprefix(prefix),
            layer["attention"],
            f"{layer['heads']}/{layer['kv_heads']}",
            "full" if window is None else str(window),
            layer["implementation"],
            layer["reason"] or "available",
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table
