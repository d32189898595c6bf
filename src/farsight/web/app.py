"""The page: tabs over what the library computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from farsight.web.audit_tab import AuditTab, audit_tab
from farsight.web.describe_tab import DescribeTab, describe_tab
from farsight.web.limits import Limits
from farsight.web.models import Models
from farsight.web.run_tab import RunTab, run_tab
from farsight.web.sessions import Sessions
from farsight.web.uploads import UploadFolder

TITLE = "FarSight: what is in the picture?"
JUDGING = '<iframe class="judging" src="judging/" title="What is in the picture?"></iframe>'
KEYS_TO_JUDGING = "() => document.querySelector('iframe.judging')?.focus()"
PRIVATE: dict[str, Any] = {"api_visibility": "private"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """What the page is made of.

    Parameters
    ----------
    models
        The models that describe pictures.
    uploads
        Where uploads go, until they are read.
    runs
        Run folders by name.
    limits
        Of uploads and questions.
    judges
        Whether the judging page is mounted below this one: it has a tab then.
    """

    models: Models
    uploads: UploadFolder
    runs: Mapping[str, Path]
    limits: Limits
    judges: bool = False
    sessions: Sessions = field(init=False)

    def __post_init__(self) -> None:
        """Begin without visitors."""
        object.__setattr__(
            self, "sessions", Sessions(self.limits.sessions, int(self.limits.kept_megabytes * 1_000_000))
        )

    def leave(self, request: gr.Request) -> None:
        """Forget a visitor who has closed the page."""
        self.sessions.forget(request.session_hash)

    def blocks(self) -> gr.Blocks:
        """Lay out the page."""
        describing = DescribeTab(models=self.models, sessions=self.sessions, uploads=self.uploads, limits=self.limits)
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=False) as blocks:
            gr.HTML(f'<h1>FarSight</h1><p class="quiet">Model: {escape(self.models.name)}</p>', js_on_load=None)
            with gr.Tabs():
                with gr.Tab("Describe", id="describe"):
                    told = describe_tab(describing, private=PRIVATE)
                with gr.Tab("Run", id="run"):
                    run_tab(RunTab(folders=self.runs), private=PRIVATE)
                with gr.Tab("Audit", id="audit"):
                    audit_tab(AuditTab(uploads=self.uploads, limits=self.limits), private=PRIVATE)
                if self.judges:
                    with gr.Tab("Judge", id="judge") as judge:
                        gr.HTML(JUDGING, js_on_load=None)
                    judge.select(None, js=KEYS_TO_JUDGING, **PRIVATE)
            blocks.load(describing.arrive, None, told, show_progress="hidden", queue=False, **PRIVATE)
            blocks.unload(self.leave)
        return blocks.queue(max_size=64, status_update_rate=1, default_concurrency_limit=4)
