"""The snowball audit as a picture and as a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from farsight.metrics.chair import CaptionScore, ChairScore
from farsight.metrics.paired import Difference
from farsight.metrics.snowball import MATCHED_CAPTIONS, MOST_BINS, TOKENS_A_BIN, Audit, FalseObject, Rate
from farsight.metrics.text_quality import Quality, quality
from farsight.report import charts
from farsight.report.page import Section, Table, Text, marked, page, picture

DRAWN_MENTIONS = 10
"""A curve ends where a point would stand for fewer mentions, which say nothing. The JSON file has them all."""

CURVES_ALT = (
    "Four plots. The share of object mentions that are false, by fifth of the caption and by token; the same before "
    "and after the first false object; and the rank-matched snowball ratio with its interval. The table has the same."
)
RANKS_ALT = (
    "One plot for each file: the share of distinct objects that are false by their rank in the caption, without and "
    "with an earlier false object."
)


def draw_curves(audits: Mapping[str, Audit]) -> Figure:
    """Draw false rates by position, before and after, and the ratio, all files together."""
    with charts.figure(11, 6.4) as drawn:
        by_fifth, by_token, sides, ratios = drawn.subplots(2, 2).flat
        for number, (name, audit) in enumerate(audits.items()):
            _curve(by_fifth, [1, 2, 3, 4, 5], audit.by_fifth, number, name)
            closed = audit.by_token[: MOST_BINS - 1]
            _curve(by_token, range(len(closed)), closed, number, name)
        by_fifth.set(title="False mentions, by where they stand in the caption", xticks=[1, 2, 3, 4, 5])
        by_fifth.set_xticklabels(["first fifth", "second", "third", "fourth", "last"])
        by_fifth.legend(loc="upper left")
        by_token.set(title="False mentions, by token", xlabel=f"token of the caption, in bins of {TOKENS_A_BIN}")
        by_token.xaxis.set_major_locator(MaxNLocator(integer=True))
        by_token.xaxis.set_major_formatter(lambda value, _: f"{TOKENS_A_BIN * value:.0f}")
        _draw_sides(sides, audits)
        _draw_ratios(ratios, audits)
        for axes in (by_fifth, by_token, sides):
            charts.in_percent(axes)
    return drawn


def draw_ranks(audits: Mapping[str, Audit]) -> Figure:
    """Draw false rates by rank of the distinct object, without and with an earlier false one; a plot for each file."""
    columns = 2 if len(audits) in (2, 4) else min(3, len(audits))
    rows = math.ceil(len(audits) / columns)
    with charts.figure(11 if columns > 1 else 6, 3.2 * rows) as drawn:
        grid = drawn.subplots(rows, columns, sharey=True, squeeze=False)
        for axes, (name, audit) in zip(grid.flat, audits.items(), strict=False):
            ranks = [rank for rank, (before, _) in enumerate(audit.by_rank, 1) if before.mentions >= MATCHED_CAPTIONS]
            _curve(axes, ranks, [audit.by_rank[rank - 1][0] for rank in ranks], 0, "no false object before")
            _curve(axes, ranks, [audit.by_rank[rank - 1][1] for rank in ranks], 1, "a false object before")
            axes.set(title=name, xlabel="distinct object of the caption", xticks=ranks)
        charts.in_percent(grid.flat[0])
        grid.flat[0].legend(loc="upper left")
        for axes in list(grid.flat)[len(audits) :]:
            axes.set_visible(False)
    return drawn


def audit_page(
    audits: Mapping[str, Audit], scores: Mapping[str, ChairScore], differences: Mapping[str, Mapping[str, Difference]]
) -> str:
    """Write the page: what was found, the curves, the figures, the worst objects and captions.

    Parameters
    ----------
    audits, scores
        By name of the caption file; the first is the baseline.
    differences
        Of each other file to the baseline, from `comparison.compare`.
    """
    baseline = next(iter(audits))
    sections = [
        Section(
            title="Where captions go wrong",
            words="Bands and whiskers are 95 % bootstrap intervals over captions.",
            pictures=[picture(draw_curves(audits), CURVES_ALT)],
            tables=[overview(audits, scores)],
        ),
        Section(
            title="Matched by rank",
            words="Later objects are false more often anyway. So the second, third, ... distinct object of captions "
            "that have named a false one is compared with that of captions that have not. The ratio is the number of "
            "false objects after a false one over the number expected at the rates of the others; 1 means no snowball. "
            f"Ranks that fewer than {MATCHED_CAPTIONS} captions reach without a false object are left out.",
            pictures=[picture(draw_ranks(audits), RANKS_ALT)],
        ),
    ]
    if differences:
        sections.append(
            Section(
                title=f"Compared with {baseline}, picture by picture",
                words="Differences with 95 % paired bootstrap intervals; those of shares in percentage points.",
                tables=[_differences(differences)],
            )
        )
    sections.append(
        Section(
            title="Objects that are named falsely most often",
            words="What stands before them: objects that these captions name earlier, with how many times as often as "
            "in all captions.",
            tables=[_worst(name, audit.worst) for name, audit in audits.items()],
        )
    )
    sections.append(
        Section(
            title="The captions with most false objects",
            words="Objects in the picture are green, objects that are not are red and underlined.",
            texts=[text for name, score in scores.items() for text in _examples(name, score.captions)],
        )
    )
    return page(
        "Snowball audit", [summary(name, one) for name, one in audits.items()], sections, footer="farsight audit"
    )


def summary(name: str, audit: Audit) -> str:
    """Say in two sentences what an audit found."""
    found = (
        f"{name}: {100 * audit.initial:.1f} % of {audit.captions} captions name a false object, "
        f"{100 * audit.snowball:.1f} % a second one. {_sides(audit)}"
    )
    if audit.ratio is None:
        return found + "; too few captions go on after a false object to match by rank."
    ratio = audit.ratio
    return found + (
        f"; matched by rank, false objects are {ratio.value:.2f} times as frequent after a false one "
        f"(95 % interval {ratio.low:.2f} to {ratio.high:.2f})."
    )


def _sides(audit: Audit) -> str:
    if not audit.before.mentions:
        return "No caption mentions an object"
    before = f"A mention is false in {_percent(audit.before)} % of cases up to the first false object and "
    return before + (f"in {_percent(audit.after)} % after it" if audit.after.mentions else "none comes after it")


def _percent(rate: Rate) -> str:
    """Give a rate as it stands in tables and texts; "-" where there is nothing that could be false."""
    return f"{100 * rate.rate:.1f}" if rate.mentions else "-"


def _curve(axes: Axes, x: Sequence[int], rates: Sequence[Rate], number: int, name: str) -> None:
    enough = [rate.mentions >= DRAWN_MENTIONS for rate in rates]
    first = enough.index(True) if any(enough) else len(enough)
    last = enough.index(False, first) if False in enough[first:] else len(enough)
    shown = list(zip(x, rates, strict=True))[first:last]
    at = [one for one, _ in shown]
    axes.plot(at, [rate.rate for _, rate in shown], color=charts.colour(number), marker="o", markersize=4, label=name)
    low, high = [rate.low for _, rate in shown], [rate.high for _, rate in shown]
    axes.fill_between(at, low, high, color=charts.colour(number), alpha=0.12, linewidth=0)


def _draw_sides(axes: Axes, audits: Mapping[str, Audit]) -> None:
    width = 0.8 / len(audits)
    for number, audit in enumerate(audits.values()):
        for side, rate in enumerate((audit.before, audit.after)):
            if not rate.mentions:
                continue
            at = side + (number - (len(audits) - 1) / 2) * width
            reach = [[rate.rate - rate.low], [rate.high - rate.rate]]
            axes.bar(at, rate.rate, width * 0.9, color=charts.colour(number), alpha=0.85)
            axes.errorbar(at, rate.rate, yerr=reach, color=charts.INK, linewidth=1)
    axes.set(title="False mentions, before and after the first false one", xticks=[0, 1])
    axes.set_xticklabels(["up to the first false one", "after it"])


def _draw_ratios(axes: Axes, audits: Mapping[str, Audit]) -> None:
    for number, audit in enumerate(audits.values()):
        if audit.ratio is not None:
            ratio = audit.ratio
            axes.plot([ratio.low, ratio.high], [number, number], color=charts.colour(number), linewidth=2)
            axes.plot(ratio.value, number, "o", color=charts.colour(number))
    axes.axvline(1, color=charts.QUIET, linewidth=1, linestyle="--")
    axes.set(title="Snowball ratio, matched by rank (1: no snowball)", yticks=range(len(audits)))
    axes.set_yticklabels(list(audits))
    axes.set_ylim(len(audits) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def overview(audits: Mapping[str, Audit], scores: Mapping[str, ChairScore]) -> Table:
    """Put the figures of all files in one table."""
    rows = [
        _overview_row(name, audit, quality(one.caption.text for one in scores[name].captions))
        for name, audit in audits.items()
    ]
    return Table(columns=OVERVIEW, rows=rows)


OVERVIEW = (
    *("captions", "n", "initial", "snowball", "up to first false", "after it", "rank-matched ratio", "fifths"),
    *("words", "rep-4", "dist-2"),
)


def _overview_row(name: str, audit: Audit, quality: Quality) -> list[str]:
    """Give an audit's figures, and those of the text, as cells under `OVERVIEW`; shares in percent."""
    ratio = audit.ratio
    return [
        name,
        str(audit.captions),
        f"{100 * audit.initial:.1f}",
        f"{100 * audit.snowball:.1f}",
        _with_interval(audit.before),
        _with_interval(audit.after),
        f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]" if ratio else "-",
        " ".join(map(_percent, audit.by_fifth)),
        f"{quality.words:.1f}",
        f"{100 * quality.repetition_4:.1f}",
        f"{100 * quality.distinct_2:.1f}",
    ]


def _with_interval(rate: Rate) -> str:
    return f"{_percent(rate)} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]" if rate.mentions else "-"


def _differences(differences: Mapping[str, Mapping[str, Difference]]) -> Table:
    shown = {"chair_s": "initial (CHAIR_S)", "snowball": "snowball", "chair_i": "CHAIR_I", "recall": "recall"}
    plain = {"objects": "objects named", "words": "words"}
    rows = [
        [name, str(figures["chair_s"].items)]
        + [figures[key].shown() for key in shown]
        + [figures[key].shown(1, 2) for key in plain]
        for name, figures in differences.items()
    ]
    return Table(columns=["captions", "pictures", *shown.values(), *plain.values()], rows=rows)


def _worst(name: str, worst: Sequence[FalseObject]) -> Table:
    return Table(
        columns=[name, "falsely in", "of captions naming it", "after"],
        rows=[[one.object, str(one.captions), str(one.of), beside(one) or "-"] for one in worst],
        prose=[3],
    )


def beside(one: FalseObject) -> str:
    """Say what a false object stands after: "sink x4.5, toilet x5.2"."""
    return ", ".join(f"{other} x{lift:.1f}" for other, _, lift in one.beside)


def _examples(name: str, captions: Sequence[CaptionScore], most: int = 3) -> list[Text]:
    def badness(one: CaptionScore) -> int:
        return len({mention.object for mention in one.hallucinated})

    worst = sorted(captions, key=badness, reverse=True)[:most]
    return [Text(title=f"{name}, image {one.caption.image_id}", spans=marked(one)) for one in worst if badness(one)]
