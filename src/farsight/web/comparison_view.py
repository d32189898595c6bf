"""A comparison as HTML: two columns, the words that differ marked, words of objects to choose."""

from __future__ import annotations

from typing import Any

from farsight.diagnose.words import Word, image_share, object_words, register_share
from farsight.web.comparing import Column, Comparison
from farsight.web.drawing import look_uri
from farsight.web.fragments import fragment
from farsight.web.marking import differing_spans, pieces

TRUTH = [("word true", "in the picture"), ("word false", "not in the picture")]
DIFFERS = ("differs", "only on this side")


def comparison_html(state: Comparison) -> str:
    """Draw the state of a job."""
    left, right = state.columns
    both = left.said is not None and right.said is not None
    differing = differing_spans(left.text, right.text) if both else ([], [])
    columns = [_column(state, column, spans) for column, spans in zip(state.columns, differing, strict=True)]
    legend = list(TRUTH) if state.shown.objects is not None else [("word", "an object")]
    note = state.note
    if both:
        legend = [*legend, DIFFERS] if any(differing) else legend
        if not any(differing):
            note = f"Both say the same, word for word. {note}".strip()
    return fragment(
        "comparison",
        columns=columns,
        source=state.shown.source,
        video=state.shown.is_video,
        done=state.done,
        legend=legend,
        note=note,
    )


def _column(state: Comparison, column: Column, differing: list[tuple[int, int]]) -> dict[str, Any]:
    looks = _looks(state, column) if state.done else []
    mentions = column.mentions(state.vocabulary)
    return {
        "label": column.label,
        "pieces": pieces(column.text, differing, mentions, state.shown.objects),
        "looks": looks,
        "clickable": bool(looks),
        "silent": column.said is not None and not column.text.strip(),
        "figures": _figures(state, column),
    }


def _figures(state: Comparison, column: Column) -> list[tuple[str, str]]:
    if column.said is None:
        return []
    said = column.said
    figures = [("time", f"{said.seconds:.2f} s"), ("speed", f"{said.tokens_per_second:.1f} tokens/s")]
    figures.append(("length", f"{said.tokens} tokens"))
    if (score := state.score(column)) is not None:
        false = f"{score.hallucinated_mentions} of {score.mentions}"
        figures += [
            ("CHAIR_S", f"{score.hallucinated_captions}"),
            ("CHAIR_I", f"{100 * score.chair_i:.1f} % ({false})"),
            ("recall", f"{100 * score.recall:.0f} %"),
        ]
    return figures


def _looks(state: Comparison, column: Column) -> list[dict[str, Any]]:
    """Give a picture for each word that names an object, if the words are those of the text."""
    found = column.found
    if found is None or found.layout.grid is None:
        return []
    words = object_words(found, state.vocabulary, state.shown.objects)
    if [word.object for word in words] != [mention.object for mention in column.mentions(state.vocabulary)]:
        return []
    return [
        {
            "object": word.object,
            "mention": number,
            "source": look_uri(found, word),
            "alt": _alt(column, word, image_share(found, word), register_share(found, word)),
        }
        for number, word in enumerate(words)
        if word.steps
    ]


def _alt(column: Column, word: Word, on_image: float, absorbed: float) -> str:
    taken = f", {100 * absorbed:.1f} % taken by registers" if absorbed > 0.0005 else ""
    return (
        f"Where {column.label} looked when it said “{word.text}”: bright is more. "
        f"{100 * on_image:.0f} % of its attention was on the picture{taken}."
    )
