"""Judging as a person does it who knows the truth: keys on a desktop, taps on a phone, and figures that are CHAIR's."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from browsing import DESKTOP, PATIENCE, PHONE, no_wider_than_the_screen, wait_until

pytest.importorskip("playwright", reason="make test-web installs it")

LEAST_TO_TAP = 24
"""Points of a finger's target, by WCAG 2.2."""
KEYS = {"there": "1", "not there": "2", "unsure": "3"}


@pytest.fixture
def desk(run_folder: Path, tmp_path: Path) -> Any:
    from farsight.cli.truth import read_vocabulary_by_name
    from farsight.judging.answers import read_answers
    from farsight.judging.desk import Desk
    from farsight.judging.judgements import Judgements
    from farsight.judging.merges import Merges

    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    return Desk(
        answers=read_answers([folder]),
        names=read_vocabulary_by_name("scenes"),
        judgements=Judgements(folder / "judgements.jsonl"),
        merges=Merges(folder / "synonyms.txt"),
        judge="ann",
    )


@pytest.fixture
def truth(run_folder: Path) -> Any:
    from farsight.cli.truth import read_truth
    from farsight.judging.annotated import Annotated

    found = read_truth(run_folder / "pictures" / "objects.jsonl", "scenes")
    return Annotated(objects=found.objects, vocabulary=found.vocabulary)


@pytest.fixture
def server(desk: Any) -> Iterator[Any]:
    from farsight.web.judging_server import judging_server

    with judging_server(desk, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        yield server
        server.stop()
        thread.join(60)


@pytest.fixture
def visit(server: Any, browser: Any) -> Iterator[Callable[..., Any]]:
    asked: list[str] = []
    contexts: list[Any] = []

    def visit(viewport: dict[str, int] = DESKTOP) -> Any:
        context = browser.new_context(viewport=viewport, has_touch=viewport == PHONE)
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(server.address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith((f"{server.address}/", "data:"))] == []


def picture_of(page: Any, desk: Any) -> Any:
    return desk.pictures[int(page.locator("body").get_attribute("data-picture")) - 1]


def in_sight(one: Any, viewport: dict[str, int]) -> bool:
    box = one.bounding_box()
    return bool(box["y"] >= 0 and box["y"] + box["height"] <= viewport["height"])


def right(truth: Any, picture: Any, name: str) -> str:
    return "there" if truth.verdict(picture.image_id, name) else "not there"


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_who_knows_the_truth_gets_the_figures_of_chair(
    visit: Any, desk: Any, truth: Any, viewport: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    page = visit(viewport)
    taken = []
    for _ in desk.pictures:
        began = time.perf_counter()
        page.locator("figure img").wait_for()
        assert page.locator("figure img").evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
        picture = picture_of(page, desk)
        content = page.content()
        assert not any(method in content for method in desk.answers.methods)
        no_wider_than_the_screen(page)
        for button in page.locator("main button, main a, nav a").filter(visible=True).all():
            assert viewport != PHONE or button.bounding_box()["height"] >= LEAST_TO_TAP
        assert in_sight(page.locator("#next"), viewport)
        for row in page.locator(".object").all():
            name = row.get_attribute("data-object")
            verdict = right(truth, picture, name)
            if viewport == PHONE:
                row.locator(f"[data-verdict='{verdict}']").tap()
            else:
                assert row.get_attribute("aria-current") == "true"
                page.keyboard.press(KEYS[verdict])
            page.locator(f".object[data-object='{name}'][data-said='{verdict}']").wait_for()
            assert desk.verdicts()[picture.image_id, name] == verdict
        page.locator("body.ready").wait_for()
        before = page.url
        if viewport == PHONE:
            page.locator("#next").tap()
        else:
            page.keyboard.press("Enter")
        page.wait_for_url(lambda url, before=before: url != before)
        taken.append(time.perf_counter() - began)
    objects = sum(len(desk.objects(picture)) for picture in desk.pictures)
    with capsys.disabled():
        print(f" {viewport['width']} wide: {median(taken):.1f} s a picture, {objects} objects, by a script ", end="")
    assert page.url.endswith("/figures")
    no_wider_than_the_screen(page)
    assert page.locator(".scroll").evaluate("one => one.scrollWidth <= one.clientWidth")  # no number is cut off
    for figures in desk.figures():
        named = [
            truth.verdict(picture.image_id, name)
            for picture in desk.pictures
            for text in picture.answers[figures.method]
            for name in truth.mentions(text)
        ]
        assert (figures.false, figures.judged) == (named.count(False), len(named))
        shown = page.locator("tbody tr", has=page.get_by_role("rowheader", name=figures.method, exact=True))
        assert f"{100 * named.count(False) / len(named):.1f} %" in shown.inner_text()


def test_the_big_page_has_it_in_a_tab(desk: Any, site: Any, browser: Any) -> None:
    from farsight.web.models import Models
    from farsight.web.server import serving

    with serving(Models(device="cpu"), host="127.0.0.1", port=0, runs={}, desk=desk) as server:
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started)
            for viewport, picture in zip((DESKTOP, PHONE), desk.pictures, strict=False):
                context = browser.new_context(viewport=viewport, has_touch=viewport == PHONE)
                page = context.new_page()
                page.set_default_timeout(PATIENCE)
                page.goto(server.address)
                page.get_by_role("tab", name="Judge").click()
                inside = page.frame_locator("iframe.judging")
                inside.locator("figure img").wait_for()
                for name in desk.objects(picture):
                    row = inside.locator(f".object[data-object='{name}']")
                    if viewport == PHONE:
                        row.locator("[data-verdict='there']").tap()
                    else:  # keys go to where one judges as soon as the tab is open
                        page.wait_for_function("document.activeElement?.matches('iframe.judging')")
                        inside.locator(f".object[data-object='{name}'][aria-current='true']").wait_for()
                        page.keyboard.press("1")
                    inside.locator(f".object[data-object='{name}'][data-said='there']").wait_for()
                    assert desk.verdicts()[picture.image_id, name] == "there"
                no_wider_than_the_screen(page)
                inside.locator("#to-figures").click()
                inside.locator("tbody tr").first.wait_for()
                assert page.url == f"{server.address}/"
                context.close()
        finally:
            server.stop()
            thread.join(60)
    assert os.environ["GRADIO_TEMP_DIR"] == str(site.server.uploads.path)  # a server that is over changes no other


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_words_are_merged_on_the_page_and_separated_again(visit: Any, desk: Any, viewport: dict[str, int]) -> None:
    page = visit(viewport)
    first, second = desk.objects(picture_of(page, desk))[:2]
    if viewport == PHONE:
        page.locator(".object .same").first.tap()
    else:
        page.keyboard.press("s")
    assert page.locator("#merge").is_disabled()  # until there is what it is the same as
    page.locator("#merge-into").select_option(second)
    page.locator("#merge").click()
    page.locator(f".object[data-object='{first}']").wait_for(state="detached")
    assert desk.merges.read() == {first: second}
    page.locator("#to-figures").click()
    page.locator(".separate").click()
    page.locator(".separate").wait_for(state="detached")
    assert desk.merges.read() == {}


def test_a_verdict_can_be_changed_and_the_page_comes_back_as_it_was_left(visit: Any, desk: Any) -> None:
    page = visit()
    picture = picture_of(page, desk)
    name = desk.objects(picture)[0]
    row = page.locator(f".object[data-object='{name}']")
    for key, verdict in (("1", "there"), ("3", "unsure")):
        page.locator(f".object[data-object='{name}'][aria-current='true']").wait_for()
        page.keyboard.press(key)
        page.locator(f".object[data-object='{name}'][data-said='{verdict}']").wait_for()
        page.keyboard.press("ArrowUp")
    page.reload()
    assert row.get_attribute("data-said") == "unsure"
    rows = [json.loads(line) for line in desk.judgements.path.read_text().splitlines()]
    assert [one["verdict"] for one in rows] == ["there", "unsure"]


def test_what_could_not_be_saved_does_not_seem_judged(visit: Any, desk: Any) -> None:
    page = visit()
    desk.judgements.path.mkdir()
    page.keyboard.press("1")
    page.locator("#told.error", has_text="Not saved: ").wait_for()
    desk.judgements.path.rmdir()
    page.context.set_offline(True)
    page.keyboard.press("1")
    page.locator("#told.error", has_text="Is it still running?").wait_for()
    assert page.locator("[data-said='there']").count() == 0


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_long_names_and_long_lists_leave_nothing_out_of_sight(
    visit: Any, desk: Any, viewport: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["stethoscope", "traffic light", *(f"baseball glove {number}" for number in range(20))]
    monkeypatch.setattr(type(desk), "objects", lambda self, picture: names)
    page = visit(viewport)
    no_wider_than_the_screen(page)
    assert in_sight(page.locator("#next"), viewport)
    page.locator(".object").last.locator("[data-verdict='unsure']").click()
    page.locator(".object").last.and_(page.locator("[data-said='unsure']")).wait_for()
    assert in_sight(page.locator("#next"), viewport)
    if viewport == DESKTOP:  # a word of usual length is on one line
        heights = {page.locator(f"[data-object='{name}'] .name").bounding_box()["height"] for name in names[:2]}
        assert len(heights) == 1
        assert heights.pop() < 30
