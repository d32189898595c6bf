"""``farsight doctor``: can this model carry registers, which methods run on it, is there anything to absorb in it?"""

from __future__ import annotations

import json as json_format
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight import __version__
from farsight.cli import options
from farsight.cli.terminal import say, under_way
from farsight.errors import FarSightError

if TYPE_CHECKING:
    from torch import nn

    from farsight.attention import AttentionLayer, LanguageModel
    from farsight.diagnose.layout import Layout, Visual
    from farsight.inputs.checkpoints import LoadedModel


def doctor(
    image: Annotated[
        Path | None,
        typer.Argument(metavar="IMAGE", help="A picture, or a folder with the frames of a video; else text."),
    ] = None,
    model: options.Model = options.EMBEDDED,
    prompt: options.OwnPrompt = None,
    max_new_tokens: Annotated[
        int,
        typer.Option(
            "--max-new-tokens",
            "-n",
            metavar="N",
            callback=options.check_new_tokens,
            help="Of the calls to come: horizons are measured from it.",
        ),
    ] = 512,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
    json: options.Json = False,
) -> None:
    """Say whether a model can be switched, which methods run on it, and what registers would absorb in it.

    The model answers one prompt, in up to 48 tokens, and log Z and the first token's share are read off its attention.
    The exit code is 0 if the model can be switched, 1 if it cannot.

    Examples: farsight doctor photo.jpg --model Qwen/Qwen2.5-VL-7B-Instruct
    """  # fmt: skip
    from farsight.cli.doctor_screen import show
    from farsight.images import open_frames, open_image
    from farsight.inputs.named_models import MODELS

    video = image is not None and image.is_dir()
    if image is None:
        named = MODELS.find(model)
        example = None if named is None else next(iter(named.examples()), None)
        seen = None if example is None else example.seen
    else:
        seen = open_frames(image) if video else open_image(image)
    with under_way(f"loading {model}"):
        loaded = options.load(model, device, dtype, attn_implementation, videos=video)
    if image is not None:
        options.note_photographs(model, [image])
    with under_way(f"asking {model}"):
        report = _examine(loaded, seen, prompt, max_new_tokens)
    if json:
        say(json_format.dumps(report, indent=2, allow_nan=False))
    else:
        show(report)
    if not report["switchable"]:
        raise typer.Exit(1)


def _examine(loaded: LoadedModel, seen: Visual | None, prompt: str | None, max_new_tokens: int) -> dict[str, Any]:
    import torch
    import transformers

    from farsight.attention import locate
    from farsight.diagnose.layout import lay_out
    from farsight.methods import METHODS

    switched_on = _methods(loaded.model)
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
        "other_layers": [],
        "methods": switched_on,
        "tokens": None,
        "attention": None,
        "attention_reason": None,
    }
    try:
        found = locate(loaded.model, encoder_decoder=True)
        report["language_model"] = found.name
        report["layers"] = [_examine_layer(layer) for layer in found.layers]
        report["other_layers"] = _other_layers(found)
        with METHODS["farsight"]()(loaded.model):
            pass
    except FarSightError as error:
        return report | {"switchable": False, "reason": str(error), "attention_reason": str(error)}
    try:
        asked = options.prompt_for(prompt, seen)
        layout = lay_out(loaded, seen, asked)
        report["attention"] = {"prompt": asked} | _look(loaded, layout, max_new_tokens, report["layers"])
        report["tokens"] = _as_tokens(loaded, layout)
    except FarSightError as error:
        report["attention_reason"] = str(error)
    return report


def _look(loaded: LoadedModel, layout: Layout, max_new_tokens: int, layers: list[dict[str, Any]]) -> dict[str, Any]:
    """What is seen while the model answers; what its layers were trained with is noted with them."""
    from farsight.attention import locate
    from farsight.diagnose.trained_gates import trained_gates
    from farsight.diagnose.verdict import verdict

    found = verdict(loaded, layout, max_new_tokens)
    gates = trained_gates(loaded, locate(loaded.model), layout)
    for layer, sink in zip(layers, found.own_sinks, strict=True):
        layer |= {"own_sink": sink or None, "own_gate": gates.get(layer["index"])}
    return {"about": layout.subject, **asdict(found), "sentence": found.sentence}


def _as_tokens(loaded: LoadedModel, layout: Layout) -> dict[str, Any]:
    """Whether registers can be tokens of the model; logits are compared where a dtype can tell them apart."""
    import torch

    from farsight.export.check import check_tokens
    from farsight.inputs.checkpoints import answering

    inputs = layout.inputs if loaded.dtype == torch.float32 else None
    found = answering(lambda asked: check_tokens(asked.model, inputs))(loaded)
    return {"possible": found.possible, "reason": found.reason}


def _methods(model: nn.Module) -> list[dict[str, Any]]:
    """Every method with its cost, and why it does not run on this model: each is asked, by being switched on."""
    from farsight.methods import all_methods, called, make_method

    rows = []
    for name, kind in all_methods().items():
        reason = None
        try:
            with make_method(name, {})(model):
                pass
        except FarSightError as error:
            reason = str(error)
        rows.append(
            {"name": called(name), "extra_forwards": kind.extra_forwards, "runs": reason is None, "reason": reason}
        )
    return rows


def _other_layers(found: LanguageModel) -> list[dict[str, Any]]:
    """Layers of the language model without causal softmax attention, which get no registers."""
    from torch import nn

    carrying = [layer.name.rpartition(".")[0] for layer in found.layers]
    kinds = getattr(found.module.config, "layer_types", None)
    for stack_name, stack in found.module.named_modules(prefix=found.name):
        blocks = [f"{stack_name}.{index}" for index in range(len(stack))] if isinstance(stack, nn.ModuleList) else []
        with_attention = [any(f"{name}.".startswith(f"{block}.") for name in carrying) for block in blocks]
        if any(with_attention):
            return [
                {"index": index, "kind": kinds[index] if kinds else type(stack[index]).__name__}
                for index, has in enumerate(with_attention)
                if not has
            ]
    return []


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
        "own_sink": None,
        "own_gate": None,
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
