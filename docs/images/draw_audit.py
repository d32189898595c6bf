"""Draw the curves of docs/audit.md from the real captions of four models, and print its tables.

    python docs/images/draw_audit.py DATA

DATA is a folder with ``captions/MODEL/DECODING.jsonl`` and ``coco_objects.jsonl``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from farsight.metrics import chair
from farsight.metrics.comparison import compare
from farsight.metrics.snowball import audit
from farsight.report.audit import draw_curves, draw_ranks, overview
from farsight.report.charts import image

MODELS = ("llava-1.5", "instructblip", "minigpt4", "shikra")
DECODINGS = ("greedy", "beam5", "opera")


def main() -> None:
    data, here = Path(sys.argv[1]), Path(__file__).parent
    scores = {
        f"{model}, {decoding}": chair.score(
            data / "captions" / model / f"{decoding}.jsonl", data / "coco_objects.jsonl"
        )
        for model in MODELS
        for decoding in DECODINGS
    }
    audits = {name: audit(score) for name, score in scores.items()}
    greedy = {name.split(",")[0]: found for name, found in audits.items() if name.endswith("greedy")}
    (here / "audit.png").write_bytes(image(draw_curves(greedy)))
    (here / "audit_ranks.png").write_bytes(image(draw_ranks(greedy)))
    table = overview(audits, scores)
    for row in (table.columns, ["---"] * len(table.columns), *table.rows):
        print(f"| {' | '.join(row)} |")
    print("\n| opera minus greedy | snowball | CHAIR_I | recall | words |\n|---|---|---|---|---|")
    for model in MODELS:
        found = compare(scores[f"{model}, greedy"], scores[f"{model}, opera"])
        shares = [found[key].shown() for key in ("snowball", "chair_i", "recall")]
        print(f"| {' | '.join([model, *shares, found['words'].shown(scale=1)])} |")


if __name__ == "__main__":
    main()
