"""What a method adds to one layer of one decode step, in microseconds: Python and small operators around the kernel.

    python benchmarks/layer_path.py

A Llama of random weights with the shape of SmolLM2-135M (30 layers, width 576, 9 heads, 3 key heads), one thread, 200
tokens in the cache. Plain and FarSight steps alternate; figures are of processor time, the median of the differences.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from farsight import FarSight, Method, Plain

SHAPE = {
    "vocab_size": 1000,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
}


def step_time(model: LlamaForCausalLM, method: Method, steps: int, context: int) -> float:
    """Processor time of one decode step, in seconds: the mean of ``steps``, after a prompt of ``context`` tokens."""
    cache = DynamicCache(config=model.config)
    with torch.inference_mode(), method(model):
        model(torch.arange(context).unsqueeze(0) % 1000, past_key_values=cache)
        token = torch.tensor([[7]])
        model(token, past_key_values=cache)
        begin = time.process_time()
        for _ in range(steps):
            model(token, past_key_values=cache)
        return (time.process_time() - begin) / steps


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--context", type=int, default=200)
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
    method, layers = FarSight(horizon="infinite"), SHAPE["num_hidden_layers"]
    added, ratios = [], []
    for _ in range(given.rounds):
        plain = step_time(model, Plain(), given.steps, given.context)
        mitigated = step_time(model, method, given.steps, given.context)
        added.append((mitigated - plain) / layers * 1e6)
        ratios.append(mitigated / plain)
    print(
        json.dumps(
            {
                "added_us_per_layer": round(statistics.median(added), 1),
                "least": round(min(added), 1),
                "most": round(max(added), 1),
                "step_over_plain": round(statistics.median(ratios), 3),
                "plain_step_ms": round(plain * 1e3, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
