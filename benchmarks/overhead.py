"""What FarSight costs: decode step, prefill and memory over plain decoding, and the speed-up over the released way.

    python benchmarks/overhead.py                 # everything, about 15 minutes on two CPU cores
    python benchmarks/overhead.py --device cuda --dtype bfloat16 --hidden 4096 --layers 32

Plain and FarSight alternate forward by forward in one process (A, B, A, B, ...); every ratio is the median of the
ratios of neighbours. Memory is the peak of a process of its own that does nothing but one `generate`, the median of
three.
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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from released import released_step
from rich.console import Console
from rich.progress import track
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
from transformers.generation.streamers import BaseStreamer

from farsight import FarSight, Method, Plain

PLAIN = Plain()
METHODS: dict[str, Method] = {
    "plain": PLAIN,
    "generation": FarSight(),
    "infinite": FarSight(horizon="infinite"),
}


class Clock(BaseStreamer):
    """Notes the time of every token; the first is the prompt's own."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def end(self) -> None: ...


def build(args: argparse.Namespace) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=args.hidden,
        num_hidden_layers=args.layers,
        num_attention_heads=args.hidden // 64,
        num_key_value_heads=args.hidden // 64,
        intermediate_size=args.hidden * 11 // 4,
        vocab_size=8192,
        max_position_embeddings=16384,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config).to(args.device, getattr(torch, args.dtype)).eval()
    model.set_attn_implementation(args.attention)
    return model


def prompt(args: argparse.Namespace, length: int) -> torch.Tensor:
    return torch.randint(1, 8192, (1, length), generator=torch.Generator().manual_seed(length)).to(args.device)


def run(model: LlamaForCausalLM, method: Method, ids: torch.Tensor, new: int) -> tuple[float, list[float]]:
    """Seconds of the prefill (to the first token) and of each decode step after it."""
    clock = Clock(ids.device.type)
    with method(model):
        start = time.perf_counter()
        model.generate(ids, max_new_tokens=new, do_sample=False, streamer=clock)
    first = clock.times[1]
    return first - start, [b - a for a, b in zip(clock.times[1:], clock.times[2:], strict=False)]


def overhead(model: LlamaForCausalLM, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Prefill and decode steps, plain and registered turn and turn about, one forward at a time.

    Registers have an integer horizon beyond the end, or an infinite one: what `generate` computes at every step.
    Which of the two goes first changes with every pair.
    """
    rows = []
    for context in args.contexts:
        ids = prompt(args, context)
        for name, method in contenders(context).items():
            prefills = max(3, args.rounds * 512 // max(context, 512))
            pairs, caches = [], (DynamicCache(), DynamicCache())
            for turn in track(range(prefills + 1), description=f"{context} tokens, {name}: prefill", transient=True):
                caches = (DynamicCache(), DynamicCache())
                pairs.append(timed_pair(model, method, ids, caches, turn))
            prefill = ratios(pairs[1:])
            steps = []
            for turn in track(range(args.steps), description=f"{context} tokens, {name}: decode", transient=True):
                steps.append(timed_pair(model, method, ids[:, -1:], caches, turn))
                for cache in caches:
                    cache.crop(-1)
            decode = ratios(steps[3:])
            rows.append(
                {
                    "context": context,
                    "horizon": name,
                    "prefills": len(prefill),
                    "steps": len(decode),
                    "decode_ratio": statistics.median(decode),
                    "decode_quartiles": quartiles(decode),
                    "prefill_ratio": statistics.median(prefill),
                    "prefill_quartiles": quartiles(prefill),
                    "plain_step_ms": 1e3 * statistics.median(plain for plain, _ in steps),
                    "plain_prefill_ms": 1e3 * statistics.median(plain for plain, _ in pairs),
                }
            )
    return rows


def contenders(context: int) -> dict[str, Method]:
    """What is compared with plain decoding; plain decoding itself shows what the measurement makes of nothing."""
    return {
        "finite": FarSight(horizon=context + 512),
        "infinite": FarSight(horizon="infinite"),
        "(plain again)": PLAIN,
    }


def timed_pair(
    model: LlamaForCausalLM, method: Method, ids: torch.Tensor, caches: tuple[DynamicCache, DynamicCache], turn: int
) -> list[float]:
    """Seconds of one forward, plain and with ``method``; which goes first changes with every turn."""
    seconds = [0.0, 0.0]
    for which in (0, 1) if turn % 2 else (1, 0):
        with (PLAIN, method)[which](model):
            forward = partial(model, ids, past_key_values=caches[which], logits_to_keep=1)
            seconds[which] = timed(forward, ids.device.type)
    return seconds


def ratios(pairs: list[list[float]]) -> list[float]:
    return [method / plain for plain, method in pairs]


def quartiles(values: Any) -> tuple[float, float]:
    low, _, high = statistics.quantiles(values, n=4)
    return low, high


def peak_memory(args: argparse.Namespace, context: int) -> list[dict[str, Any]]:
    """Peak memory of a fresh process that generates once, per method, and its ratio to plain decoding's."""
    # without these glibc keeps what is freed, and the peak says more about its habits than about the program
    env = {**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    rows = []
    for name in ("plain", "generation", "infinite"):
        command = [sys.executable, __file__, "--memory-of", name, "--context", str(context), *passed(args)]
        runs = [
            json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.splitlines()[-1]
            )
            for _ in range(3)
        ]
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        rows.append({"context": context, "horizon": name, **middle})
    for row in rows:
        row["ratio"] = row["peak_mib"] / rows[0]["peak_mib"]
        row["beyond_model_ratio"] = row["beyond_model_mib"] / rows[0]["beyond_model_mib"]
    return rows[1:]


def memory_of(args: argparse.Namespace) -> None:
    model = build(args)
    ids = prompt(args, args.context)
    if args.device == "cpu":
        model(prompt(args, 8))
        loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    else:
        loaded = torch.cuda.memory_allocated() / 2**20
    with METHODS[args.memory_of](model):
        model.generate(ids, max_new_tokens=8, do_sample=False)
    peak = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if args.device == "cpu"
        else torch.cuda.max_memory_allocated() / 2**20
    )
    print(json.dumps({"peak_mib": peak, "beyond_model_mib": peak - loaded}))


def against_released(model: LlamaForCausalLM, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds for 64, 256 and 512 new tokens after a 600-token prompt, by the released way and by ours.

    The released way recomputes the whole sequence for every token. One step in 32 is timed, and the steps between are
    taken to cost what their neighbours do (trapezoid).
    """
    start, counts = 600, args.new_tokens
    ids = prompt(args, start + max(counts))
    released_step(model, ids[:, :start])
    sampled = {
        length: timed(partial(released_step, model, ids[:, :length]), args.device)
        for length in track(range(start, start + max(counts) + 1, 32), description="released way", transient=True)
    }
    rows = []
    for new in counts:
        released = sum(16 * (sampled[at] + sampled[at + 32]) for at in range(start, start + new, 32))
        row: dict[str, Any] = {"new_tokens": new, "released_s": released}
        for name in ("plain", "generation"):
            prefill, steps = run(model, METHODS[name], ids[:, :start], new)
            row[f"{name}_s"] = prefill + sum(steps)
        rows.append(row)
    return rows


def timed(action: Callable[[], Any], device: str) -> float:
    start = time.perf_counter()
    action()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def passed(args: argparse.Namespace) -> list[str]:
    return [f"--{name}={getattr(args, name)}" for name in ("hidden", "layers", "dtype", "device", "attention")]


def markdown(result: dict[str, Any]) -> str:
    lines = ["| context | horizon | decode step | prefill | plain step, prefill |", "|---|---|---|---|---|"]
    lines += [
        f"| {r['context']} | {r['horizon']} | **{r['decode_ratio']:.3f}** [{r['decode_quartiles'][0]:.3f}, "
        f"{r['decode_quartiles'][1]:.3f}] | **{r['prefill_ratio']:.3f}** [{r['prefill_quartiles'][0]:.3f}, "
        f"{r['prefill_quartiles'][1]:.3f}] | {r['plain_step_ms']:.1f} ms, {r['plain_prefill_ms']:.0f} ms |"
        for r in result["overhead"]
    ]
    lines += ["", "| context | horizon | peak memory | beyond the model |", "|---|---|---|---|"]
    lines += [
        f"| {r['context']} | {r['horizon']} | **{r['ratio']:.4f}** ({r['peak_mib']:.0f} MiB) | "
        f"{r['beyond_model_ratio']:.3f} |"
        for r in result["memory"]
    ]
    lines += [
        "",
        "| new tokens | released way | plain | FarSight | speed-up |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['new_tokens']} | {r['released_s']:.1f} s | {r['plain_s']:.1f} s | {r['generation_s']:.1f} s | "
        f"**{r['released_s'] / r['generation_s']:.1f}x** |"
        for r in result["released"]
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--contexts", type=int, nargs="+", default=[128, 1024, 4096])
    parser.add_argument("--new-tokens", type=int, nargs="+", default=[64, 256, 512])
    parser.add_argument("--rounds", type=int, default=16, help="pairs of prefills at up to 512 tokens, fewer beyond")
    parser.add_argument("--steps", type=int, default=100, help="pairs of decode steps")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--parts", nargs="+", default=["overhead", "memory", "released"])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--context", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        memory_of(args)
        return
    started = time.perf_counter()
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        **{k: getattr(args, k) for k in ("hidden", "layers", "dtype", "device")},
        "overhead": [],
        "memory": [],
        "released": [],
    }
    with torch.inference_mode():
        if "memory" in args.parts:
            result["memory"] = [row for context in args.contexts for row in peak_memory(args, context)]
        model = build(args)
        if "overhead" in args.parts:
            result["overhead"] = overhead(model, args)
        if "released" in args.parts:
            result["released"] = against_released(model, args)
    result["seconds"] = time.perf_counter() - started
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    Console().print(markdown(result), markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
