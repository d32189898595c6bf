"""The second tab: the run folders that the server was started with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import gradio as gr

from farsight.errors import InputError
from farsight.evaluate.finished import AGAIN, FinishedRun, read_run
from farsight.files import reading
from farsight.web.run_view import ANY, false_objects, figures_html, items_html
from farsight.web.status import failure, status

PAGE = 12
NO_RUNS = "No run folder is open: start the page with 'farsight web --run FOLDER'."


@dataclass(frozen=True, kw_only=True, eq=False)
class RunTab:
    """What the tab does.

    Parameters
    ----------
    folders
        By the name that visitors choose; they never say a path.
    """

    folders: Mapping[str, Path]
    _read: dict[str, FinishedRun] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def open(self, name: Any, part: Any = None, *methods: Any) -> Iterator[FinishedRun]:
        """Give a run; the same one again is not read twice.

        Raises
        ------
        InputError
            If there is no run, part or method of this name, or the folder is damaged, which may show only in the block.
        """
        if not isinstance(name, str) or name not in self.folders:
            raise InputError("there is no such run; choose one of the list")
        with reading(f"run '{name}'", "a finished run", AGAIN):
            with self._lock:
                if name not in self._read:
                    self._read[name] = read_run(self.folders[name])
            run = self._read[name]
            if part is not None and part not in [one.part for one in run.parts]:
                raise InputError("there is no such part; choose one of the list")
            if any(method not in run.methods for method in methods):
                raise InputError("there is no such method; choose one of the list")
            yield run

    def choose(self, name: Any) -> tuple[Any, ...]:
        """Show a run from its first part on, and what can be chosen of it."""
        try:
            with self.open(name) as run:
                parts, methods = [part.part for part in run.parts], list(run.methods)
                left, right = methods[0], methods[min(1, len(methods) - 1)]
                return (
                    status(run.title),
                    gr.update(choices=parts, value=parts[0]),
                    gr.update(choices=methods, value=left),
                    gr.update(choices=methods, value=right),
                    *self.change(name, parts[0], left, right),
                )
        except Exception as error:
            return failure(error), *(gr.update(choices=[], value=None) for _ in range(3)), *_nothing("")

    def change(self, name: Any, part: Any, left: Any, right: Any) -> tuple[Any, ...]:
        """Show another part or other methods: figures, their false objects, items, and how many of them."""
        try:
            with self.open(name, part, left, right) as run:
                return (
                    figures_html(run, part),
                    gr.update(choices=false_objects(run, part, (left, right)), value=ANY),
                    items_html(run, part, left, right, ANY, PAGE),
                    PAGE,
                )
        except Exception as error:
            return _nothing(failure(error))

    def filter(self, name: Any, part: Any, left: Any, right: Any, wanted: Any, most: int) -> str:
        """Show only the items with one false object."""
        try:
            with self.open(name, part, left, right) as run:
                return items_html(run, part, left, right, wanted or ANY, most)
        except Exception as error:
            return failure(error)

    def more(self, name: Any, part: Any, left: Any, right: Any, wanted: Any, most: int) -> tuple[str, int]:
        """Show more of them."""
        return self.filter(name, part, left, right, wanted, most + PAGE), most + PAGE


def _nothing(said: str) -> tuple[Any, ...]:
    return said, gr.update(choices=[], value=None), "", PAGE


def run_tab(does: RunTab, *, private: dict[str, Any]) -> None:
    """Lay out the tab."""
    names = list(does.folders)
    if not names:
        gr.HTML(status(NO_RUNS), js_on_load=None, elem_id="run-status")
        return
    first = does.choose(names[0])
    with gr.Row():
        run = gr.Dropdown(names, value=names[0], label="Run", min_width=200, elem_id="run")
        part = _choice("Part", "part", first[1])
    said = gr.HTML(first[0], js_on_load=None, elem_id="run-status")
    figures = gr.HTML(first[4], js_on_load=None, elem_id="run-figures")
    gr.HTML("<h2>Pictures on which two methods differ</h2>", js_on_load=None)
    with gr.Row():
        left, right = _choice("Left", "run-left", first[2]), _choice("Right", "run-right", first[3])
        wanted = _choice("False object", "false-object", first[5])
    items = gr.HTML(first[6], js_on_load=None, elem_id="items")
    most = gr.State(PAGE)
    further = gr.Button("Show more", elem_id="more", size="sm")
    quick: dict[str, Any] = {"show_progress": "minimal", "concurrency_limit": 2, "concurrency_id": "files", **private}
    run.input(does.choose, run, [said, part, left, right, figures, wanted, items, most], **quick)
    for one in (part, left, right):
        one.input(does.change, [run, part, left, right], [figures, wanted, items, most], **quick)
    asked = [run, part, left, right, wanted, most]
    wanted.input(does.filter, asked, items, **quick)
    further.click(does.more, asked, [items, most], **quick)


def _choice(label: str, elem_id: str, given: Any) -> gr.Dropdown:
    return gr.Dropdown(given["choices"], value=given["value"], label=label, min_width=200, elem_id=elem_id)
