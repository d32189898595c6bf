"""The third tab: the snowball audit of uploaded captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from farsight.errors import InputError
from farsight.inputs.named_models import EMBEDDED, vocabulary_of
from farsight.metrics import chair, snowball
from farsight.metrics.captions import read_objects
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import Vocabulary, read_vocabulary
from farsight.report.audit import CURVES_ALT, RANKS_ALT, draw_curves, draw_ranks, overview, summary
from farsight.report.page import picture
from farsight.web.fragments import fragment
from farsight.web.limits import Limits
from farsight.web.status import failure, status
from farsight.web.upload_zone import upload_zone
from farsight.web.uploads import UploadFolder

COCO, SCENES = "MS COCO", "drawn scenes"
WORDS = (
    "Captions are rows of <code>image_id</code> and <code>caption</code>, objects rows of <code>image_id</code> and "
    "<code>objects</code>, one JSON object a line; COCO's <code>instances_*.json</code> will do too. Files are "
    "removed once they are scored."
)
MATCHED = (
    "Later objects are false more often anyway, so distinct objects are compared with those of the same rank; a ratio "
    "of 1 means no snowball."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditTab:
    """What the tab's button does."""

    uploads: UploadFolder
    limits: Limits

    def audit(self, captions: str | None, objects: str | None, vocabulary: str) -> tuple[str, Any, Any, Any]:
        """Audit two uploaded files, and take them off the disk; if one is bad, the other need not be uploaded again."""
        try:
            if not captions or not objects:
                raise InputError("both files are needed: the captions, and the objects that are in their pictures")
            paths = self.uploads.found(captions, objects)
            found = audit_html(paths, _vocabulary(vocabulary), self.limits)
            self.uploads.remove(*paths)
        except Exception as error:
            return failure(error), "", gr.skip(), gr.skip()
        return status("Done."), found, None, None


def audit_html(paths: Sequence[Path], vocabulary: Vocabulary, limits: Limits) -> str:
    """Score captions against objects and draw the audit.

    Raises
    ------
    InputError
        If a file is bad; the message has its name, not its path.
    """
    captions, objects = paths
    try:
        for path in paths:
            if path.stat().st_size > limits.bytes:
                raise InputError(f"{path} is larger than the limit of {limits.megabytes:g} MB; use 'farsight audit'")
        present = read_objects(objects, vocabulary, Reader())
        score = chair.score(captions, present, vocabulary=vocabulary)
    except InputError as error:
        text = str(error)
        for path in paths:
            text = text.replace(str(path), path.name)
        raise InputError(text.replace(", or leave such records out with --skip-bad (skip_bad=True)", "")) from error
    name = captions.stem
    audits = {name: snowball.audit(score, seed=0)}
    sections = [
        (
            "Where captions go wrong",
            "Bands and whiskers are 95 % bootstrap intervals over captions; shares in percent.",
            [overview(audits, {name: score})],
            [picture(draw_curves(audits), CURVES_ALT)],
        ),
        (
            "Matched by rank",
            MATCHED,
            [],
            [picture(draw_ranks(audits), RANKS_ALT)],
        ),
    ]
    return fragment("section", summary=[summary(name, audits[name])], sections=sections)


def _vocabulary(name: str) -> Vocabulary:
    if name not in (COCO, SCENES):
        raise InputError(f"there is no vocabulary '{name}'; choose {COCO} or {SCENES}")
    return read_vocabulary(vocabulary_of(EMBEDDED) if name == SCENES else None)


def audit_tab(does: AuditTab, *, private: dict[str, Any]) -> None:
    """Lay out the tab."""
    gr.HTML(f'<p class="quiet">{WORDS}</p>')
    with gr.Row():
        captions = upload_zone(label="Captions (.jsonl)", height=120, elem_id="captions")
        objects = upload_zone(label="Objects (.jsonl)", height=120, elem_id="objects")
    vocabulary = gr.Radio([COCO, SCENES], value=COCO, label="Words that name objects", elem_id="vocabulary")
    start = gr.Button("Audit", variant="primary", elem_id="audit")
    told = gr.HTML(status("Choose both files, then press Audit."), js_on_load=None, elem_id="audit-status")
    found = gr.HTML("", js_on_load=None, elem_id="audit-found")
    start.click(
        does.audit, [captions, objects, vocabulary], [told, found, captions, objects],
        show_progress="minimal", concurrency_limit=2, concurrency_id="files", **private,
    )  # fmt: skip
