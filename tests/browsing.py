"""A visitor of the page: what one does in a browser, and a gate that holds the model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 120_000
"""Milliseconds: machines are slow, and nothing is measured here."""


@dataclass
class Gate:
    """Lets the model make so many forward passes, or any number: what a visitor sees meanwhile can be looked at."""

    _open: bool = True
    _left: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def close(self) -> None:
        with self._changed:
            self._open, self._left = False, 0

    def let(self, passes: int) -> None:
        with self._changed:
            self._left += passes
            self._changed.notify_all()

    def open(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def pass_through(self, *_: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._open or self._left > 0, timeout=300)
            self._left -= not self._open


@dataclass
class Site:
    """The running page, and what is behind it."""

    address: str
    server: Any
    models: Any
    gate: Gate


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@contextmanager
def closed(gate: Gate) -> Iterator[Gate]:
    """Close the gate for the length of a block."""
    gate.close()
    try:
        yield gate
    finally:
        gate.open()


def upload(page: Any, where: str, *files: Any) -> None:
    page.locator(f"{where} input[type=file]").set_input_files(list(files) if len(files) > 1 else files[0])


def drop(page: Any, where: str, path: Path) -> None:
    """Drop a file as a hand would: a transfer that holds it, let go over the zone."""
    script = """([bytes, name]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
        return transfer;
    }"""
    transfer = page.evaluate_handle(script, [list(path.read_bytes()), path.name])
    page.locator(f"{where} button").first.dispatch_event("drop", {"dataTransfer": transfer})


def choose(page: Any, where: str, option: str) -> None:
    """Choose an option of a list, with the keyboard."""
    box = page.locator(f"{where} input").first
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).click()
    box.blur()
    page.get_by_role("option").first.wait_for(state="hidden")


def set_slider(page: Any, where: str, value: float) -> None:
    box = page.locator(f"{where} input[type=number]")
    box.fill(str(value))
    box.press("Enter")


def start(page: Any) -> None:
    page.locator("#start").click()


def finished(page: Any) -> Any:
    """Wait for the result and give it."""
    page.locator("#result .comparison[aria-busy=false]").wait_for()
    page.locator("#status", has_text="Done.").wait_for()
    return page.locator("#result")


def described(result: Any) -> list[str]:
    """What both sides say."""
    return [text.strip() for text in result.locator(".description").all_text_contents()]


def no_wider_than_the_screen(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def rows(*found: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in found).encode()
