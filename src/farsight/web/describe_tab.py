"""The first tab: a picture described under two methods, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from farsight.cancelling import CancelledError
from farsight.errors import FarSightError, InputError
from farsight.registers import PAPER_SIGMA
from farsight.web.choices import METHOD_NAMES, MOST_HORIZON, WHOLE_CALL, chosen_method
from farsight.web.comparing import Question, compared
from farsight.web.comparison_view import comparison_html
from farsight.web.drawing import shown_uri
from farsight.web.fragments import fragment, text_of
from farsight.web.gallery import gallery
from farsight.web.limits import Limits
from farsight.web.models import Models
from farsight.web.sessions import Sessions, Shown
from farsight.web.status import failure, status
from farsight.web.upload_zone import upload_zone
from farsight.web.uploads import UploadFolder, read_picture

PROMPT = "Describe this image in detail."
VIDEO_PROMPT = "Describe this video in detail."
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
VIDEOS = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
CANCELLED = "Cancelled."
NOTHING_YET = "Choose a picture, then press Describe."


@dataclass(frozen=True, kw_only=True, eq=False)
class DescribeTab:
    """What the tab's buttons do.

    Parameters
    ----------
    models, sessions, uploads, limits
        Shared by all visitors; what belongs to one visitor is in their session.
    """

    models: Models
    sessions: Sessions
    uploads: UploadFolder
    limits: Limits

    def upload(self, name: str | None, request: gr.Request) -> tuple[None, Any, str, str]:
        """Take an uploaded picture into memory, and the file off the disk."""
        session = self.sessions.of(request.session_hash)
        try:
            with self.uploads.taken(name) as [path]:
                seen = read_picture(path, self.limits)
                session.shown = Shown(seen=seen, name=path.name)
        except FarSightError as error:
            return None, gr.skip(), gr.skip(), failure(str(error))
        return None, gallery_html(None), chosen_html(session.shown), status("Ready to describe.")

    def take(self, request: gr.Request, event: gr.EventData) -> tuple[str, str, str]:
        """Take a drawn scene."""
        scenes = gallery()
        index = getattr(event, "index", None)
        if not isinstance(index, int) or not 0 <= index < len(scenes):
            return gallery_html(None), chosen_html(None), failure("There is no such scene.")
        session = self.sessions.of(request.session_hash)
        session.shown = scenes[index]
        return gallery_html(index), chosen_html(session.shown), status("Ready to describe.")

    def begin(self, request: gr.Request) -> tuple[str, Any, Any]:
        """Start a job: it waits in the queue until the model is free."""
        self.sessions.of(request.session_hash).new_job()
        return status("Waiting for the model."), gr.update(interactive=False), gr.update(interactive=True)

    def cancel(self, request: gr.Request) -> str:
        """Stop the job, waiting or running."""
        self.sessions.of(request.session_hash).cancelled.set()
        return status(CANCELLED)

    def end(self) -> tuple[Any, Any]:
        """Let a new job be started."""
        return gr.update(interactive=True), gr.update(interactive=False)

    def describe(
        self, left: str, right: str, sigma: float, horizon: float, prompt: str, tokens: float, request: gr.Request
    ) -> Iterator[tuple[str, Any]]:
        """Run the job, and give status and result whenever there is something new."""
        session = self.sessions.of(request.session_hash)
        cancelled, shown = session.cancelled, session.shown
        try:
            question = self._question(shown, left, right, sigma, horizon, prompt, tokens)
            for state in compared(self.models, question, cancelled):
                text = "Done." if state.done else f"{state.doing} …"
                yield status(text, step=state.step, steps=state.steps), comparison_html(state)
        except CancelledError:
            yield status(CANCELLED), gr.skip()
        except FarSightError as error:
            yield failure(str(error)), gr.skip()
        except Exception as error:  # a model that runs out of memory must not take the page with it
            yield failure(f"The model failed ({type(error).__name__}); see the terminal of the server."), gr.skip()
            raise

    def _question(
        self, shown: Shown | None, left: str, right: str, sigma: float, horizon: float, prompt: str, tokens: float
    ) -> Question:
        if shown is None:
            raise InputError("there is no picture yet; drop one, or take a drawn scene")
        if not prompt.strip():
            raise InputError("the prompt is empty; say what to ask about the picture")
        if len(prompt) > self.limits.prompt_letters:
            raise InputError(f"the prompt is longer than the limit of {self.limits.prompt_letters} letters; shorten it")
        if not 1 <= tokens <= self.limits.new_tokens:
            raise InputError(f"the length must be from 1 to {self.limits.new_tokens} tokens")
        asked = VIDEO_PROMPT if shown.is_video and prompt == PROMPT else prompt
        methods = [chosen_method(name, sigma, int(horizon)) for name in (left, right)]
        return Question(shown=shown, prompt=asked, methods=methods, max_new_tokens=int(tokens))


def gallery_html(chosen: int | None) -> str:
    """Draw the scenes as buttons."""
    scenes = [{"name": one.name, "video": one.is_video, "source": _thumbnail(one)} for one in gallery()]
    return fragment("gallery", scenes=scenes, chosen=chosen)


def chosen_html(shown: Shown | None) -> str:
    """Show what will be described."""
    if shown is None:
        return fragment("chosen", source="", video=False, name="")
    return fragment("chosen", source=shown.source, video=shown.is_video, name=shown.name)


def _thumbnail(shown: Shown) -> str:
    return shown_uri(shown.seen[3] if isinstance(shown.seen, list) else shown.seen, 112)


def describe_tab(does: DescribeTab, *, private: dict[str, Any]) -> None:
    """Lay out the tab; ``private`` keeps its events out of the programmable interface."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320, elem_id="inputs"):
            gr.HTML("<h2>Picture</h2>", js_on_load=None)
            file = upload_zone(
                label="Picture or short video",
                file_types=[*PICTURES, *VIDEOS], height=120, elem_id="drop",
            )  # fmt: skip
            scenes = gr.HTML(gallery_html(None), js_on_load=text_of("gallery.js"), elem_id="gallery")
            chosen = gr.HTML(chosen_html(None), js_on_load=None, elem_id="chosen")
            gr.HTML("<h2>Methods</h2>", js_on_load=None)
            with gr.Row():
                left = gr.Dropdown(list(METHOD_NAMES), value="plain", label="Left", min_width=120, elem_id="left")
                right = gr.Dropdown(list(METHOD_NAMES), value="farsight", label="Right", min_width=120, elem_id="right")
            sigma = gr.Slider(
                0.01, 1.6, value=round(PAPER_SIGMA, 2), step=0.01, label="sigma", elem_id="sigma",
                info="Decay of FarSight's registers; smaller absorbs more.",
            )  # fmt: skip
            horizon = gr.Slider(
                0, MOST_HORIZON, value=WHOLE_CALL, step=1, label="horizon", elem_id="horizon",
                info="In tokens; 0 is the length of prompt and answer, as in the paper.",
            )  # fmt: skip
            with gr.Accordion("What is asked", open=False):
                prompt = gr.Textbox(PROMPT, label="Prompt", max_length=does.limits.prompt_letters, elem_id="prompt")
                tokens = gr.Slider(8, does.limits.new_tokens, value=128, step=8, label="At most so many tokens")
            with gr.Row():
                start = gr.Button("Describe", variant="primary", min_width=120, elem_id="start")
                stop = gr.Button("Cancel", interactive=False, min_width=120, elem_id="stop")
        with gr.Column(scale=7, min_width=320, elem_id="outputs"):
            gr.HTML("<h2>Side by side</h2>", js_on_load=None)
            told = gr.HTML(status(NOTHING_YET), js_on_load=None, elem_id="status")
            result = gr.HTML("", js_on_load=text_of("words.js"), elem_id="result")
    quick: dict[str, Any] = {"show_progress": "hidden", "queue": False, **private}
    file.upload(does.upload, file, [file, scenes, chosen, told], **quick)
    scenes.click(does.take, None, [scenes, chosen, told], **quick)
    asked = [left, right, sigma, horizon, prompt, tokens]
    _job(start.click, does, asked, [told, result], [start, stop], private)
    stop.click(does.cancel, None, told, **quick)


def _job(
    begins: Callable[..., Any], does: DescribeTab, asked: list[Any], shown: list[Any], buttons: list[Any],
    private: dict[str, Any],
) -> None:  # fmt: skip
    """Begin at once, wait for the model, run, and free the button again, whatever happened."""
    begun = begins(does.begin, None, [shown[0], *buttons], show_progress="hidden", queue=False, **private)
    ran = begun.then(
        does.describe, asked, shown, concurrency_limit=1, concurrency_id="model", show_progress="hidden", **private
    )
    ran.then(does.end, None, buttons, show_progress="hidden", queue=False, **private)
