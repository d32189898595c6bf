"""A finished run as HTML: its tables and plots, and the pictures on which two methods differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from farsight.errors import InputError
from farsight.evaluate.finished import Caption, FinishedRun, Shown
from farsight.evaluate.page import LEGEND, differences_table, draw_differences, figures_table, headline
from farsight.images import open_frames, open_image
from farsight.metrics.vocabulary import Mention
from farsight.report.page import picture
from farsight.web.drawing import shown_uri
from farsight.web.fragments import fragment
from farsight.web.marking import differing_spans, pieces

ANY = "any"
SIDE = 256


def figures_html(run: FinishedRun, name: str) -> str:
    """Draw the tables and the plot of one part."""
    part = next((one for one in run.parts if one.part == name), run.parts[0])
    tables, plots = [figures_table(part)], []
    if part.differences:
        tables.append(differences_table(part, run.methods[0]))
        alt = f"Differences of each method to {run.methods[0]} on {part.part}; the table above has the figures."
        plots.append(picture(draw_differences(part), alt))
    words = f"Shares in percent; differences in percentage points with 95 % paired bootstrap intervals. {LEGEND}"
    if part.failed:
        words += f" {len(part.failed)} items could not be asked and are left out."
    return fragment("section", summary=[headline(part)], sections=[("Figures", words, tables, plots)])


def false_objects(run: FinishedRun, part: str, methods: Sequence[str]) -> list[tuple[str, str]]:
    """Give the objects that these methods name falsely in a part, most frequent first: what to show, and the object."""
    found = Counter(
        name
        for item in run.items.get(part, ())
        for name in set().union(*(item.captions[label].false for label in methods if label in item.captions))
    )
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return [("any object", ANY), *((f"{name} ({count})", name) for name, count in ordered)]


def differing_items(run: FinishedRun, part: str, left: str, right: str, wanted: str) -> list[Shown]:
    """Pictures on which two methods say different things, most different first.

    Parameters
    ----------
    run, part, left, right
        Where, and which methods.
    wanted
        Only pictures where one of the two names this object falsely, or `ANY`.
    """

    def difference(item: Shown) -> tuple[int, str]:
        one, other = item.captions[left], item.captions[right]
        return -len(one.false ^ other.false), item.image_id

    return sorted(
        (
            item
            for item in run.items.get(part, ())
            if left in item.captions
            and right in item.captions
            and item.captions[left].text != item.captions[right].text
            and (wanted == ANY or wanted in item.captions[left].false | item.captions[right].false)
        ),
        key=difference,
    )


def items_html(run: FinishedRun, part: str, left: str, right: str, wanted: str, most: int) -> str:
    """Draw the first of them, side by side with their pictures."""
    if part not in run.items:
        return fragment(
            "items",
            items=[],
            count="Pictures are shown for captions, and this part has none. For a run from an older version give its "
            "'farsight eval' command once more: nothing is asked again, and captions are written with their objects.",
        )
    found = differing_items(run, part, left, right, wanted)
    count = f"{left} and {right} differ on {len(found)} of {len(run.items[part])} pictures"
    if wanted != ANY:
        count += f" where one of them names a {wanted} that is not there"
    count += f"; the first {most} are shown." if len(found) > most else "."
    return fragment("items", items=[_item(item, left, right) for item in found[:most]], count=count)


def _item(item: Shown, left: str, right: str) -> dict[str, Any]:
    one, other = item.captions[left], item.captions[right]
    spans = differing_spans(one.text, other.text)
    return {
        "image_id": item.image_id,
        "source": None if item.path is None else _source(item.path),
        "video": item.path is not None and item.path.is_dir(),
        "alt": f"Picture {item.image_id}",
        "sayings": [
            (label, _pieces(caption, differing))
            for label, caption, differing in zip((left, right), (one, other), spans, strict=True)
        ],
    }


def _pieces(caption: Caption, differing: Sequence[tuple[int, int]]) -> list[Any]:
    mentions = [Mention(name, name, start, end, 0) for name, start, end in caption.mentions]
    present = {name for name, _, _ in caption.mentions} - caption.false
    return pieces(caption.text, differing, mentions, present)


def _source(path: Path) -> str:
    try:
        return shown_uri(open_frames(path) if path.is_dir() else open_image(path), SIDE)
    except InputError:
        return ""
