"""Measure the mean gates of registers on lists that nothing is reported of, and write them as constant gates.

    python benchmarks/lists_gates.py OBJECTS.jsonl --out benchmarks/lists_controls.yaml

One constant gate has their mean, the other each head's own: what is left of an effect beside them is not that rows are
weaker, nor that heads are, but which rows are.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import torch
import yaml

from farsight.attention import LayerCall, locate, watched
from farsight.evaluate.list_tasks import GENERATION, list_items
from farsight.evaluate.local import answer
from farsight.farsight import FarSight
from farsight.files import write
from farsight.inputs import named_models
from farsight.metrics.captions import read_objects
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import coco

SKIP, BATCH = 929, 15
"""Lists before those that are for calibrating, and lists at a time."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--sigma", type=float, default=0.1)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.yaml")
    options = parser.parse_args()
    items = list_items(read_objects(options.objects, coco(), Reader()), "completion", skip=SKIP)
    loaded = named_models.load(options.model, None, None, None)
    gates: defaultdict[int, list[torch.Tensor]] = defaultdict(list)

    def see(call: LayerCall) -> None:
        if call.factor is not None:
            gates[call.index].append(call.factor[:, :, -1].double().mean(0))

    method = FarSight(sigma=options.sigma, rows="generated")
    for start in range(0, len(items), BATCH):
        prompts = [item.prompt for item in items[start : start + BATCH]]
        with watched(locate(loaded.model), see):
            answer(
                loaded,
                method,
                [None] * len(prompts),
                prompts,
                max_new_tokens=items[0].max_new_tokens,
                generation=GENERATION,
                medium="completion",
            )
    heads = torch.stack([torch.stack(gates[index]).mean(0) for index in sorted(gates)])
    rounded = [[round(float(value), 4) for value in layer] for layer in heads]
    methods = [
        "greedy",
        {"method": "constant", "rows": "generated", "value": round(float(heads.mean()), 4), "label": "constant, mean"},
        {"method": "constant", "rows": "generated", "value": rounded, "label": "constant, mean of each head"},
    ]
    comment = f"# Mean gates of {method} on {len(items)} lists: benchmarks/lists_gates.py\n"
    write(options.out, [comment, yaml.safe_dump({"methods": methods}, default_flow_style=None, width=120)])


if __name__ == "__main__":
    main()
