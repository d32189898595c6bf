"""The first tab: a picture described under two methods, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from farsight.cancelling import CancelledError
from farsight.errors import InputError
from farsight.inputs.named_models import DRAWN_ONLY, EMBEDDED
from farsight.methods import GREEDY
from farsight.registers import PAPER_SIGMA
from farsight.web.choices import METHOD_NAMES, MOST_HORIZON, MOST_SIGMA, WHOLE_CALL, chosen_method, has_sliders, number
from farsight.web.comparing import Question, compared
from farsight.web.comparison_view import comparison_html
from farsight.web.drawing import shown_uri
from farsight.web.fragments import fragment, text_of
from farsight.web.gallery import gallery
from farsight.web.limits import Limits
from farsight.web.models import Models
from farsight.web.pictures import uploaded
from farsight.web.sessions import Sessions, Shown
from farsight.web.status import failure, status
from farsight.web.upload_zone import upload_zone
from farsight.web.uploads import UploadFolder

PROMPT = "Describe this image in detail."
VIDEO_PROMPT = "Describe this video in detail."
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
VIDEOS = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
CANCELLED = "Cancelled."
READY = "Ready to describe."
FIRST = "The first scene was picked because the methods differ on it; of most they say nearly the same."
EMBEDDED_SIGMA = 0.05
"""Where registers take enough that the embedded model says something else; at the paper's 0.8 it hardly ever does."""
INTO_VIEW = """() => {
  const [asked, told] = ["inputs", "outputs"].map((id) => document.getElementById(id));
  if (told.getBoundingClientRect().top >= asked.getBoundingClientRect().bottom - 1) told.scrollIntoView();
}"""
"""On a narrow screen the results are below all choices."""


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
            [path] = self.uploads.found(name)
            try:
                data = path.read_bytes()
            finally:
                self.uploads.remove(path)
            shown = uploaded(path.name, data, self.limits)
        except Exception as error:
            session.refused = True
            return None, gr.skip(), gr.skip(), failure(error)
        self.sessions.show(request.session_hash, shown)
        of_no_use = f" But {DRAWN_ONLY}: farsight web -m NAME" if self.models.name == EMBEDDED else ""
        return None, gallery_html(None), chosen_html(shown), status(READY + of_no_use)

    def arrive(self, request: gr.Request) -> Any:
        """Begin with the first drawn scene, so that there is something to describe, unless a visitor was faster.

        A visitor whose upload was refused before keeps what was said of it.
        """
        session = self.sessions.of(request.session_hash)
        if session.shown is not None:
            return gr.skip()
        if gallery():
            self.sessions.show(request.session_hash, gallery()[0])
        return gr.skip() if session.refused else status(READY)

    def take(self, request: gr.Request, event: gr.EventData) -> tuple[Any, Any, str]:
        """Take a drawn scene."""
        index, scenes = getattr(event, "index", None), gallery()
        if not isinstance(index, int) or not 0 <= index < len(scenes):
            return gr.skip(), gr.skip(), failure(InputError("there is no such scene; choose one of these"))
        self.sessions.show(request.session_hash, scenes[index])
        return gallery_html(index), chosen_html(scenes[index]), status(READY)

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
        self, left: Any, right: Any, sigma: Any, horizon: Any, prompt: Any, tokens: Any, request: gr.Request
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
        except Exception as error:  # a model that runs out of memory must not take the page with it
            yield failure(error), gr.skip()

    def _question(
        self, shown: Shown | None, left: Any, right: Any, sigma: Any, horizon: Any, prompt: Any, tokens: Any
    ) -> Question:
        if shown is None:
            raise InputError("there is no picture, or so many came since that it was forgotten; choose it again")
        if not isinstance(prompt, str) or not prompt.strip():
            raise InputError("the prompt is empty; say what to ask about the picture")
        if any("\ud800" <= letter <= "\udfff" for letter in prompt):
            raise InputError("the prompt has half of a letter in it (a lone surrogate); type it again")
        if len(prompt) > self.limits.prompt_letters:
            raise InputError(f"the prompt is longer than the limit of {self.limits.prompt_letters} letters; shorten it")
        most = number("the length in tokens", tokens, 1, self.limits.new_tokens)
        asked = VIDEO_PROMPT if shown.is_video and prompt == PROMPT else prompt
        methods = [chosen_method(name, sigma, horizon, self.models.methods) for name in (left, right)]
        return Question(shown=shown, prompt=asked, methods=methods, max_new_tokens=int(most))


def gallery_html(chosen: int | None) -> str:
    """Draw the scenes as buttons."""
    scenes = [{"name": one.name, "video": one.is_video, "source": _thumbnail(one)} for one in gallery()]
    return fragment("gallery", scenes=scenes, chosen=chosen)


def chosen_html(shown: Shown | None) -> str:
    """Show what will be described."""
    if shown is None:
        return fragment("chosen", source="", video=False, name="")
    return fragment("chosen", source=shown.source, video=shown.is_video, name=shown.name)


def sliders(left: Any, right: Any) -> tuple[Any, Any]:
    """Show the settings of FarSight where a side has them."""
    shown = gr.update(visible=has_sliders(left) or has_sliders(right))
    return shown, shown


def _thumbnail(shown: Shown) -> str:
    seen = shown.seen()
    return shown_uri(seen[3] if isinstance(seen, list) else seen, 112)


def describe_tab(does: DescribeTab, *, private: dict[str, Any]) -> gr.HTML:
    """Lay out the tab and give what `DescribeTab.arrive` fills in; ``private`` keeps events out of Gradio's own API."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320, elem_id="inputs"):
            gr.HTML("<h2>Picture</h2>", js_on_load=None)
            file = upload_zone(
                label="Picture or short video",
                file_types=[*PICTURES, *VIDEOS], height=120, elem_id="drop",
            )  # fmt: skip
            scenes = gr.HTML(gallery_html(0), js_on_load=text_of("gallery.js"), elem_id="gallery")
            first = next(iter(gallery()), None)
            gr.HTML(f'<p class="quiet">{FIRST}</p>', visible=first is not None, js_on_load=None)
            chosen = gr.HTML(chosen_html(first), js_on_load=None, elem_id="chosen")
            gr.HTML("<h2>Methods</h2>", js_on_load=None)
            with gr.Row():
                names = [*does.models.methods, *METHOD_NAMES]
                other = next(iter(does.models.methods), "farsight")
                left = gr.Dropdown(names, value=GREEDY, label="Left", min_width=120, elem_id="left")
                right = gr.Dropdown(names, value=other, label="Right", min_width=120, elem_id="right")
            usual = EMBEDDED_SIGMA if does.models.name == EMBEDDED else round(PAPER_SIGMA, 2)
            sigma = _slider(
                0.01, MOST_SIGMA, value=usual, step=0.01, label="sigma", elem_id="sigma",
                info=f"Decay of FarSight's registers; smaller absorbs more. The paper's is {PAPER_SIGMA:.1f}.",
            )  # fmt: skip
            horizon = _slider(
                0, MOST_HORIZON, value=WHOLE_CALL, step=1, label="horizon", elem_id="horizon",
                info="In tokens; 0 is the length of prompt and answer, as in the paper.",
            )  # fmt: skip
            with gr.Accordion("What is asked", open=False):
                prompt = gr.Textbox(PROMPT, label="Prompt", max_length=does.limits.prompt_letters, elem_id="prompt")
                tokens = _slider(8, does.limits.new_tokens, value=128, step=8, label="At most so many tokens")
            with gr.Row():
                start = gr.Button("Describe", variant="primary", min_width=120, elem_id="start")
                stop = gr.Button("Cancel", interactive=False, min_width=120, elem_id="stop")
        with gr.Column(scale=7, min_width=320, elem_id="outputs"):
            gr.HTML("<h2>Side by side</h2>", js_on_load=None)
            told = gr.HTML(status("One moment."), js_on_load=None, elem_id="status")
            result = gr.HTML("", js_on_load=text_of("words.js"), elem_id="result")
    quick: dict[str, Any] = {"show_progress": "hidden", "queue": False, **private}
    for one in (left, right):
        one.change(sliders, [left, right], [sigma, horizon], **quick)
    file.upload(does.upload, file, [file, scenes, chosen, told], **quick)
    scenes.click(does.take, None, [scenes, chosen, told], **quick)
    asked = [left, right, sigma, horizon, prompt, tokens]
    _job(start.click, does, asked, [told, result], [start, stop], private)
    stop.click(does.cancel, None, told, **quick)
    return told


def _slider(low: float, high: float, **how: Any) -> gr.Slider:
    """Make a slider whose value is checked where it is used, by name: Gradio names none, and its box can be emptied."""
    slider = gr.Slider(low, high, **how)
    vars(slider)["preprocess"] = lambda payload: payload
    return slider


def _job(
    begins: Callable[..., Any], does: DescribeTab, asked: list[Any], shown: list[Any], buttons: list[Any],
    private: dict[str, Any],
) -> None:  # fmt: skip
    """Begin at once, wait for the model, run, and free the button again, whatever happened."""
    begun = begins(does.begin, None, [shown[0], *buttons], show_progress="hidden", queue=False, js=INTO_VIEW, **private)
    ran = begun.then(
        does.describe, asked, shown, concurrency_limit=1, concurrency_id="model", show_progress="hidden", **private
    )
    ran.then(does.end, None, buttons, show_progress="hidden", queue=False, **private)
