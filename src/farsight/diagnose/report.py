"""A diagnosis as a folder: a page that opens offline, figures as PNG and PDF, arrays, and the figures as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from farsight.diagnose.absorption import WANTED, absorbed, has_log_z, suggested_strength
from farsight.diagnose.collapse import heads, outliers
from farsight.diagnose.collector import SOURCES
from farsight.diagnose.decay import decay
from farsight.diagnose.diagnosis import Diagnosis
from farsight.diagnose.draw_collapse import draw_collapse
from farsight.diagnose.draw_decay import draw_decay, draw_flow, draw_frames
from farsight.diagnose.draw_registers import draw_absorbed, draw_possible
from farsight.diagnose.draw_words import draw_looks
from farsight.diagnose.page import diagnosis_page
from farsight.diagnose.words import Word, image_share, object_words, register_share, words
from farsight.files import make_folder, write
from farsight.metrics.vocabulary import Vocabulary
from farsight.report.charts import image

MOST_WORDS = 20
"""Words of each method in the figure; the page has all of them."""


def write_report(
    all_found: Sequence[Diagnosis],
    out: Path,
    *,
    title: str,
    footer: str,
    vocabulary: Vocabulary,
    present: frozenset[str] | None = None,
) -> dict[str, Any]:
    """Write all that was seen into a folder.

    Parameters
    ----------
    all_found
        From `farsight.diagnose.diagnose`; the first is the baseline.
    out
        The folder; it is made if need be. ``report.html``, ``NAME.png`` and ``NAME.pdf`` of each figure,
        ``METHOD.npz`` with the arrays, ``diagnosis.json``.
    title, footer
        The page's heading, and its last line.
    vocabulary
        Which words name objects.
    present
        Objects that are in the picture, to mark those that are not; None if not known.

    Returns
    -------
    What ``diagnosis.json`` holds.

    Raises
    ------
    InputError
        If the folder cannot be written to.
    """
    make_folder(out)
    named = {found.label: object_words(found, vocabulary, present) for found in all_found}
    figures = draw_all(all_found, named)
    for name, drawn in figures.items():
        write(out / f"{name}.png", [image(drawn)])
        write(out / f"{name}.pdf", [image(drawn, "pdf")])
    for number, found in enumerate(all_found):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **_arrays(found))
        write(out / f"method_{number}.npz", [buffer.getvalue()])
    records = [
        record(found, named[found.label]) | {"arrays": f"method_{number}.npz"} for number, found in enumerate(all_found)
    ]
    everything = {"title": title, "sources": list(SOURCES), "methods": records}
    write(out / "diagnosis.json", [json.dumps(everything, indent=2, allow_nan=False).encode()])
    marked = {found.label: _in_order(found, named[found.label]) for found in all_found}
    page = diagnosis_page(title, all_found, named, figures, draw_looks(all_found, marked), footer)
    write(out / "report.html", [page])
    return everything


def draw_all(all_found: Sequence[Diagnosis], named: Mapping[str, Sequence[Word]]) -> dict[str, Figure]:
    """Draw every figure, by its name."""
    first = all_found[0]
    figures = {"collapse": draw_collapse(first), "decay": draw_decay(all_found)}
    if first.layout.frames > 1:
        figures["frames"] = draw_frames(all_found)
    for number, found in enumerate(all_found):
        if float(absorbed(found).max()) > 1e-6:
            figures[f"absorbed_{number}"] = draw_absorbed(found)
    if has_log_z(first):
        figures["sigmas"] = draw_possible(first)
    shown = {found.label: (list(named[found.label]) or words(found))[:MOST_WORDS] for found in all_found}
    if (looks := draw_looks(all_found, shown)) is not None:
        figures["words"] = looks
    figures["flow"] = draw_flow(all_found)
    return figures


def record(found: Diagnosis, named: Sequence[Word]) -> dict[str, Any]:
    """Give the figures of one method as JSON can write them."""
    given = {
        "label": found.label,
        "text": found.text,
        "prompt_tokens": found.prompt_slots,
        "answer_tokens": len(found.pieces),
        "outliers": [asdict(one) for one in outliers(found)],
        "heads": [asdict(one) for one in heads(found)],
        "decay": [asdict(one) for one in decay(found)],
        "absorbed": absorbed(found).mean(-1).round(6).tolist(),
        "objects": [
            asdict(word) | {"image": image_share(found, word), "registers": register_share(found, word)}
            for word in named
        ],
    }
    if has_log_z(found):
        given["strength"] = {f"{share:g}": suggested_strength(found, share).tolist() for share in WANTED}
    cleaned: dict[str, Any] = _without_nan(given)
    return cleaned


def _arrays(found: Diagnosis) -> dict[str, Any]:
    return {
        **{name: values.astype(np.float32) for name, values in found.arrays.items()},
        "tokens": np.array(found.tokens),
        "visual_slots": found.layout.visual,
        "prompt_slots": np.array(found.prompt_slots),
    }


def _in_order(found: Diagnosis, named: Sequence[Word]) -> list[Word]:
    """All words of an answer, those that name objects as such."""
    taken = {step for word in named for step in word.steps}
    others = [word for word in words(found) if not taken & set(word.steps)]
    return sorted([*named, *others], key=lambda word: word.steps)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
