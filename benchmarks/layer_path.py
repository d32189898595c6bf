"""What a method adds to one layer of one decode step, in microseconds: Python and small operators around the kernel.

    python benchmarks/layer_path.py

A Llama of random weights with the shape of SmolLM2-135M (30 layers, width 576, 9 heads, 3 key heads), or a checkpoint
(``--model``), one thread, 200 tokens in the cache. Plain and FarSight rounds alternate; a figure is the least processor
time that a step took, because whatever else runs on the machine only adds to it. ``--method`` says how much of that is
FarSight's own: with ``none`` the taps are on and gate nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, DynamicCache, LlamaConfig, LlamaForCausalLM

from farsight import FarSight, Method, Plain
from farsight.attention import LayerCall, Tap, locate, tapped

SHAPE = {
    "vocab_size": 1000,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
}


class OnesOnly(Method, Tap):
    """Taps that gate nothing: what the way to a gate costs."""

    name = "none"
    paper = "a measurement"
    changes = "gate"

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        language_model = locate(model)
        with tapped(language_model, [(layer, self) for layer in language_model.layers]):
            yield

    def gate(self, lse: Tensor, call: LayerCall) -> Tensor:
        return lse


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
    options.add_argument("--method", choices=["farsight", "none"], default="farsight")
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(given.model) if given.model else LlamaForCausalLM(LlamaConfig(**SHAPE))
    model.eval()
    method = FarSight(horizon="infinite") if given.method == "farsight" else OnesOnly()
    plain, mitigated = [], []
    for _ in range(given.rounds):
        plain.append(least_step(model, Plain(), given.steps, given.context))
        mitigated.append(least_step(model, method, given.steps, given.context))
    added = min(mitigated) - min(plain)
    print(
        json.dumps(
            {
                "added_us_per_layer": round(added / model.config.num_hidden_layers * 1e6, 1),
                "plain_step_ms": round(min(plain) * 1e3, 3),
                "step_over_plain": round(min(mitigated) / min(plain), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
