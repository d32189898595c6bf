"""``farsight chair``: which objects that captions name are not in the picture?"""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import captions as caption_options
from farsight.cli import options

if TYPE_CHECKING:
    from farsight.metrics.chair import ChairScore
    from farsight.metrics.paired import Difference
    from farsight.metrics.text_quality import Quality


def chair(
    captions: caption_options.Captions,
    objects: caption_options.Objects,
    synonyms: caption_options.Synonyms = None,
    details: Annotated[
        Path | None, typer.Option(metavar="OUT.jsonl", help="Write one row a caption: what is false, and where.")
    ] = None,
    skip_bad: caption_options.SkipBad = False,
    seed: caption_options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Score captions with CHAIR (Rohrbach et al. 2018): CHAIR_S, CHAIR_I, recall, and the quality of the text.

    Of several files the first is the baseline: the others are compared with it on the pictures that both have.

    Example: farsight chair greedy.jsonl farsight.jsonl --objects objects.jsonl
    """
    from farsight.metrics.comparison import compare
    from farsight.metrics.text_quality import quality

    scores = caption_options.scored(captions, objects, synonyms, skip_bad=skip_bad)
    (baseline_name, baseline), *others = scores.items()
    qualities = {name: quality(one.caption.text for one in score.captions) for name, score in scores.items()}
    differences = {name: compare(baseline, other, seed=seed) for name, other in others}
    if details is not None:
        from farsight.cli.files import write_lines

        rows = ({"file": name} | one.record() for name, score in scores.items() for one in score.captions)
        write_lines(details, (json_format.dumps(row, ensure_ascii=False) for row in rows))
    if json:
        print(json_format.dumps(_record(scores, qualities, baseline_name, differences), indent=2))
        return
    _print_scores(scores, qualities)
    if differences:
        _print_differences(baseline_name, differences)


def _record(
    scores: dict[str, ChairScore],
    qualities: dict[str, Quality],
    baseline: str,
    differences: dict[str, dict[str, Difference]],
) -> dict[str, Any]:
    files = {name: score.record() | {"quality": qualities[name].record()} for name, score in scores.items()}
    compared = {
        name: {figure: found.record() for figure, found in figures.items()} for name, figures in differences.items()
    }
    return {"files": files, "baseline": baseline, "differences": compared}


def _print_scores(scores: dict[str, ChairScore], qualities: dict[str, Quality]) -> None:
    from farsight.cli.tables import percent, print_table

    print_table(
        ["captions", "n", "CHAIR_S", "CHAIR_I", "recall", "false", "mentions", "objects", "words", "rep-4", "dist-2"],
        [
            [
                name,
                str(len(score.captions)),
                percent(score.chair_s),
                percent(score.chair_i),
                percent(score.recall),
                str(score.hallucinated_mentions),
                str(score.mentions),
                f"{score.objects:.2f}",
                f"{score.length:.1f}",
                percent(qualities[name].repetition_4),
                percent(qualities[name].distinct_2),
            ]
            for name, score in scores.items()
        ],
    )


def _print_differences(baseline: str, differences: dict[str, dict[str, Difference]]) -> None:
    from farsight.cli.tables import difference, note, print_table

    scales = {"objects": 1.0, "words": 1.0}
    shown = {"chair_s": "CHAIR_S", "chair_i": "CHAIR_I", "repetition_4": "rep-4"}
    names = list(differences)
    figures = list(differences[names[0]])
    print_table(
        [f"minus {baseline}", *names],
        [
            [shown.get(figure, figure)]
            + [difference(differences[name][figure], scale=scales.get(figure, 100.0)) for name in names]
            for figure in figures
        ],
    )
    pairs = sorted({found.items for one in differences.values() for found in one.values()})
    note(f"differences on {' / '.join(map(str, pairs))} pictures, with 95 % paired bootstrap intervals")
