"""``farsight chair``: which objects that captions name are not in the picture?"""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import captions as caption_options
from farsight.cli import options
from farsight.cli.terminal import say

if TYPE_CHECKING:
    from farsight.metrics.chair import ChairScore
    from farsight.metrics.paired import Difference
    from farsight.metrics.text_quality import Quality


def chair(
    context: typer.Context,
    captions: caption_options.Captions,
    objects: caption_options.Objects = None,
    synonyms: caption_options.Synonyms = None,
    part: caption_options.Part = None,
    details: Annotated[
        Path | None, typer.Option(metavar="OUT.jsonl", help="Write one row a caption: what is false, and where.")
    ] = None,
    words: caption_options.Words = None,
    objects_at_most: caption_options.ObjectsAtMost = None,
    skip_bad: caption_options.SkipBad = False,
    seed: caption_options.Seed = 0,
    perplexity: Annotated[
        str | None,
        typer.Option(metavar="ID_OR_PATH", help="Measure each caption's perplexity under this model; needs --images."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The pictures, named by their image_id or as in COCO.")
    ] = None,
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="What the captions answer.")] = options.PICTURE_PROMPT,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
) -> None:
    """Score captions with CHAIR (Rohrbach et al. 2018): CHAIR_S, CHAIR_I, recall, and the quality of the text.

    Of several files the first is the baseline: the others are compared with it on the pictures that both have.

    Examples: farsight chair greedy.jsonl farsight.jsonl --objects objects.jsonl

    farsight chair runs/scenes
    """
    from farsight.metrics.cuts import Cut
    from farsight.metrics.text_quality import quality

    if perplexity is None:
        options.refuse_unused(context, "it is for --perplexity", "images", "prompt", "device", "dtype")
    cut = Cut(words=words, objects=objects_at_most)
    caption_options.check_output(details, [*captions, *(objects or []), *([Path(synonyms)] if synonyms else [])])
    scores = caption_options.scored(captions, objects, synonyms, cut, skip_bad=skip_bad, part=part)
    measured: dict[str, dict[str, float]] = {}
    if perplexity is not None:
        from farsight.cli.perplexity import perplexities

        measured = perplexities(scores, perplexity, images, prompt, device, dtype)
    qualities = {
        name: quality(
            (one.caption.text for one in score.captions),
            perplexities=list(measured[name].values()) if measured else None,
        )
        for name, score in scores.items()
    }
    differences, not_compared = caption_options.compared(scores, seed=seed, measured=measured)
    if details is not None:
        from farsight.files import write_lines

        rows = ({"file": name} | one.record() for name, score in scores.items() for one in score.captions)
        write_lines(details, (json_format.dumps(row, ensure_ascii=False) for row in rows))
    if json:
        record = {"cut": cut.record()} | _record(scores, qualities, differences, not_compared)
        say(json_format.dumps(record, indent=2))
        return
    _print_scores(scores, qualities)
    if differences:
        _print_differences(next(iter(scores)), differences)


def _record(
    scores: dict[str, ChairScore],
    qualities: dict[str, Quality],
    differences: dict[str, dict[str, Difference]],
    not_compared: dict[str, str],
) -> dict[str, Any]:
    files = {name: score.record() | {"quality": qualities[name].record()} for name, score in scores.items()}
    compared = {
        name: {figure: found.record() for figure, found in figures.items()} for name, figures in differences.items()
    }
    baseline = next(iter(scores))
    return {"files": files, "baseline": baseline, "differences": compared, "not_compared": not_compared}


def _print_scores(scores: dict[str, ChairScore], qualities: dict[str, Quality]) -> None:
    from farsight.cli.tables import percent, print_table

    rows = {
        name: {
            "n": str(len(score.captions)),
            "CHAIR_S": percent(score.chair_s),
            "CHAIR_I": percent(score.chair_i),
            "CHAIR_D": percent(score.chair_i_distinct),
            "first-3": percent(score.first_3),
            "PSH": percent(score.psh),
            "recall": percent(score.recall),
            "F1": percent(score.f1),
            "false": str(score.hallucinated_mentions),
            "mentions": str(score.mentions),
            "objects": f"{score.objects:.2f}",
            "words": f"{score.length:.1f}",
            "rep-4": percent(qualities[name].repetition_4),
            "dist-1": percent(qualities[name].distinct_1),
            "dist-2": percent(qualities[name].distinct_2),
        }
        | ({"perplexity": f"{found:.2f}"} if (found := qualities[name].perplexity) is not None else {})
        for name, score in scores.items()
    }
    columns = next(iter(rows.values()))
    print_table(["captions", *columns], [[name, *row.values()] for name, row in rows.items()])


def _print_differences(baseline: str, differences: dict[str, dict[str, Difference]]) -> None:
    from farsight.cli.tables import difference, print_table

    scales = {"objects": 1.0, "words": 1.0, "log_perplexity": 1.0}
    shown = {"chair_s": "CHAIR_S", "chair_i": "CHAIR_I", "chair_i_distinct": "CHAIR_D", "first_3": "first-3"}
    shown |= {"f1": "F1", "psh": "PSH", "repetition_4": "rep-4", "log_perplexity": "ln perplexity"}
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
    caption_options.tell_shared(differences)
