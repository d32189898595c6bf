"""``farsight audit``: does one false object bring the next?"""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farsight.cli import captions as caption_options
from farsight.cli import options
from farsight.cli.terminal import say

if TYPE_CHECKING:
    from farsight.metrics.chair import ChairScore
    from farsight.metrics.paired import Difference
    from farsight.metrics.snowball import Audit


def audit(
    captions: caption_options.Captions,
    objects: caption_options.Objects = None,
    synonyms: caption_options.Synonyms = None,
    part: caption_options.Part = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write audit.html (a page that opens offline), audit.png, audit.json."),
    ] = None,
    words: caption_options.Words = None,
    objects_at_most: caption_options.ObjectsAtMost = None,
    skip_bad: caption_options.SkipBad = False,
    seed: caption_options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Audit captions for snowballing: where they go wrong, and whether a false object brings the next.

    Several files of the same pictures are shown side by side; the first is the baseline.

    Example: farsight audit greedy.jsonl opera.jsonl --objects objects.jsonl --out audit
    """
    from farsight.files import make_folder
    from farsight.metrics import snowball
    from farsight.metrics.cuts import Cut

    cut = Cut(words=words, objects=objects_at_most)
    if out is not None:
        make_folder(out)  # before much is read
    scores = caption_options.scored(captions, objects, synonyms, cut, skip_bad=skip_bad, part=part)
    audits = {name: snowball.audit(score, seed=seed) for name, score in scores.items()}
    differences, not_compared = caption_options.compared(scores, seed=seed)
    baseline = next(iter(scores))
    record = json_format.dumps(
        {
            "cut": cut.record(),
            "files": {name: found.record() for name, found in audits.items()},
            "baseline": baseline,
            "differences": {
                name: {figure: found.record() for figure, found in figures.items()}
                for name, figures in differences.items()
            },
            "not_compared": not_compared,
        },
        indent=2,
        allow_nan=False,
    )
    if out is not None:
        from farsight.files import write
        from farsight.report import audit as report
        from farsight.report.charts import image

        write(out / "audit.html", [report.audit_page(audits, scores, differences)])
        write(out / "audit.png", [image(report.draw_curves(audits))])
        write(out / "audit.json", [record])
    if json:
        say(record)
        return
    _print(audits, scores, differences, baseline)
    if out is not None:
        say(f"wrote {out / 'audit.html'}, audit.png and audit.json")


def _print(
    audits: dict[str, Audit],
    scores: dict[str, ChairScore],
    differences: dict[str, dict[str, Difference]],
    baseline: str,
) -> None:
    from farsight.cli.tables import difference, print_table
    from farsight.report.audit import beside, overview, summary

    figures = overview(audits, scores)
    print_table(figures.columns, figures.rows)
    if differences:
        shown = {"chair_s": "initial", "snowball": "snowball"}
        print_table(
            [f"minus {baseline}", *shown.values()],
            [[name, *(difference(compared[key]) for key in shown)] for name, compared in differences.items()],
        )
        caption_options.tell_shared(differences)
    for name, found in audits.items():
        print_table(
            ["object", "falsely in", "of captions naming it", "after"],
            [[one.object, str(one.captions), str(one.of), beside(one)] for one in found.worst[:8]],
            title=name,
        )
    for name, found in audits.items():
        say(summary(name, found))
