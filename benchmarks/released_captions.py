"""Measure captions that authors released: what a method changed, and what is left of it when neither side says less.

    python benchmarks/released_captions.py DIR --objects DIR/objects.jsonl --page docs/released.md

``DIR`` holds folders of JSON Lines (``image_id``, ``caption``), one file a method; files of one folder are of the same
pictures. ``greedy.jsonl`` is a folder's baseline; ``--baseline FOLDER=FILE`` names another, or one more.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from farsight.files import write
from farsight.metrics import chair
from farsight.metrics.chair import CaptionScore, ChairScore
from farsight.metrics.comparison import compare
from farsight.metrics.cuts import Cut
from farsight.metrics.equal_recall import Stopped, at_equal_recall, stopped
from farsight.metrics.paired import Difference, ratio_difference
from farsight.metrics.snowball import audit
from farsight.metrics.vocabulary import coco
from farsight.report import charts

SHOWN = {
    "recall": "recall", "chair_s": "CHAIR_S", "chair_s_same_words": "CHAIR_S, same words",
    "chair_s_same_objects": "CHAIR_S, same number of objects", "chair_s_at_equal_recall": "CHAIR_S, baseline stopped",
}  # fmt: skip
REST = {
    "chair_i": "CHAIR_I", "chair_i_distinct": "CHAIR_D", "chair_d_same_objects": "CHAIR_D, same number of objects",
    "first_3": "first-3", "f1": "F1", "objects": "objects", "words": "words", "repetition_4": "rep-4",
    "snowball": "two false", "psh": "PSH",
}  # fmt: skip
UNSCALED = ("objects", "words")
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A method's captions against a baseline's."""

    folder: str
    method: str
    baseline: str
    scores: tuple[ChairScore, ChairScore]
    figures: dict[str, Difference]
    """Of captions of other pictures than the baseline's, only CHAIR_S at equal recall."""
    stopped_after: float

    def record(self) -> dict[str, object]:
        """Give the figures for a JSON file."""
        return {
            "folder": self.folder, "method": self.method, "baseline": self.baseline,
            "scores": [score.record() for score in self.scores],
            "rank_matched_ratios": [ratio(score) for score in self.scores],
            "figures": {name: figure.record() for name, figure in self.figures.items()},
            "baseline_stopped_after_words": self.stopped_after,
        }  # fmt: skip


def ratio(score: ChairScore) -> float | None:
    """The rank-matched snowball ratio; None where no caption goes on after a false object."""
    found = audit(score, resamples=2).ratio
    return None if found is None else found.value


def measured(
    folder: str, names: tuple[str, str], baseline: ChairScore, other: ChairScore, stops: Stopped, objects: Path
) -> Pair:
    """Compare a method with its baseline, whole and cut."""
    figures: dict[str, Difference] = {}
    first = {one.caption.image_id: one for one in baseline.captions}
    second = {one.caption.image_id: one for one in other.captions}
    if set(first) == set(second):
        pairs = [(first[image], second[image]) for image in first]
        figures = compare(baseline, other)
        figures["chair_s_same_words"] = same_words(pairs, objects)
        for name, terms in (("chair_s_same_objects", _any_false), ("chair_d_same_objects", _false)):
            sides = [[terms(pair[side], min(len(one.distinct) for one in pair)) for pair in pairs] for side in (0, 1)]
            one, two = map(np.array, sides)
            figures[name] = ratio_difference(name, (one[:, 0], one[:, 1]), (two[:, 0], two[:, 1]))
    figures["chair_s_at_equal_recall"], stopped_after = at_equal_recall(stops, other)
    return Pair(
        folder=folder,
        method=names[1],
        baseline=names[0],
        scores=(baseline, other),
        figures=figures,
        stopped_after=stopped_after,
    )


def same_words(pairs: Iterable[tuple[CaptionScore, CaptionScore]], objects: Path) -> Difference:
    """CHAIR_S of both where each picture's two captions are cut to the words of the shorter one."""
    texts: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for pair in pairs:
        cut = Cut(words=min(one.length for one in pair))
        for side, one in zip(texts, pair, strict=True):
            side[one.caption.image_id] = cut.text(one.caption.text, coco())
    return compare(*(chair.score(side, objects) for side in texts), resamples=9999)["chair_s"]


def _any_false(caption: CaptionScore, count: int) -> tuple[int, int]:
    return int(caption.false_among_first(count)[0] > 0), 1


def _false(caption: CaptionScore, count: int) -> tuple[int, int]:
    return caption.false_among_first(count)


def read(folder: Path, objects: Path, baselines: dict[str, list[Path]], name: str) -> list[Pair]:
    """Measure every method of a folder against each of its baselines."""
    files = sorted(folder.glob("*.jsonl"))
    pairs = []
    for file in baselines.get(name) or [path for path in files if path.stem == "greedy"]:
        baseline = chair.score(file, objects)
        stops = stopped(baseline, coco())
        own = file.parent == folder
        for path in track([path for path in files if path != file and not (own and path.stem == "greedy")], name):
            label = file.stem if own else f"{file.stem} ({file.parent.name})"
            pairs.append(measured(name, (label, path.stem), baseline, chair.score(path, objects), stops, objects))
    if not pairs:
        raise SystemExit(f"{name}: has no greedy.jsonl: give what it is compared with by --baseline {name}=FILE")
    return pairs


def shown(figure: Difference, scale: float = 100.0) -> str:
    """A difference with its interval; bold where the interval leaves out 0."""
    text = f"{scale * figure.value:+.1f} [{scale * figure.low:+.1f}, {scale * figure.high:+.1f}]"
    return f"**{text}**" if figure.low > 0 or figure.high < 0 else text


def table(pairs: list[Pair], columns: dict[str, str]) -> list[str]:
    """Differences in Markdown, in percentage points but for words and objects."""
    lines = [f"| captions | method | {' | '.join(columns.values())} |", "|---|---" + "|---" * len(columns) + "|"]
    for pair in pairs:
        cells = [
            shown(pair.figures[name], 1.0 if name in UNSCALED else 100.0) if name in pair.figures else ""
            for name in columns
        ]
        lines.append(f"| {pair.folder}, {pair.baseline} | {pair.method} | {' | '.join(cells)} |")
    return lines


def yardsticks(pairs: list[Pair]) -> list[str]:
    """CHAIR_S beside the baseline that stops earlier, and the snowball ratios."""
    lines = [
        (
            "| captions | method | CHAIR_S | baseline, whole | baseline, stopped | after words | its snowball ratio | "
            "the method's |\n|---|---|---|---|---|---|---|---|"
        )
    ]
    for pair in pairs:
        (baseline, other), cut = pair.scores, pair.figures["chair_s_at_equal_recall"]
        ratios = ["-" if found is None else f"{found:.2f}" for found in map(ratio, pair.scores)]
        numbers = [f"{100 * value:.1f}" for value in (other.chair_s, baseline.chair_s, cut.baseline)]
        lines.append(
            f"| {pair.folder}, {pair.baseline} | {pair.method} | "
            + " | ".join([*numbers, f"{pair.stopped_after:.0f}", *ratios])
            + " |"
        )
    return lines


def summary(pairs: list[Pair]) -> list[str]:
    """Count what the tables show."""

    def lower(name: str) -> list[Pair]:
        return [pair for pair in pairs if name in pair.figures and pair.figures[name].high < 0]

    def told(found: list[Pair]) -> str:
        return ", ".join(f"{pair.method} ({pair.folder}, {pair.baseline})" for pair in found) or "none"

    fewer = lower("chair_s")
    kept = lower("chair_s_at_equal_recall")
    worse = [pair for pair in pairs if pair.figures["chair_s_at_equal_recall"].low > 0]
    words = [pair for pair in fewer if pair in lower("chair_s_same_words")]
    recall = lower("recall")
    return [
        (
            f"- {len(fewer)} of {len(pairs)} comparisons have a lower CHAIR_S with an interval below 0; recall is "
            f"lower in {len([pair for pair in fewer if pair in recall])} of these."
        ),
        f"- Cut to the same words, picture by picture, {len(words)} of the {len(fewer)} are still lower.",
        f"- Against a baseline that just stops at the method's recall, {len(kept)} are lower: {told(kept)}.",
        f"- {len(worse)} are higher than that baseline: {told(worse)}.",
    ]


def draw(pairs: list[Pair], path: Path) -> None:
    """Draw recall against CHAIR_I, with an arrow from each baseline to each method."""
    folders = list(dict.fromkeys(pair.folder for pair in pairs))
    looks = {folder: {"color": charts.colour(n), "marker": "os^D"[n // 6]} for n, folder in enumerate(folders)}
    with charts.figure(8.5, 6) as drawn:
        axes = drawn.subplots()
        for pair in pairs:
            start, end = ((100 * score.recall, 100 * score.chair_i) for score in pair.scores)
            look = looks[pair.folder]
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": look["color"], "alpha": 0.5})
            axes.plot(*start, markersize=7, linestyle="", **look)
            axes.plot(*end, ".", color=look["color"], markersize=4)
            axes.annotate(pair.method, end, xytext=(4, 3), textcoords="offset points", color=look["color"], fontsize=8)
        for folder in folders:
            axes.plot([], [], linestyle="", label=folder, **looks[folder])
        axes.legend(loc="lower right", title="baseline of")
        axes.set(xlabel="recall, % (to the right: more is named)", ylabel="CHAIR_I, % (lower: less is made up)")
        axes.margins(0.08)
    write(path, [charts.image(drawn)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path, metavar="DIR")
    parser.add_argument("--objects", type=Path, required=True, metavar="FILE", help="what is in the pictures")
    parser.add_argument("--baseline", action="append", default=[], metavar="FOLDER=FILE", help="FILE is beside DIR's")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="a page whose measured part is written anew")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="recall against CHAIR_I")
    parser.add_argument("--json", type=Path, metavar="FILE.json", help="all figures")
    options = parser.parse_args()
    baselines: dict[str, list[Path]] = {}
    for given in options.baseline:
        folder, _, file = given.partition("=")
        baselines.setdefault(folder, []).append(options.captions / file)
    folders = sorted({path.parent for path in options.captions.rglob("*.jsonl")} - {options.objects.parent})
    pairs = [
        pair
        for folder in folders
        for pair in read(folder, options.objects, baselines, folder.relative_to(options.captions).as_posix())
    ]
    lines = [
        *summary(pairs), "", *table(pairs, SHOWN), "", *yardsticks(pairs), "",
        "All other figures, differences to the baseline:", "", *table(pairs, REST),
    ]  # fmt: skip
    if options.json:
        write(options.json, [json.dumps([pair.record() for pair in pairs], indent=1)])
    if options.picture:
        draw(pairs, options.picture)
    if options.page is None:
        print("\n".join(lines))
        return
    page = options.page.read_text(encoding="utf-8")
    if _BEGIN not in page or _END not in page:
        raise SystemExit(f"{options.page}: lacks the lines '{_BEGIN}' and '{_END}' between which to write")
    before, after = page.split(_BEGIN)[0], page.split(_END)[1]
    write(options.page, [before, _BEGIN, "\n\n", "\n".join(lines), "\n\n", _END, after])


if __name__ == "__main__":
    main()
