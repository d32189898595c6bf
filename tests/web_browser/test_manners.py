"""What goes wrong, who waits for whom, and what nobody gets to see."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from browsing import EXAMPLES, closed, described, finished, start, upload, wait_until
from PIL import Image

from farsight.method import active_method

pytest.importorskip("gradio", reason="make test-web installs it")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("noise.png", b"\x89PNG\r\n\x1a\n" + b"no picture" * 20, "noise.png"),
        ("cut.png", (EXAMPLES / "park.png").read_bytes()[:4000], "damaged or cut short"),
        ("text.jpg", b"just words", "is not a picture"),
        ("empty.png", b"", "empty"),
    ],
    ids=["noise", "cut", "text", "empty"],
)
def test_a_corrupt_upload_is_refused_and_removed(visit: Any, site: Any, name: str, content: bytes, said: str) -> None:
    page = visit()
    upload(page, "#drop", {"name": name, "mimeType": "image/png", "buffer": content})
    alert = page.locator("#status [role=alert]")
    alert.wait_for()
    assert said in alert.text_content()
    assert "/tmp" not in alert.text_content()
    assert site.server.uploads.files() == []
    page.locator("button.scene").first.click()
    page.locator("#status", has_text="Ready").wait_for()


def test_too_many_pixels_are_refused_from_the_header(visit: Any, site: Any, tmp_path: Path) -> None:
    Image.new("1", (3000, 2000)).save(tmp_path / "wide.png")
    page = visit()
    upload(page, "#drop", tmp_path / "wide.png")
    page.locator("#status [role=alert]", has_text="more than the limit of 4").wait_for()
    assert site.server.uploads.files() == []


def test_a_file_that_is_too_large_is_not_even_sent(visit: Any, site: Any) -> None:
    page = visit()
    page.locator("#status", has_text="Ready").wait_for()  # the page's own first request has been answered
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    upload(page, "#drop", {"name": "big.png", "mimeType": "image/png", "buffer": bytes(2_100_000)})
    page.get_by_text("exceed the maximum allowed size").first.wait_for()
    assert "POST" not in sent
    assert site.server.uploads.files() == []


@pytest.mark.parametrize("size", [2_100_000, None], ids=["said", "unsaid"])
def test_a_file_that_is_sent_though_it_is_too_large_is_not_stored(site: Any, size: int | None) -> None:
    body: Any = bytes(2_100_000) if size else iter([bytes(700_000)] * 3)  # without its length it comes in chunks
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{site.address}/gradio_api/upload", body, headers, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 400
    assert refused.value.read() == b"The file is larger than the limit of 2 MB."
    assert site.server.uploads.files() == []


def test_a_picture_that_was_forgotten_is_not_replaced_by_another_one(visit: Any, site: Any) -> None:
    page = visit()
    page.locator("button.scene").nth(2).click()
    page.locator("#chosen figcaption", has_text="Scene 3").wait_for()
    sessions = site.server.page.sessions
    for number in range(sessions.most):
        sessions.of(f"visitor {number}")
    start(page)
    page.locator("#status [role=alert]", has_text="it was forgotten; choose it again").wait_for()


@pytest.mark.parametrize("where", ["#sigma", "#horizon"])
def test_a_box_that_was_emptied_is_named(visit: Any, where: str) -> None:
    page = visit()
    page.locator(f"{where} input[type=number]").fill("")
    start(page)
    page.locator("#status", has_text=re.compile("must be a number|Done")).wait_for()
    alert = page.locator("#status [role=alert]")
    assert alert.count() == 0 or where[1:] in alert.text_content()


def test_two_visitors_with_the_same_file_do_not_take_it_from_each_other(site: Any) -> None:
    data = (EXAMPLES / "park.png").read_bytes()
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="park.png"\r\n\r\n' + data + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    paths = []
    for _ in range(2):
        request = urllib.request.Request(f"{site.address}/gradio_api/upload", body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            paths += json.loads(answer.read())
    one, other = site.server.uploads.found(*paths)
    site.server.uploads.remove(one)
    assert other.read_bytes() == data
    site.server.uploads.remove(other)


@pytest.mark.parametrize("body", [b"", b"x" * 5000, b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"])
def test_an_upload_that_is_none_leaves_nothing(site: Any, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{site.address}/gradio_api/upload", body, headers, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 400
    assert b"try again" in refused.value.read()
    assert site.server.uploads.files() == []


def test_a_job_is_cancelled_in_the_middle_and_leaves_nothing_behind(visit: Any, site: Any) -> None:
    model = site.models.load().model
    hooks = len(model._forward_pre_hooks)
    page = visit()
    page.locator("button.scene").first.click()
    page.locator("#chosen img").wait_for()
    with closed(site.gate) as gate:
        start(page)
        description = page.locator(".side .description").first
        wait_until(lambda: gate.let(1) or (description.count() and description.text_content().strip()))
        said = description.text_content().strip()
        assert not page.locator("#start").is_enabled()
        page.locator("#stop").click()
        page.locator("#status", has_text="Cancelled.").wait_for()
        gate.let(1)  # the pass that was under way; the next one is not made
        wait_until(lambda: not site.models.busy.locked())
        assert active_method(model) is None
        assert len(model._forward_pre_hooks) == hooks
        page.locator("#start:enabled").wait_for()
        assert page.locator(".side .description").nth(1).text_content().strip() == ""
        assert len(said) < 400
    start(page)
    assert all(described(finished(page)))


def test_two_visitors_wait_for_each_other_and_see_only_their_own(visit: Any, site: Any, tmp_path: Path) -> None:
    colours = {"red": (200, 30, 30), "blue": (30, 30, 200)}
    for name, colour in colours.items():
        Image.new("RGB", (96, 96), colour).save(tmp_path / f"{name}.png")
    one, other = visit(), visit()
    upload(one, "#drop", tmp_path / "red.png")
    upload(other, "#drop", tmp_path / "blue.png")
    for page, name in ((one, "red"), (other, "blue")):
        page.locator("#chosen figcaption", has_text=f"{name}.png").wait_for()
    with closed(site.gate):
        start(one)
        one.locator(".side").first.wait_for()
        start(other)
        other.locator("#status", has_text="Waiting for the model").wait_for()
        other.wait_for_timeout(500)
        assert other.locator(".side").count() == 0
        assert "red.png" not in other.content()
        assert "blue.png" not in one.content()
    for page, name in ((one, "red"), (other, "blue")):
        finished(page)
        shown = page.locator("img.plain-picture").first.evaluate(
            """async (one) => {
                const canvas = document.createElement("canvas");
                canvas.width = canvas.height = 1;
                canvas.getContext("2d").drawImage(one, 0, 0, 1, 1);
                return [...canvas.getContext("2d").getImageData(0, 0, 1, 1).data];
            }"""
        )
        assert all(abs(seen - meant) < 12 for seen, meant in zip(shown, colours[name], strict=False))
    assert site.server.uploads.files() == []


def test_a_visitor_who_leaves_stops_the_job_and_is_forgotten(visit: Any, site: Any) -> None:
    page = visit()
    page.locator("button.scene").nth(3).click()
    page.locator("#chosen img").wait_for()
    before = len(site.server.page.sessions)
    with closed(site.gate) as gate:
        start(page)
        page.locator(".side").first.wait_for()
        page.close()
        wait_until(lambda: len(site.server.page.sessions) < before)
        gate.let(1)
        wait_until(lambda: not site.models.busy.locked())


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/file=/etc/passwd", "/file=/etc/passwd", "/gradio_api/proxy=http://127.0.0.1:1/", "/file/etc/passwd"],
)
def test_no_file_is_handed_out(site: Any, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(site.address + path, timeout=60)
    assert refused.value.code == 400


@pytest.mark.parametrize("named", ["/etc/passwd", "http://127.0.0.1:1/picture.png", "../../etc/passwd", "\0"])
def test_a_request_cannot_name_a_file_that_was_not_uploaded(site: Any, named: str) -> None:
    file = {"path": named, "meta": {"_type": "gradio.FileData"}}
    for data in ([file], [[file]], [{"value": {"deep": file}}]):
        body = json.dumps({"data": data, "fn_index": 0, "session_hash": "x"}).encode()
        request = urllib.request.Request(
            f"{site.address}/gradio_api/queue/join", body, {"Content-Type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert refused.value.code == 400
        assert refused.value.read() == b"The request names a file that was not uploaded."


def test_browsers_are_told_to_talk_to_nobody_else(site: Any) -> None:
    with urllib.request.urlopen(site.address, timeout=60) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
