"""The server: loopback, a temporary folder that is removed with it, and no call to any other host."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from farsight.judging.desk import Desk
from farsight.web.limits import Limits
from farsight.web.listening import address_of, listen, terminating
from farsight.web.models import Models

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

COPIES = "GRADIO_TEMP_DIR"
SWEEP_SECONDS = 60.0


@contextmanager
def serving(
    models: Models,
    *,
    host: str,
    port: int,
    runs: Mapping[str, Path],
    limits: Limits | None = None,
    names: Collection[str] = (),
    desk: Desk | None = None,
) -> Iterator[Server]:
    """Make a server for the length of a block; its temporary folder is removed on leaving.

    Parameters
    ----------
    models
        What describes; the model for pictures is loaded before anybody comes.
    host, port
        Where it listens; port 0 is any that is free.
    runs
        Run folders of the second tab, by name.
    limits
        Of what is uploaded and asked for.
    names
        Under which it may be opened, besides every IP address, localhost and ``host``.
    desk
        What is judged in a tab of its own; there is none without.

    Raises
    ------
    InputError
        If the port is taken, or there is no such address on this machine.
    """
    limits = limits or Limits()
    listening = listen(host, port)
    with terminating(), tempfile.TemporaryDirectory(prefix="farsight-web-") as folder, listening:
        uploads = Path(folder) / "uploads"
        uploads.mkdir()
        models.load()
        with _kept_in(uploads):
            yield Server(models, listening, uploads, runs, limits, {host, *names}, desk)


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """Have Gradio copy its files to a folder, and after the block to where it did before: it asks for each of them."""
    before = os.environ.get(COPIES)
    os.environ[COPIES] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(COPIES)
        os.environ |= {} if before is None else {COPIES: before}


class Server:
    """The page behind its guard, on a socket that listens already; made by `serving`."""

    def __init__(
        self,
        models: Models,
        listening: socket.socket,
        uploads: Path,
        runs: Mapping[str, Path],
        limits: Limits,
        names: Collection[str],
        desk: Desk | None,
    ) -> None:
        import gradio as gr
        import uvicorn
        from fastapi import FastAPI

        from farsight.web.app import Page
        from farsight.web.fragments import text_of
        from farsight.web.guard import Guard
        from farsight.web.judging import judging_app
        from farsight.web.receiving import Receiver
        from farsight.web.theme import theme
        from farsight.web.uploads import UploadFolder

        self.listening = listening
        self.uploads = UploadFolder(uploads, limits)
        self.page = Page(models=models, uploads=self.uploads, runs=runs, limits=limits, judges=desk is not None)
        receiver = Receiver(self.uploads.store, limits)
        ours = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # its routes come before Gradio's
        ours.add_route("/gradio_api/upload", receiver.upload, methods=["POST"])
        ours.add_route("/gradio_api/upload_progress", receiver.progress, methods=["GET"])
        if desk is not None:
            ours.mount("/judging", judging_app(desk))
        app = gr.mount_gradio_app(
            ours,
            self.page.blocks(),
            path="",
            allowed_paths=[],
            max_file_size=limits.bytes,
            show_error=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            footer_links=[],
            run_history=False,
            theme=theme(),
            css=text_of("style.css"),
        )
        guarded = Guard(app, self.uploads.holds, limits.bytes, names)
        config = uvicorn.Config(
            guarded,
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=3,
            limit_concurrency=limits.connections,
        )
        self._server = uvicorn.Server(config)

    @property
    def address(self) -> str:
        """Where to open it."""
        return address_of(self.listening)

    @property
    def started(self) -> bool:
        """Whether the server answers."""
        return bool(self._server.started)

    def run(self) -> None:
        """Answer until `stop`, or the user interrupts."""
        done = threading.Event()
        threading.Thread(target=self._sweep, args=(done,), daemon=True).start()
        try:
            self._server.run(sockets=[self.listening])
        finally:
            done.set()

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._server.should_exit = True

    def _sweep(self, done: threading.Event) -> None:
        while not done.wait(SWEEP_SECONDS):
            self.uploads.sweep()


def run_names(folders: Sequence[Path]) -> dict[str, Path]:
    """Name run folders by the end of their path; those of one name are told apart by a number.

    Raises
    ------
    InputError
        If one is no folder of a finished run.
    """
    from farsight.evaluate.finished import read_run

    named: dict[str, Path] = {}
    for folder in folders:
        path = folder.resolve()
        read_run(path)
        name, number = path.name, 2
        while name in named:
            name, number = f"{path.name} ({number})", number + 1
        named[name] = path
    return named
