"""Draw one figure of captions in many runs of ``farsight eval``: a panel for each method, a row for each run.

python benchmarks/results_picture.py --figure chair_i --form counted --methods beam constant --out FILE.png RUN ...
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from results_table import CAPTIONS

from farsight.evaluate.verdicts import direction
from farsight.files import write
from farsight.report import charts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--figure", choices=CAPTIONS, default="chair_i")
    parser.add_argument("--form", choices=("free", "counted"), default="counted")
    parser.add_argument("--methods", nargs="+", required=True, metavar="LABEL", help="as they are called in the runs")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    options = parser.parse_args()
    title, _, scale = CAPTIONS[options.figure]
    runs = {folder.name: json.loads((folder / "results.json").read_text())["parts"] for folder in options.runs}
    with charts.figure(11, 1.2 + 0.28 * len(runs)) as drawn:
        axes = drawn.subplots(1, len(options.methods), sharex=True, sharey=True, squeeze=False).flat
        for one, label in zip(axes, options.methods, strict=True):
            found = [parts[options.form]["differences"][label][options.figure] for parts in runs.values()]
            charts.differences(
                one,
                [tuple(scale * it[name] for name in ("low", "difference", "high")) for it in found],
                better=direction(options.figure),
            )
            one.set_title(label.replace("(", "\n(").replace(", ", ",\n"))
        first = axes[0]
        first.set_yticklabels(list(runs))
        drawn.supxlabel(f"{title} of {options.form} captions, difference to greedy decoding in percentage points")
    write(options.out, [charts.image(drawn)])


if __name__ == "__main__":
    main()
