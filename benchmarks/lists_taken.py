"""Measure from whom registers take on lists that nothing is reported of, and split heads by the sink that they have.

    python benchmarks/lists_taken.py OBJECTS.jsonl --out benchmarks/lists_sinks.yaml

Rows that generate attend to the first token (the sink), to the list that they are told, to the rest of the prompt and
to their own text. A table shows the share of each in plain decoding and what registers take of it, in all heads and in
the halves with the larger and the smaller sink; the file has FarSight in either half.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import torch
import yaml

from farsight.attention import LayerCall, locate, watched
from farsight.evaluate.list_tasks import GENERATION, list_items
from farsight.evaluate.local import answer
from farsight.farsight import FarSight
from farsight.files import write
from farsight.inputs import named_models
from farsight.method import Plain
from farsight.metrics.captions import read_objects
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import coco

SKIP = 929
"""Lists before those that are for calibrating."""
SOURCES = ("first token", "list", "rest of the prompt", "own text")


def sources(encoding: object, prompt: str, told: str) -> torch.Tensor:
    """Which of the first three `SOURCES` each token of a prompt is."""
    start = prompt.rindex(told)
    inside = [a < start + len(told) and b > start for a, b in encoding["offset_mapping"]]  # type: ignore[index]
    found = torch.tensor([1 if one else 2 for one in inside])
    found[0] = 0
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--sigma", type=float, default=0.1)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.yaml")
    options = parser.parse_args()
    items = list_items(read_objects(options.objects, coco(), Reader()), "", skip=SKIP, limit=options.count)
    loaded = named_models.load(options.model, None, None, None)
    language_model = locate(loaded.model)
    layers, heads = len(language_model.layers), language_model.layers[0].heads
    method = FarSight(sigma=options.sigma, rows="generated")
    plain, left, taken = (torch.zeros(layers, heads, len(SOURCES), dtype=torch.float64) for _ in range(3))
    rows: Counter[str] = Counter()
    of_prompt = torch.empty(0)

    def see(call: LayerCall) -> None:
        if call.key.shape[2] < len(of_prompt):  # the examples alone, which all prompts begin with
            return
        weights = call.scored(call.query.shape[2] - 1, call.query.shape[2]).weights[0, :, 0].double()
        source = torch.full((weights.shape[1],), 3)
        source[: len(of_prompt)] = of_prompt
        shares = weights @ torch.nn.functional.one_hot(source, len(SOURCES)).double()
        if call.factor is None:
            plain[call.index] += shares
        else:
            kept = call.factor[0, :, -1:].double()
            left[call.index] += shares * kept
            taken[call.index] += shares * (1 - kept)
        rows["plain" if call.factor is None else "registers"] += call.index == 0

    for item in items:
        told = ", ".join(item.truth["objects"])
        of_prompt = sources(loaded.tokenizer(item.prompt, return_offsets_mapping=True), item.prompt, told)
        for one in (Plain(), method):
            with watched(language_model, see):
                answer(
                    loaded,
                    one,
                    [None],
                    [item.prompt],
                    max_new_tokens=item.max_new_tokens,
                    generation=GENERATION,
                    medium="completion",
                )
    plain, left, taken = plain / rows["plain"], left / rows["registers"], taken / rows["registers"]
    sink = plain[..., 0]
    large = sink >= sink.median()
    print("| share of the attention of rows that generate | " + " | ".join(SOURCES) + " | registers |")
    print("|---" * (len(SOURCES) + 2) + "|")

    def row(name: str, of: torch.Tensor, registers: float | None) -> None:
        cells = [f"{100 * float(value):.1f}" for value in of] + ["" if registers is None else f"{100 * registers:.1f}"]
        print(f"| {name} | {' | '.join(cells)} |")

    for name, part in (
        ("all heads", torch.ones_like(large)),
        ("half with the larger sink", large),
        ("half with the smaller", ~large),
    ):
        row(f"{name}: plain", plain[part].mean(0), None)
        row(f"{name}: with registers", left[part].mean(0), float(taken[part].sum(-1).mean()))
        row(f"{name}: taken of it, % of each", (taken / (left + taken))[part].mean(0), None)
        whole = taken[part].mean(0)
        row(f"{name}: where what was taken comes from", whole / whole.sum(), None)
    settings = [
        {
            "method": "farsight",
            "sigma": options.sigma,
            "rows": "generated",
            "strength": [[float(one) for one in layer] for layer in part.long().tolist()],
            "label": f"farsight, heads with the {name} sink",
        }
        for name, part in (("larger", large), ("smaller", ~large))
    ]
    where = f"over and under {float(sink.median()):.3f}, measured on {len(items)} lists"
    comment = f"# FarSight in heads whose mean share on the first token is {where}: benchmarks/lists_taken.py\n"
    write(options.out, [comment, yaml.safe_dump({"methods": settings}, default_flow_style=None, width=120)])


if __name__ == "__main__":
    main()
