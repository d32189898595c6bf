"""The page of a diagnosis: what was found in words, the figures, the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from farsight.diagnose.absorption import SIGMAS, WANTED, absorbed, has_log_z, shares_of_sigmas, suggested_strength
from farsight.diagnose.collapse import TIMES_UNIFORM, heads, outlier_slots, outliers
from farsight.diagnose.decay import Slope, decay
from farsight.diagnose.diagnosis import Diagnosis
from farsight.diagnose.draw_collapse import COLLAPSE_ALT
from farsight.diagnose.draw_decay import DECAY_ALT, FLOW_ALT, FRAMES_ALT
from farsight.diagnose.draw_registers import ABSORBED_ALT, POSSIBLE_ALT
from farsight.diagnose.draw_words import LOOKS_ALT
from farsight.diagnose.layout import Layout
from farsight.diagnose.words import Word, image_share, register_share
from farsight.registers import PAPER_SIGMA
from farsight.report.charts import data_uri, image
from farsight.report.page import Picture, Section, Span, Table, Text, page, picture

MOST_HEADS = 10
MOST_SIDE = 448
"""Of a picture beside what was said, in pixels."""
SEEN_ALT = "The picture that was described, as the model saw it."
FRAMES_SEEN_ALT = "The frames that were described, as the model saw them."


def diagnosis_page(
    title: str,
    all_found: Sequence[Diagnosis],
    named: Mapping[str, Sequence[Word]],
    figures: Mapping[str, Figure],
    all_words: Figure | None,
    footer: str,
) -> str:
    """Write the page.

    Parameters
    ----------
    title, footer
        Its heading and its last line.
    all_found
        The methods, the baseline first.
    named
        For each label the words that name objects.
    figures
        By name, from `farsight.diagnose.report.draw_all`.
    all_words
        Where every word looks, if the model has a grid of patches.
    """
    first = all_found[0]
    sections = [
        Section(
            title="What was said",
            words="Objects in the picture are green, objects that are not are red and underlined, where it is known.",
            pictures=_seen(first.layout),
            texts=[Text(title=found.label, spans=_spans(found, named[found.label])) for found in all_found],
            small=len(first.layout.shown) == 1,
        ),
        _collapse(first, figures),
        _decay(all_found, figures),
        _registers(all_found, figures),
        _words(all_found, named, all_words),
        Section(
            title=f"From the {first.layout.subject} to the words",
            words="Attention rollout: each layer passes on half of a row and half of what it attends to, mean over "
            "heads, scaled to sum 1 (Abnar and Zuidema, 2020). It knows neither value vectors nor feed-forward layers, "
            "so it bounds no effect; it shows through which layers the "
            f"{first.layout.subject} can have come.",
            pictures=[picture(figures["flow"], FLOW_ALT)],
        ),
    ]
    return page(title, summary(all_found), sections, footer=footer)


def summary(all_found: Sequence[Diagnosis]) -> list[str]:
    """Say in a few sentences what was found."""
    first = all_found[0]
    drawn = int(outlier_slots(first).sum(1).max())
    strongest = max(outliers(first), key=lambda one: one.times_uniform)
    told = [
        f"{first.label}: the token that draws most attention for its place is {strongest.name} in layer "
        f"{strongest.layer}, {strongest.times_uniform:.1f} times its uniform share, {100 * strongest.share:.1f} % of "
        f"the layer's attention. "
        + (
            f"Up to {drawn} tokens of a layer get {TIMES_UNIFORM:g} times their uniform share or more."
            if drawn
            else f"No token gets {TIMES_UNIFORM:g} times its uniform share: there is no collapse here."
        )
    ]
    for found in all_found:
        fits = decay(found)
        falling = sum(one.over_uniform.high < 0 for one in fits)
        taken = absorbed(found)
        told.append(
            f"{found.label}: {100 * np.mean([one.mean for one in fits]):.1f} % of the answer's attention is on the "
            f"{found.layout.subject}; beyond what a longer text does to uniform attention, it falls in {falling} of "
            f"{len(fits)} layers. "
            + (
                f"Registers absorb {100 * taken[..., found.answering].mean():.2f} % of the answer's rows, "
                f"{100 * taken.mean():.2f} % of all rows."
                if taken.max() > 1e-6
                else "There are no registers."
            )
        )
    return told


def _collapse(first: Diagnosis, figures: Mapping[str, Figure]) -> Section:
    drawing = Table(
        columns=["token", "layer", "times uniform", "share of layer, %", "value norm / median"],
        rows=[
            [one.name, str(one.layer), f"{one.times_uniform:.1f}", f"{100 * one.share:.1f}", f"{one.norm_ratio:.2f}"]
            for one in sorted(outliers(first), key=lambda one: -one.times_uniform)[:MOST_HEADS]
        ],
    )
    ranked = Table(
        columns=[
            "layer . head",
            "on outliers, %",
            "on its most read token, %",
            "that token",
            "entropy, %",
            f"on {first.layout.subject}, %",
        ],
        rows=[
            [
                f"{one.layer} . {one.head}",
                *(f"{100 * value:.1f}" for value in (one.outlier_share, one.top_share)),
                one.top,
                *(f"{100 * value:.1f}" for value in (one.entropy, one.image)),
            ]
            for one in heads(first)[:MOST_HEADS]
        ],
        prose=[3],
    )
    return Section(
        title=f"Attention collapse: {first.label}",
        words="What each token gets from all rows, over what it would get if every row attended equally to all that it "
        f"may read. An outlier gets {TIMES_UNIFORM:g} times that. Entropy is in percent of that of uniform attention; "
        f"the share on the {first.layout.subject} is that of the rows that predict the answer.",
        pictures=[picture(figures["collapse"], COLLAPSE_ALT)],
        tables=[drawing, ranked],
    )


def _decay(all_found: Sequence[Diagnosis], figures: Mapping[str, Figure]) -> Section:
    on = "visual tokens" if len(all_found[0].layout.visual) else "the prompt behind its first token"
    pictures = [picture(figures["decay"], DECAY_ALT)]
    if "frames" in figures:
        pictures.append(picture(figures["frames"], FRAMES_ALT))
    rows = [
        [
            f"{found.label}, layer {one.layer}",
            f"{100 * one.mean:.1f}",
            _percent(one.share),
            f"{100 * one.uniform.value:+.2f}",
            _times(one.over_uniform),
        ]
        for found in all_found
        for one in decay(found)
    ]
    return Section(
        title="Positional decay",
        words=f"Share of each row on {on}, registers counted as part of the row. The dotted line is the "
        "control: a row that attends equally to all that it may read, whose share falls because the text grows. "
        "Slopes are per ten tokens, those of shares in percentage points, with 95 % intervals of a moving-block "
        "bootstrap over the tokens of this one answer; the last is the slope of share over control, 0 where all is "
        "dilution.",
        pictures=pictures,
        tables=[Table(columns=["", "mean, %", "slope", "control", "slope of share / control"], rows=rows)],
    )


def _registers(all_found: Sequence[Diagnosis], figures: Mapping[str, Figure]) -> Section:
    first = all_found[0]
    pictures = [picture(drawn, ABSORBED_ALT) for name, drawn in figures.items() if name.startswith("absorbed_")]
    tables = []
    if has_log_z(first):
        pictures.append(picture(figures["sigmas"], POSSIBLE_ALT))
        shares = shares_of_sigmas(first).mean(2)
        layers = [f"layer {layer}" for layer in range(first.layers)]
        tables.append(
            Table(
                columns=["would absorb, %", *layers, "all"],
                rows=[
                    [f"sigma {sigma:g}", *(f"{100 * value:.2f}" for value in row), f"{100 * row.mean():.2f}"]
                    for sigma, row in zip(SIGMAS, shares, strict=True)
                ],
            )
        )
        tables.append(
            Table(
                columns=["strength for a share of", *layers],
                rows=[
                    [f"{100 * share:g} %", *(f"{one.min():.3g} to {one.max():.3g}" for one in strength)]
                    for share in WANTED
                    for strength in [suggested_strength(first, share)]
                ],
            )
        )
    return Section(
        title="Registers at work",
        words="A row gives its registers R / (Z + R). What a sigma would absorb is computed from this model's own log "
        "Z, layer by layer, without what the registers of one layer change in the next. Strength is the factor on R, "
        f"at sigma {PAPER_SIGMA:g}, with which each head's registers would take the wanted share of these rows; "
        "smallest and largest head of each layer (diagnosis.json has all).",
        pictures=pictures,
        tables=tables,
    )


def _words(all_found: Sequence[Diagnosis], named: Mapping[str, Sequence[Word]], all_words: Figure | None) -> Section:
    rows = [
        [
            f"{found.label}: {word.text}",
            {"true": "yes", "false": "no"}.get(word.kind, "not known"),
            f"{100 * image_share(found, word):.1f}",
            f"{100 * register_share(found, word):.2f}",
        ]
        for found in all_found
        for word in named[found.label]
    ]
    words = (
        "Every word over the picture as the model saw it: bright where the rows that predicted the word attended, mean "
        "over layers and heads. Each picture has its own scale: its brightest patch is the one most attended to."
    )
    if all_words is None:
        words = (
            "No words were said, or there is no picture whose visual tokens form a single grid: nothing to draw over."
        )
    return Section(
        title="Where it looks",
        words=words,
        pictures=[] if all_words is None else [_photograph(Image.open(BytesIO(image(all_words))), LOOKS_ALT)],
        tables=[
            Table(
                columns=[
                    "object word",
                    "in the picture",
                    f"attention on {all_found[0].layout.subject}, %",
                    "absorbed, %",
                ],
                rows=rows,
                prose=[1],
            )
        ]
        if rows
        else [],
    )


def _seen(layout: Layout) -> list[Picture]:
    """Show what was described, as the model saw it; the frames of a video side by side."""
    frames = [one.convert("RGB") for one in layout.shown]
    for one in frames:
        one.thumbnail((MOST_SIDE, MOST_SIDE))
    if not frames:
        return []
    strip = Image.new("RGB", (sum(one.width for one in frames), max(one.height for one in frames)))
    left = 0
    for one in frames:
        strip.paste(one, (left, 0))
        left += one.width
    return [_photograph(strip, SEEN_ALT if len(frames) == 1 else FRAMES_SEEN_ALT)]


def _photograph(shown: Image.Image, alt: str) -> Picture:
    """Put pixels into the page: of a figure of many pictures they take a tenth of the space of its vectors."""
    buffer = BytesIO()
    shown.convert("RGB").save(buffer, "JPEG", quality=85)
    return Picture(source=data_uri(buffer.getvalue(), "image/jpeg"), alt=alt)


def _spans(found: Diagnosis, named: Sequence[Word]) -> list[Span]:
    """Cut the answer into words that name objects and the rest."""
    kinds = {step: word.kind for word in named for step in word.steps}
    return [Span(piece, kinds.get(step, "")) for step, piece in enumerate(found.pieces)]


def _percent(slope: Slope) -> str:
    if not np.isfinite(slope.low):
        return f"{100 * slope.value:+.2f}"
    return f"{100 * slope.value:+.2f} [{100 * slope.low:+.2f}, {100 * slope.high:+.2f}]"


def _times(slope: Slope) -> str:
    if not np.isfinite(slope.low):
        return f"{slope.value:+.3f}"
    return f"{slope.value:+.3f} [{slope.low:+.3f}, {slope.high:+.3f}]"
