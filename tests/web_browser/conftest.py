"""The real server, on a port of its own, and real Chromium, whose every request is written down."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browsing import DESKTOP, PATIENCE, Gate, Site, wait_until


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of ``farsight eval`` on a few scenes."""
    out = tmp_path_factory.mktemp("runs") / "scenes"
    command = [
        sys.executable, "-m", "farsight", "eval", "--task", "scenes:test", "--count", "8", "--question-count", "12",
        "--methods", "greedy,beam", "--out", str(out), "--summary",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def site(run_folder: Path) -> Iterator[Site]:
    from farsight.web.limits import Limits
    from farsight.web.models import Models
    from farsight.web.server import run_names, serving

    models, gate = Models(device="cpu"), Gate()
    limits = Limits(megabytes=2, megapixels=4)
    with serving(models, host="127.0.0.1", port=0, runs=run_names([run_folder]), limits=limits) as server:
        models.load().model.register_forward_pre_hook(gate.pass_through)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        yield Site(server.address, server, models, gate)
        gate.open()
        server.stop()
        thread.join(60)
        folder = server.uploads.path.parent
    assert not folder.exists()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "no Chromium: make test-web installs it"
    with sync_playwright() as playwright:
        # Chromium's own look-ups for updates are not the page's; --no-sandbox is for root in a container.
        arguments = ["--disable-background-networking", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(site: Site, browser: Any) -> Iterator[Callable[..., Any]]:
    """Open the page as a visitor of their own; at the end, no request went anywhere else."""
    contexts: list[Any] = []
    asked: list[str] = []
    site.gate.open()

    def visit(viewport: dict[str, int] = DESKTOP, **how: Any) -> Any:
        context = browser.new_context(viewport=viewport, **how)
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.goto(site.address)
        page.locator("button.scene").first.wait_for()
        return page

    yield visit
    site.gate.open()
    for context in contexts:
        context.close()
    assert any(url.startswith(site.address) for url in asked)
    called = [url for url in asked if urlsplit(url).scheme not in ("data", "blob")]
    elsewhere = [url for url in called if not url.startswith(f"{site.address}/")]
    assert elsewhere == []
