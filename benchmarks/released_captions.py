"""Measure captions that authors released: what a method changed, and what is left of it when neither side says less.

    python benchmarks/released_captions.py BASELINE.jsonl METHOD.jsonl --objects objects.jsonl
    python benchmarks/released_captions.py DIR --objects DIR/objects.jsonl --page docs/released.md

Files are JSON Lines (``image_id``, ``caption``), one file a method, the baseline's first. ``DIR`` holds folders of such
files; those of one folder are of the same pictures. ``greedy.jsonl`` is a folder's baseline; ``--baseline FOLDER=FILE``
names another, or one more.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from farsight.errors import FarSightError, InputError
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
    pictures: tuple[int, int]
    """That both have captions of, and that the one with more has."""

    def record(self) -> dict[str, object]:
        """Give the figures for a JSON file."""
        return {
            "folder": self.folder, "method": self.method, "baseline": self.baseline,
            "scores": [score.record() for score in self.scores],
            "rank_matched_ratios": [ratio(score) for score in self.scores],
            "figures": {name: figure.record() for name, figure in self.figures.items()},
            "baseline_stopped_after_words": self.stopped_after, "pictures_of_both": self.pictures[0],
        }  # fmt: skip


def ratio(score: ChairScore) -> float | None:
    """The rank-matched snowball ratio; None where no caption goes on after a false object."""
    found = audit(score, resamples=2).ratio
    return None if found is None else found.value


def measured(
    folder: str, names: tuple[str, str], baseline: ChairScore, other: ChairScore, stops: Stopped, objects: Path
) -> Pair:
    """Compare a method with its baseline, whole and cut; on the pictures of both, where these are half of the most."""
    figures: dict[str, Difference] = {}
    first, second = ({one.caption.image_id: one for one in score.captions} for score in (baseline, other))
    both = [image for image in first if image in second]
    paired = len(both) >= max(len(first), len(second)) / 2
    if paired and len(both) < max(len(first), len(second)):
        baseline, other = (ChairScore(captions=tuple(side[image] for image in both)) for side in (first, second))
        stops = stopped(baseline, coco())
    if paired:
        pairs = [(first[image], second[image]) for image in both]
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
        pictures=(len(both), max(len(first), len(second))),
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


@dataclass(frozen=True)
class Group:
    """The files of methods that are compared with one baseline."""

    name: str
    baseline: Path
    methods: list[Path]

    def measured(self, objects: Path, skip_bad: bool) -> list[Pair]:
        """Measure every method; files of other folders than the group's are called by their folder too."""
        own = self.methods[0].parent
        first, *names = (
            path.stem if path.parent == own else f"{path.stem} ({path.parent.name})"
            for path in (self.baseline, *self.methods)
        )
        baseline = chair.score(self.baseline, objects, skip_bad=skip_bad)
        stops = stopped(baseline, coco())
        others = [chair.score(path, objects, skip_bad=skip_bad) for path in self.methods]
        shown = track(list(zip(names, others, strict=True)), self.name, console=Console(file=sys.stderr))
        return [measured(self.name, (first, name), baseline, other, stops, objects) for name, other in shown]


def files_of(paths: list[Path]) -> list[Group]:
    """Compare files that were named one by one with the first of them."""
    baseline, *methods = [path.resolve() for path in paths]
    if not methods:
        raise InputError(f"{paths[0]}: is one file; give the baseline's and then those of methods, or a folder")
    if baseline in methods:
        raise InputError(f"{paths[0]}: is its own baseline; give another file")
    return [Group(methods[0].parent.name, baseline, methods)]


def folders_of(root: Path, objects: Path, baselines: dict[str, list[Path]]) -> list[Group]:
    """Compare the files of each folder with its ``greedy.jsonl``, or with what ``baselines`` has for it."""
    folders: dict[str, list[Path]] = {}
    root = root.resolve()
    for path in sorted(root.rglob("*.jsonl")):
        if path != objects.resolve():
            folder = path.parent.relative_to(root).as_posix()
            folders.setdefault(root.name if folder == "." else folder, []).append(path)
    if not folders:
        raise InputError(f"{root}: has no captions, files that end with .jsonl")
    if unknown := baselines.keys() - folders.keys():
        raise InputError(
            f"--baseline: {root} has no folder '{min(unknown)}' with captions; it has {', '.join(folders)}"
        )
    groups = []
    for name, files in folders.items():
        greedy = [path for path in files if path.stem == "greedy"]
        if not (chosen := baselines.get(name) or greedy):
            raise InputError(f"{name}: has no greedy.jsonl: give what it is compared with by --baseline {name}=FILE")
        for baseline in chosen:
            own = baseline in files
            methods = [path for path in files if path != baseline and not (own and path in greedy)]
            if not methods:
                raise InputError(f"{name}: has only {baseline.name}, and nothing to compare with it")
            groups.append(Group(name, baseline, methods))
    return groups


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
    """CHAIR_S beside the baseline that stops earlier, and the rank-matched ratios."""
    lines = [
        (
            "| captions | method | CHAIR_S | baseline, whole | baseline, stopped | after words | "
            "its rank-matched ratio | the method's |\n|---|---|---|---|---|---|---|---|"
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
    lines = [
        (
            f"- {len(fewer)} of {len(pairs)} comparisons have a lower CHAIR_S with an interval below 0; recall is "
            f"lower too in {len([pair for pair in fewer if pair in recall])} of these."
        ),
        f"- Cut to the same words, picture by picture, {len(words)} of the {len(fewer)} are still lower.",
        f"- Against a baseline that just stops at the method's recall, {len(kept)} are lower: {told(kept)}.",
        f"- {len(worse)} are higher than that baseline: {told(worse)}.",
    ]
    for same, said in (
        (True, "Compared on the pictures of both files"),
        (
            False,
            "Of other pictures than the baseline's, so that nothing but CHAIR_S against a stopped baseline is given",
        ),
    ):
        some = [pair for pair in pairs if pair.pictures[0] < pair.pictures[1] and same == ("chair_s" in pair.figures)]
        if some:
            shares = (f"{told([pair])}: {pair.pictures[0]} of {pair.pictures[1]}" for pair in some)
            lines.append(f"- {said}: {'; '.join(shares)}.")
    return lines


def draw(pairs: list[Pair], path: Path) -> None:
    """Draw recall against CHAIR_I, with an arrow from each baseline to each method."""
    folders = list(dict.fromkeys(pair.folder for pair in pairs))
    looks: dict[str, dict[str, Any]] = {
        folder: {"color": charts.colour(n), "marker": "os^D"[n // 6]} for n, folder in enumerate(folders)
    }
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


def groups_of(options: argparse.Namespace) -> list[Group]:
    """Read what is to be compared with what from the command line."""
    paths: list[Path] = options.captions
    if missing := [path for path in [*paths, options.objects] if not path.exists()]:
        raise InputError(f"{missing[0]}: there is no such file")
    if not any(path.is_dir() for path in paths):
        if options.baseline:
            raise InputError("--baseline: is for folders; of files the first is the baseline")
        return files_of(paths)
    if len(paths) > 1:
        raise InputError(f"{paths[1]}: is one too many; give one folder, or files alone")
    baselines: dict[str, list[Path]] = {}
    for given in options.baseline:
        folder, _, file = given.partition("=")
        baselines.setdefault(folder, []).append((paths[0] / file).resolve())
    return folders_of(paths[0], options.objects, baselines)


def report(options: argparse.Namespace) -> str:
    """Measure everything and write what was asked for; give the tables where they go to no page."""
    if options.page:
        page = "" if not options.page.exists() else options.page.read_text(encoding="utf-8")
        if _BEGIN not in page or _END not in page:
            raise InputError(f"{options.page}: lacks the lines '{_BEGIN}' and '{_END}' between which to write")
    pairs = [pair for group in groups_of(options) for pair in group.measured(options.objects, options.skip_bad)]
    lines = [
        *summary(pairs), "", *table(pairs, SHOWN), "", *yardsticks(pairs), "",
        "All other figures, differences to the baseline:", "", *table(pairs, REST),
    ]  # fmt: skip
    if options.json:
        write(options.json, [json.dumps([pair.record() for pair in pairs], indent=1)])
    if options.picture:
        draw(pairs, options.picture)
    if options.page is None:
        return "\n".join(lines)
    before, after = page.split(_BEGIN)[0], page.split(_END)[1]
    write(options.page, [before, _BEGIN, "\n\n", "\n".join(lines), "\n\n", _END, after])
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "captions",
        type=Path,
        nargs="+",
        metavar="DIR | FILE",
        help="a folder, or files of which the first is the baseline",
    )
    parser.add_argument("--objects", type=Path, required=True, metavar="FILE", help="what is in the pictures")
    parser.add_argument("--baseline", action="append", default=[], metavar="FOLDER=FILE", help="FILE is beside DIR's")
    parser.add_argument("--skip-bad", action="store_true", help="leave out records that cannot be read")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="a page whose measured part is written anew")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="recall against CHAIR_I")
    parser.add_argument("--json", type=Path, metavar="FILE.json", help="all figures")
    options = parser.parse_args()
    try:
        written = report(options)
    except FarSightError as error:
        parser.exit(2, f"error: {error}\n")
    if written:
        print(written)


if __name__ == "__main__":
    main()
