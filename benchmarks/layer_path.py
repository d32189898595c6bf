"""What a method adds to one layer of one decode step, in microseconds: Python and small operators around the kernel.

    python benchmarks/layer_path.py

A Llama of random weights with the shape of SmolLM2-135M (30 layers, width 576, 9 heads, 3 key heads), or a checkpoint
(``--model``), one thread, 200 tokens in the cache. Two figures, each the least of many, because whatever else runs on
the machine only adds to it:

- ``call``: the attention function of one layer, called in bursts: plain, with registers, and the difference;
- ``step``: a whole decode step, plain and with FarSight in turns; the difference, by layer, has what a forward adds
  beside its layers in it, and on a busy machine is a small difference of large numbers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AutoModelForCausalLM, DynamicCache, LlamaConfig, LlamaForCausalLM

from farsight import FarSight, Method, Plain
from farsight.attention import locate

SHAPE = {
    "vocab_size": 1000,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
}


BURST = 40


def least_call(model: nn.Module, bursts: int, context: int) -> tuple[float, float]:
    """The least time of one call of a layer's attention, plain and with registers, in seconds."""
    layer = locate(model).layers[0]
    module: Any = layer.module
    heads, width = layer.heads, module.head_dim
    kv_heads = heads // module.num_key_value_groups
    query, key, value = (torch.randn(1, h, n, width) for h, n in ((heads, 1), (kv_heads, context), (kv_heads, context)))

    def burst(attend: Callable[..., object]) -> float:
        begin = time.perf_counter()
        for _ in range(BURST):
            attend(layer.module, query, key, value, None, dropout=0.0, scaling=width**-0.5)
        return (time.perf_counter() - begin) / BURST

    with torch.inference_mode(), FarSight(horizon="infinite")(model):
        model(torch.tensor([[7]]))  # the forward that the rows are of
        registered = AttentionInterface()[layer.config._attn_implementation]
        times = [(burst(AttentionInterface()["sdpa"]), burst(registered)) for _ in range(bursts)]
    return min(plain for plain, _ in times), min(gated for _, gated in times)


def least_step(model: nn.Module, method: Method, steps: int, context: int) -> float:
    """The least processor time of one decode step after a prompt of ``context`` tokens, in seconds."""
    cache = DynamicCache(config=model.config)
    token, times = torch.tensor([[7]]), []
    with torch.inference_mode(), method(model):
        model(torch.arange(context).unsqueeze(0) % 1000, past_key_values=cache)
        for _ in range(steps):
            begin = time.process_time()
            model(token, past_key_values=cache)
            times.append(time.process_time() - begin)
            cache.crop(-1)
    return min(times)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--context", type=int, default=200)
    options.add_argument("--model", help="folder of a checkpoint")
    options.add_argument("--bursts", type=int, default=1500)
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(given.model) if given.model else LlamaForCausalLM(LlamaConfig(**SHAPE))
    model.eval()
    method = FarSight(horizon="infinite")
    call, gated = least_call(model, given.bursts, given.context)
    plain, mitigated = [], []
    for _ in range(given.rounds):
        plain.append(least_step(model, Plain(), given.steps, given.context))
        mitigated.append(least_step(model, method, given.steps, given.context))
    added = min(mitigated) - min(plain)
    by_layer = added / model.config.num_hidden_layers
    print(
        json.dumps(
            {
                "call_us": {"sdpa": us(call), "registers": us(gated), "added": us(gated - call)},
                "step_us": {"plain": us(min(plain)), "added_per_layer": us(by_layer)},
            }
        )
    )


def us(seconds: float) -> float:
    """Microseconds."""
    return round(seconds * 1e6, 1)


if __name__ == "__main__":
    main()
