"""What each method costs: time per new token and peak memory, relative to greedy decoding in the same run.

    python benchmarks/methods.py                  # about ten minutes on two CPU cores
    python benchmarks/methods.py --device cuda --dtype bfloat16 --hidden 4096 --layers 32

A LLaVA with random weights describes a random picture. Greedy and the method alternate (A, B, A, B, ...); the ratio is
the median of the ratios of neighbours, over whole calls of ``generate`` with the same number of new tokens, prefill
included. A method that changes no greedy answer is drawn, and so is what it is compared with. Memory is the peak of a
process of its own that does nothing but one call, the model included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from farsight import METHODS, Method, Plain, SettingError
from farsight.errors import UnsupportedModelError
from farsight.method import needs_drawing
from farsight.methods import make_method

PUBLISHED = {"dola": (2.69, 1.00), "opera": (7.12, 1.52), "vcd": (2.01, 1.05), "m3id": (2.07, 1.05)}
"""Latency and GPU memory over greedy decoding with LLaVA-1.5-7B (ONLY, ICCV 2025, table 5)."""

NEEDED: dict[str, dict[str, Any]] = {
    "icd": {"prefix_ids": (11, 12, 13, 14, 15, 16, 17, 18)},
    "shift": {"token_ids": (11, 12, 13, 14)},
    "adaiat": {"true_rows": 0.2, "false_rows": 0.1},
}
"""Settings without which a method cannot run on a model that has no tokenizer and was not measured."""

IMAGE_TOKEN = 7


def build(args: argparse.Namespace) -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=args.hidden // 2,
        intermediate_size=2 * args.hidden,
        num_hidden_layers=max(2, args.layers // 2),
        num_attention_heads=max(1, args.hidden // 128),
        image_size=14 * args.grid,
        patch_size=14,
    )
    text = LlamaConfig(
        hidden_size=args.hidden,
        num_hidden_layers=args.layers,
        num_attention_heads=args.hidden // 64,
        num_key_value_heads=args.hidden // 64,
        intermediate_size=args.hidden * 11 // 4,
        vocab_size=8192,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE_TOKEN, image_seq_length=args.grid**2
    )
    model = LlavaForConditionalGeneration(config).to(args.device, getattr(torch, args.dtype)).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


def inputs(model: LlavaForConditionalGeneration, args: argparse.Namespace) -> dict[str, torch.Tensor]:
    dice = torch.Generator().manual_seed(1)
    words = torch.randint(20, 8192, (1, 40), generator=dice)
    ids = torch.cat([words[:, :8], torch.full((1, args.grid**2), IMAGE_TOKEN), words[:, 8:]], 1)
    picture = torch.randn(1, 3, 14 * args.grid, 14 * args.grid, generator=dice)
    return {
        "input_ids": ids.to(model.device),
        "attention_mask": torch.ones_like(ids).to(model.device),
        "pixel_values": picture.to(model.device, model.dtype),
    }


def seconds(
    model: LlavaForConditionalGeneration, method: Method, args: argparse.Namespace, *, drawn: bool = False
) -> float:
    given = inputs(model, args)
    clock = time.process_time if args.clock == "processor" else time.perf_counter
    start = clock()
    with method(model):
        out = model.generate(**given, max_new_tokens=args.new_tokens, do_sample=drawn)
    if model.device.type != "cpu":
        torch.cuda.synchronize()
    taken = clock() - start
    assert out.shape[1] == given["input_ids"].shape[1] + args.new_tokens, method
    return taken


def times(model: LlavaForConditionalGeneration, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Ratio of whole calls, and milliseconds per token, of every method that this model takes."""
    found: dict[str, dict[str, Any]] = {}
    seconds(model, Plain(), args)
    for name in args.methods:
        try:
            method = make_method(name, NEEDED.get(name, {}))
            drawn = needs_drawing(method)
            seconds(model, method, args, drawn=drawn)
        except (SettingError, UnsupportedModelError) as error:
            found[name] = {"refused": str(error)}
            continue
        pairs = [
            (seconds(model, Plain(), args, drawn=drawn), seconds(model, method, args, drawn=drawn))
            for _ in track(range(args.rounds), description=name, transient=True)
        ]
        ratios = [b / a for a, b in pairs]
        found[name] = {
            "ratio": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
            "token_ms": 1e3 * statistics.median(b for _, b in pairs) / args.new_tokens,
        }
    return found


def memory(args: argparse.Namespace) -> dict[str, float]:
    """Peak memory of a process that generates once, MiB, the median of three, by method."""
    env = {**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    names = ("hidden", "layers", "grid", "dtype", "device")
    passed = [f"--{name}={getattr(args, name)}" for name in names] + [f"--new-tokens={args.new_tokens}"]
    found = {}
    for name in track(args.methods, description="memory", transient=True):
        command = [sys.executable, __file__, "--memory-of", name, *passed]
        runs = [subprocess.run(command, capture_output=True, text=True, env=env) for _ in range(3)]
        if all(run.returncode == 0 for run in runs):
            found[name] = statistics.median(float(run.stdout.splitlines()[-1]) for run in runs)
    return found


def memory_of(args: argparse.Namespace) -> None:
    model = build(args)
    method = make_method(args.memory_of, NEEDED.get(args.memory_of, {}))
    seconds(model, method, args, drawn=needs_drawing(method))
    if args.device == "cpu":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    else:
        print(torch.cuda.max_memory_allocated() / 2**20)


def markdown(result: dict[str, Any]) -> str:
    lines = [
        "| method | time over greedy | per token | peak memory over greedy | published time, memory |",
        "|---|---|---|---|---|",
    ]
    base = result["memory"].get("plain")
    for name, row in result["times"].items():
        if "refused" in row:
            lines.append(f"| {name} | refused: {row['refused']} | | | |")
            continue
        kept = result["memory"].get(name)
        peak = f"{kept / base:.2f} ({kept:.0f} MiB)" if kept and base else ""
        published = "x{:.2f}, x{:.2f}".format(*PUBLISHED[name]) if name in PUBLISHED else ""
        lines.append(
            f"| {name} | **{row['ratio']:.2f}** [{row['least']:.2f}, {row['most']:.2f}] | {row['token_ms']:.1f} ms | "
            f"{peak} | {published} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--grid", type=int, default=16, help="visual tokens along one side")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7, help="pairs of calls")
    parser.add_argument(
        "--clock", choices=["wall", "processor"], default="wall", help="processor: where others use the machine too"
    )
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    decoding = [name for name, kind in METHODS.items() if kind.changes != "answer"]
    parser.add_argument("--methods", nargs="+", default=decoding, choices=decoding)
    parser.add_argument("--parts", nargs="+", default=["times", "memory"])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        memory_of(args)
        return
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        **{
            k: getattr(args, k)
            for k in ("hidden", "layers", "grid", "new_tokens", "rounds", "clock", "dtype", "device")
        },
        "times": {},
        "memory": {},
    }
    if "times" in args.parts:
        result["times"] = times(build(args), args)
    if "memory" in args.parts:
        result["memory"] = memory(args)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    Console().print(markdown(result), markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
