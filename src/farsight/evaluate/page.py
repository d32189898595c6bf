"""A run as a table in the terminal, and as a page with plots and the pictures on which methods differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from farsight.errors import InputError
from farsight.evaluate.scores import PartScores
from farsight.evaluate.verdicts import HEADLINES, benefit, direction, is_nothing, told
from farsight.images import open_frames, open_image
from farsight.metrics.chair import CaptionScore
from farsight.metrics.paired import Difference
from farsight.report import charts
from farsight.report.page import Picture, Section, Table, Text, marked, page, picture

CAPTION_COLUMNS = {
    "captions": "n",
    "chair_s": "CHAIR_S",
    "chair_i": "CHAIR_I",
    "first_3": "first-3",
    "recall": "recall",
    "objects_per_caption": "objects",
    "words_per_caption": "words",
    "repetition_4": "rep-4",
    "distinct_2": "dist-2",
    "ended": "ended",
    "absorbed": "absorbed",
}
QUESTION_COLUMNS = {
    "questions": "n",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "yes_ratio": "yes",
    "absorbed": "absorbed",
}
EXACT_COLUMNS = {"questions": "n", "accuracy": "accuracy", "ended": "ended", "absorbed": "absorbed"}
AMBER_DESCRIPTION_FIGURES = {"chair": "CHAIR", "cover": "Cover", "hal": "Hal", "cog": "Cog"}
AMBER_ANSWER_FIGURES = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1"}
SNOWBALL_FIGURES = {
    "accuracy_clean": "alone",
    "accuracy_told": "told",
    "flip_rate": "flips",
    "weak_flip_rate": "weak flips",
}
_SAID = {"ended": "ended", "absorbed": "absorbed"}
COLUMNS = {
    "caption": CAPTION_COLUMNS,
    "question": QUESTION_COLUMNS,
    "exact": EXACT_COLUMNS,
    "amber_description": {"pictures": "n"} | AMBER_DESCRIPTION_FIGURES | _SAID,
    "amber_answer": {"pictures": "n"} | AMBER_ANSWER_FIGURES | _SAID,
    "snowball": {"pictures": "n"} | SNOWBALL_FIGURES | _SAID,
}
PLAIN = {"objects_per_caption", "words_per_caption", "objects", "words"}
"""Figures that are numbers, not shares."""
COUNTS = {"captions", "questions", "pictures"}
"""Figures that are whole numbers."""
CAPTION_DIFFERENCES = {
    "chair_s": "CHAIR_S",
    "chair_i": "CHAIR_I",
    "first_3": "first-3",
    "recall": "recall",
    "objects": "objects",
    "words": "words",
}
QUESTION_DIFFERENCES = {"accuracy": "accuracy", "f1": "F1", "yes_ratio": "yes"}
EXACT_DIFFERENCES = {"accuracy": "accuracy"}
DIFFERENCES = {
    "caption": CAPTION_DIFFERENCES,
    "question": QUESTION_DIFFERENCES,
    "exact": EXACT_DIFFERENCES,
    "amber_description": AMBER_DESCRIPTION_FIGURES,
    "amber_answer": AMBER_ANSWER_FIGURES,
    "snowball": SNOWBALL_FIGURES,
}
ARROWS = {-1: "↓", 0: "", 1: "↑"}
"""Beside the name of a figure: which way is better."""
MARKS = {-1: "worse", 0: "", 1: "better"}
LEGEND = "↓ lower is better, ↑ higher is better; green is better, orange worse, and grey cannot be told from nothing."
THUMBNAIL = 320
FRAME = 96
"""Side of a frame of a video in pixels."""


def figures_table(part: PartScores) -> Table:
    """Put the figures of all methods in a table; shares in percent."""
    columns = COLUMNS[part.kind]
    rows = [[label, *(_cell(name, figures.get(name)) for name in columns)] for label, figures in part.figures.items()]
    return Table(columns=[part.part, *columns.values()], rows=rows)


def summary_table(parts: Sequence[PartScores], times: Mapping[str, float]) -> Table:
    """Put the main figure of each part and the time of each method in one table, with what its difference says."""
    baseline, *others = parts[0].figures
    names = [HEADLINES[part.kind][0] for part in parts]
    rows = [[baseline, *(_cell(name, part.figures[baseline][name]) for name, part in zip(names, parts, strict=True))]]
    marks = [[""] * (len(parts) + 1)]
    for label in others:
        found = [part.differences[label][name] for name, part in zip(names, parts, strict=True)]
        sides = [benefit(name, one) for name, one in zip(names, found, strict=True)]
        rows.append([label, *map(_told, names, found)])
        marks.append(["", *(MARKS[side] for side in sides)])
    arrows = (ARROWS[direction(name)] for name in names)
    columns = [f"{part.part.removeprefix('pope_')} {arrow}" for part, arrow in zip(parts, arrows, strict=True)]
    if times:
        columns.append("time")
        rows = [[*row, f"x{times[row[0]]:.2f}"] for row in rows]
        marks = [[*row, ""] for row in marks]
    return Table(columns=["CHAIR_I ↓, accuracy ↑", *columns], rows=rows, marks=marks)


SIGNS = {-1: "✗", 0: "?", 1: "✓"}
SIGNS_LEGEND = (
    "✓ better, ✗ worse, ? cannot be told from chance with so few; same: no difference. ↓ lower is better, ↑ higher."
)


def _told(name: str, found: Difference) -> str:
    """A figure of a method, and what its difference says."""
    return "same" if is_nothing(found) else f"{100 * found.other:.1f} {SIGNS[benefit(name, found)]}"


def differences_table(part: PartScores, baseline: str) -> Table:
    """Put the differences to the first method in a table, in percentage points, with their 95 % intervals."""
    columns = DIFFERENCES[part.kind]
    rows, marks = [], []
    for label, found in part.differences.items():
        if all(is_nothing(found[name]) for name in columns):
            rows.append([label, "nothing changes", *[""] * (len(columns) - 1)])
            marks.append([""] * (1 + len(columns)))
        else:
            rows.append([label, *(_difference(name, found[name]) for name in columns)])
            marks.append(["", *(MARKS[benefit(name, found[name])] for name in columns)])
    headings = [f"{shown} {ARROWS[direction(name)]}".strip() for name, shown in columns.items()]
    return Table(columns=[f"minus {baseline}", *headings], rows=rows, marks=marks)


def draw_differences(part: PartScores) -> Figure:
    """Draw the differences of each method to the first, with their intervals, figure by figure."""
    names = DIFFERENCES[part.kind]
    labels = list(part.differences)
    with charts.figure(11 if len(names) > 1 else 5, 1.2 + 0.32 * len(labels)) as drawn:
        axes = drawn.subplots(1, len(names), sharey=True, squeeze=False)
        for one, (name, shown) in zip(axes.flat, names.items(), strict=True):
            scale = 1 if name in PLAIN else 100
            found = [part.differences[label][name] for label in labels]
            numbers = [(scale * it.low, scale * it.value, scale * it.high) for it in found]
            charts.differences(one, numbers, better=direction(name))
            one.set_title(f"{shown} {ARROWS[direction(name)]}".strip())
        axes.flat[0].set_yticklabels(labels)
    return drawn


def run_page(
    title: str,
    parts: Sequence[PartScores],
    images: Mapping[str, Path],
    footer: str,
    *,
    times: Mapping[str, float] | None = None,
    memory: Mapping[str, float] | None = None,
    most: int = 12,
) -> str:
    """Write the page of a run.

    Parameters
    ----------
    title
        The page's heading.
    parts
        The parts of the run, scored.
    images
        Picture of each ``image_id``, for the captions that are shown.
    footer
        How the run was made.
    times, memory
        Of each method, if they were taken; see `told_costs`.
    most
        How many pictures to show of those on which the methods' captions differ.
    """
    baseline = next(iter(parts[0].figures))
    sections = []
    for part in parts:
        tables, pictures = [figures_table(part)], []
        if part.differences:
            tables.append(differences_table(part, baseline))
            alt = f"Differences of each method to {baseline} on {part.part}, with intervals; the table has the figures."
            pictures.append(picture(draw_differences(part), alt))
        words = f"Shares in percent; differences in percentage points with 95 % paired bootstrap intervals. {LEGEND}"
        if part.failed:
            item, reason = next(iter(part.failed.items()))
            words += f" {len(part.failed)} items could not be asked and are left out; the first: {item} ({reason})."
        shown = _shown(part, images, most)
        if len(part.captions) > 1:
            words += (
                " Below are pictures of which methods say different things."
                if shown
                else (" The methods say the same of every picture.")
            )
        sections += [Section(title=part.part, words=words, tables=tables, pictures=pictures), *shown]
    summary = [headline(part) for part in parts]
    costs = [*told_costs(times or {}, memory or {}), *told_checks(parts)]
    return page(title, [*summary, *costs], sections, footer=footer)


def headline(part: PartScores) -> str:
    """Say in a paragraph what a part shows: `farsight.evaluate.verdicts.told`."""
    return " ".join(told(part))


def told_costs(times: Mapping[str, float], memory: Mapping[str, float]) -> list[str]:
    """Say in sentences what each method took; nothing of what was not measured.

    Parameters
    ----------
    times
        Per token, over the first method's.
    memory
        Bytes that a batch had beside what stood before it.
    """
    told = []
    if times:
        baseline, *others = times
        told.append(f"Time per token over {baseline}: {', '.join(f'{label} x{times[label]:.2f}' for label in others)}.")
    if memory:
        each = ", ".join(f"{label} {megabytes(taken)}" for label, taken in memory.items())
        told.append(f"Most memory of a batch beside the model: {each}.")
    return told


def megabytes(taken: float) -> str:
    """Write bytes to 10 MB: what is less differs from run to run."""
    return f"{round(taken / 1e6, -1):,.0f} MB" if taken >= 5e6 else "below 10 MB"


def told_checks(parts: Sequence[PartScores]) -> list[str]:
    """Say in sentences what was done to answers behind decoding, and that others passed unchanged."""
    told, checking = [], {label for part in parts for label, found in part.figures.items() if "checks" in found}
    for label in sorted(checking):
        checked = [(part, part.figures[label]) for part in parts if "checks" in part.figures[label]]
        each = "; ".join(
            f"{part.part}: {found['checks']:.2f} objects checked per answer, {found['left_out']:.2f} left out, beside "
            f"{found['tokens']:.1f} generated tokens"
            for part, found in checked
        )
        others = [part.part for part in parts if "checks" not in part.figures[label]]
        unchanged = f" Answers of {', '.join(others)} are no descriptions and pass unchanged." if others else ""
        told.append(f"{label} does not decode, it checks finished answers. {each}.{unchanged}")
    return told


def _shown(part: PartScores, images: Mapping[str, Path], most: int) -> list[Section]:
    """Show pictures of which methods say different things, those with the most different false objects first."""
    said: dict[str, dict[str, CaptionScore]] = {}
    for label, score in part.captions.items():
        for one in score.captions:
            said.setdefault(one.caption.image_id, {})[label] = one
    if len(part.captions) > 1:
        said = {image_id: captions for image_id, captions in said.items() if len(_alike(captions)) > 1}

    def difference(image_id: str) -> tuple[int, int]:
        false = [frozenset(mention.object for mention in one.hallucinated) for one in said[image_id].values()]
        return len(false[0].intersection(*false)) - len(false[0].union(*false)), -len(_alike(said[image_id]))

    return [
        Section(
            title=f"{part.part}, image {image_id}",
            pictures=thumbnail(image_id, images),
            texts=[
                Text(title=", ".join(labels), spans=marked(said[image_id][labels[0]]))
                for labels in _alike(said[image_id])
            ],
            small=True,
        )
        for image_id in sorted(said, key=difference)[:most]
    ]


def _alike(captions: Mapping[str, CaptionScore]) -> list[list[str]]:
    """Put the methods together that say the same, in the order of the run."""
    groups: dict[str, list[str]] = {}
    for label, one in captions.items():
        groups.setdefault(one.caption.text, []).append(label)
    return list(groups.values())


def thumbnail(image_id: str, images: Mapping[str, Path]) -> list[Picture]:
    """Give a small picture, or the frames of a video side by side; nothing of what cannot be read."""
    try:
        path = images[image_id]
        seen = _film(open_frames(path)) if path.is_dir() else open_image(path)
    except (KeyError, InputError):
        return []
    if not path.is_dir():
        seen.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = BytesIO()
    seen.save(buffer, "JPEG", quality=85)
    return [Picture(source=charts.data_uri(buffer.getvalue(), "image/jpeg"), alt=f"The picture {image_id}")]


def _film(frames: Sequence[Image.Image]) -> Image.Image:
    """Put the frames of a video side by side."""
    strip = Image.new("RGB", (FRAME * len(frames), FRAME))
    for number, frame in enumerate(frames):
        strip.paste(frame.resize((FRAME, FRAME)), (FRAME * number, 0))
    return strip


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name in COUNTS:
        return f"{value:.0f}"
    return f"{value:.2f}" if name in PLAIN else f"{100 * value:.1f}"


def _difference(name: str, found: Difference) -> str:
    if is_nothing(found):
        return "same"
    return found.shown(1, 2) if name in PLAIN else found.shown()
