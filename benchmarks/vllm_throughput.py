"""What registers cost in vLLM: tokens per second with the plugin over those without it.

    python benchmarks/vllm_throughput.py                                     # the embedded model, a minute or two
    python benchmarks/vllm_throughput.py --model llava-hf/llava-1.5-7b-hf --requests 256 --options '{}'    # on a GPU

Plain, FarSight, and FarSight on generated rows alone are engines in one process and alternate run by run (A, B, C, A,
B, C, ...) on the same requests, each with a picture of its own; a ratio is that of neighbours, and their median is
printed with the least and the greatest. With few new tokens (--tokens 1) most of the time goes into the prompts.
Next to the time by the clock stands the processor time of the process, which other processes of a busy machine disturb
less (on a GPU it says nothing). Prefix caching is off, so that every run does all the work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from typing import Any

SMALL = {"dtype": "float32", "enforce_eager": True, "max_model_len": 512, "kv_cache_memory_bytes": 2**27}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="folder or name on the hub")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of each request")
    parser.add_argument("--rounds", type=int, default=9, help="pairs of runs that count; one more warms up")
    parser.add_argument("--settings", type=json.loads, default={}, help="FarSight's, as JSON")
    parser.add_argument("--options", type=json.loads, default=SMALL, help="of vllm.LLM, as JSON")
    arguments = parser.parse_args()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")

    engines = {
        "plain": engine(arguments, {}),
        "farsight": engine(arguments, {"farsight": arguments.settings}),
        "on generated rows": engine(arguments, {"farsight": {**arguments.settings, "rows": "generated"}}),
    }
    asked = [conversation(number) for number in range(arguments.requests)]
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for _ in range(arguments.rounds + 1):
        for name, llm in engines.items():
            seconds[name].append(timed(llm, asked, arguments.tokens))
    total = arguments.requests * arguments.tokens
    print(f"{platform.machine()}, {os.cpu_count()} cores; {arguments.model}, {arguments.requests} requests at once")
    print(f"{arguments.tokens} new tokens each, {arguments.rounds} pairs of runs")
    for which, unit in enumerate(("second", "second of processor time")):
        show(unit, total, {name: [times[which] for times in all_times[1:]] for name, all_times in seconds.items()})


def show(unit: str, tokens: int, seconds: dict[str, list[float]]) -> None:
    rates = ", ".join(f"{name} {tokens / statistics.median(times):.1f}" for name, times in seconds.items())
    print(f"new tokens per {unit}: {rates}")
    for name in list(seconds)[1:]:
        ratios = [plain / ours for plain, ours in zip(seconds["plain"], seconds[name], strict=True)]
        print(f"  {name} over plain: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def engine(arguments: argparse.Namespace, config: dict[str, Any]) -> Any:
    from vllm import LLM

    from farsight_scenes import checkpoint_path

    model = str(checkpoint_path()) if arguments.model == "embedded" else arguments.model
    return LLM(model=model, additional_config=config, enable_prefix_caching=False, **arguments.options)


def conversation(number: int) -> list[dict[str, Any]]:
    from farsight_scenes import sample_scene
    from farsight_scenes.render import render

    picture = render(sample_scene("test", number))
    text = {"type": "text", "text": "Describe this image in detail."}
    return [{"role": "user", "content": [{"type": "image_pil", "image_pil": picture}, text]}]


def timed(llm: Any, asked: list[list[dict[str, Any]]], tokens: int) -> tuple[float, float]:
    from vllm import SamplingParams

    how = SamplingParams(max_tokens=tokens, temperature=0, ignore_eos=True)
    start = time.perf_counter(), time.process_time()
    made = llm.chat(asked, how, use_tqdm=False)
    taken = time.perf_counter() - start[0], time.process_time() - start[1]
    assert all(len(one.outputs[0].token_ids) == tokens for one in made)
    return taken


if __name__ == "__main__":
    main()
