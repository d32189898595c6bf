"""How likely plain decoding finds the captions of a run of ``farsight eval``: does a method break the language?

    python benchmarks/answer_perplexity.py RUN --model MODEL --count 100 > perplexity.json
    python benchmarks/results_table.py --perplexity perplexity.json RUN

The perplexity per token of the first captions of each form, by the model without any method; over captions the
geometric mean. The ratio is that to the first method on the same pictures, with its 95 % paired bootstrap interval.
Greedy text is likely by construction, so a ratio a little above 1 is no fault; a broken sentence costs far more.
Descriptions of lists have no picture: the model is given their prompt alone.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from farsight.evaluate.perplexity import perplexity
from farsight.images import open_frames, open_image
from farsight.inputs.named_models import EMBEDDED, load
from farsight.metrics.paired import ratio_difference


def captions(run: Path, count: int) -> dict[str, dict[str, dict[str, Any]]]:
    """The first answers of each form of captions, by method and item."""
    results = json.loads((run / "results.json").read_text())
    forms = [name for name, part in results["parts"].items() if part["kind"] == "caption"]
    found: dict[str, dict[str, dict[str, Any]]] = {
        form: {label: {} for label in results["config"]["methods"]} for form in forms
    }
    for line in (run / "answers.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["part"] in forms and len(found[row["part"]][row["method"]]) < count:
            found[row["part"]][row["method"]][row["item"]] = row
    return found


def compared(logs: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Perplexity of each method, and its ratio to the first one's on the items that all have."""
    items = sorted(set.intersection(*(set(one) for one in logs.values())))
    baseline, *_ = logs
    ones = [1.0] * len(items)
    first = [logs[baseline][item] for item in items]
    rows = {}
    for label, of_label in logs.items():
        other = [of_label[item] for item in items]
        found = ratio_difference("log perplexity", (first, ones), (other, ones))
        rows[label] = {
            "perplexity": math.exp(sum(other) / len(other)),
            "ratio": math.exp(found.other - found.baseline),
            "low": math.exp(found.low),
            "high": math.exp(found.high),
            "items": len(items),
        }
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--model", default=EMBEDDED, help="the model of the run; the embedded one by default")
    parser.add_argument("--count", type=int, default=100, help="captions of each form and method")
    options = parser.parse_args()
    pictures = options.run / "pictures"
    videos = pictures.is_dir() and any(one.is_dir() for one in pictures.iterdir())  # a video is a folder of frames
    loaded = load(options.model, None, None, None, videos=videos)
    shown: dict[str, dict[str, dict[str, float]]] = {}
    for form, methods in captions(options.run, options.count).items():
        logs: dict[str, dict[str, float]] = {}
        known: dict[tuple[str, str], float] = {}
        for label, rows in track(methods.items(), f"{form} captions", console=Console(file=sys.stderr)):
            logs[label] = {}
            for item, row in rows.items():
                if not row["text"].strip():
                    continue
                key = (item, row["text"])  # methods that change nothing say the same
                if key not in known:
                    told = row["image"] is None
                    visual = None if told else (open_frames if videos else open_image)(pictures / row["image"])
                    chat = not told or row["part"] == "chat"
                    known[key] = math.log(perplexity(loaded, visual, row["prompt"], row["text"], chat=chat))
                logs[label][item] = known[key]
        shown[form] = compared(logs)
    print(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
