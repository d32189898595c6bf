"""The first tab, as a visitor uses it: drop, choose, stream, differ, look."""

from __future__ import annotations

import re
from typing import Any

import pytest
from browsing import (
    DESKTOP,
    EXAMPLES,
    PHONE,
    choose,
    closed,
    described,
    drop,
    finished,
    no_wider_than_the_screen,
    set_slider,
    start,
    upload,
    wait_until,
)

pytest.importorskip("gradio", reason="make test-web installs it")

SCENE_WITH_A_FALSE_OBJECT = 1


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_dropped_picture_is_described_side_by_side(visit: Any, site: Any, viewport: dict[str, int]) -> None:
    page = visit(viewport)
    drop(page, "#drop", EXAMPLES / "park.png")
    page.locator("#chosen figcaption", has_text="park.png").wait_for()
    assert site.server.uploads.files() == []
    choose(page, "#right", "beam")
    with closed(site.gate) as gate:
        start(page)
        page.locator(".side").nth(1).wait_for()
        left, right = page.locator(".side .description").all()
        while not left.text_content().strip():  # the warm-up comes first
            gate.let(1)
            page.wait_for_timeout(20)
        begun = left.text_content().strip()
        wait_until(lambda: gate.let(1) or left.text_content().strip() != begun)
        assert left.text_content().strip().startswith(begun)
        assert right.text_content().strip() == ""
        assert page.locator("#status progress").count() == 1
        no_wider_than_the_screen(page)
    result = finished(page)
    plain, beam = described(result)
    assert plain != beam
    assert result.locator("h3").all_text_contents() == ["greedy", "beam"]
    differing = " ".join(result.locator(".side").nth(0).locator(".differs").all_text_contents()).split()
    assert differing
    assert set(differing) <= set(plain.split())
    for column in result.locator(".side").all():
        assert re.search(r"\d+\.\d+ s.*\d+\.\d+ tokens/s.*\d+ tokens", column.locator(".figures").inner_text(), re.S)
    look_at_a_word_of_both(result)
    no_wider_than_the_screen(page)


def look_at_a_word_of_both(result: Any) -> None:
    """Choose an object that both sides name: its attention is over both pictures."""
    left, right = result.locator(".side").all()
    shared = [one for one in objects(left) if one in objects(right)]
    assert shared
    left.locator(f"button.word[data-object='{shared[0]}']").first.click()
    for column in (left, right):
        assert column.locator("img.plain-picture").is_hidden()
        shown = column.locator("img.look:visible")
        assert shown.count() == 1
        assert shown.get_attribute("data-object") == shared[0]
        assert "looked when it said" in column.locator(".look-caption").text_content()
        assert column.locator("button.word[aria-pressed=true]").count() == 1
    left.locator("button.word[aria-pressed=true]").click()
    assert result.locator("img.look:visible").count() == 0
    assert result.locator("img.plain-picture:visible").count() == 2


def objects(column: Any) -> list[str]:
    return [word.get_attribute("data-object") for word in column.locator("button.word").all()]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_objects_of_a_scene_are_true_or_false_and_counted(visit: Any, viewport: dict[str, int]) -> None:
    from farsight.web.gallery import gallery

    present = gallery()[SCENE_WITH_A_FALSE_OBJECT].objects
    page = visit(viewport)
    page.locator("button.scene").nth(SCENE_WITH_A_FALSE_OBJECT).click()
    page.locator("#chosen img").wait_for()
    set_slider(page, "#sigma", 0.05)
    start(page)
    result = finished(page)
    assert result.locator("h3").all_text_contents() == ["greedy", "farsight(sigma=0.05)"]
    falses = 0
    for column in result.locator(".side").all():
        words = column.locator("button.word").all()
        kinds = ["true" if word.get_attribute("data-object") in present else "false" for word in words]
        for word, kind in zip(words, kinds, strict=True):
            assert kind in word.get_attribute("class").split()
        false = kinds.count("false")
        falses += false
        shown = column.locator(".figures").inner_text()
        assert f"{100 * false / len(kinds):.1f} % ({false} of {len(kinds)})" in shown
        named = {word.get_attribute("data-object") for word in words}
        assert f"{100 * len(named & present) / len(present):.0f} %" in shown
    assert falses
    colour = "one => getComputedStyle(one).color.match(/\\d+/g).map(Number)"
    colours = [result.locator(f"button.word.{kind}").first.evaluate(colour) for kind in ("true", "false")]
    assert colours[0][1] == max(colours[0])  # green
    assert colours[1][0] == max(colours[1])  # red
    no_wider_than_the_screen(page)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_what_is_there_at_first_shows_a_difference_within_the_screen(visit: Any, viewport: dict[str, int]) -> None:
    page = visit(viewport)
    page.locator("#chosen figcaption", has_text="Scene 1").wait_for()
    page.locator("#status", has_text="Ready").wait_for()
    start(page)
    result = finished(page)
    assert len(set(described(result))) == 2
    assert result.locator(".differs").count() >= 1
    assert page.locator("#status").evaluate("one => one.getBoundingClientRect().top") < viewport["height"] * 0.3


def test_sliders_are_those_of_farsight(visit: Any) -> None:
    page = visit()
    assert page.locator("#sigma").is_visible()
    choose(page, "#right", "beam")
    page.locator("#sigma").wait_for(state="hidden")
    choose(page, "#left", "farsight+beam")
    page.locator("#sigma").wait_for(state="visible")


def test_a_video_is_described_and_its_frames_are_looked_at(visit: Any) -> None:
    page = visit()
    page.get_by_role("button", name="Video 1").click()
    page.locator("#chosen .strip, #chosen figure.strip").first.wait_for()
    start(page)
    result = finished(page)
    assert all(described(result))
    result.locator(".side").nth(0).locator("button.word").first.click()
    look = result.locator("img.look:visible").first
    wide, tall = look.evaluate("one => [one.naturalWidth, one.naturalHeight]")
    assert wide == 8 * tall


def test_an_animation_is_a_video(visit: Any, tmp_path: Any) -> None:
    from farsight.web.gallery import gallery

    frames = next(one.seen() for one in gallery() if one.is_video)
    frames[0].save(tmp_path / "short.gif", save_all=True, append_images=frames[1:], duration=100)
    page = visit()
    upload(page, "#drop", tmp_path / "short.gif")
    page.locator("#chosen figure.strip").wait_for()
    start(page)
    assert all(described(finished(page)))


def test_the_page_can_be_used_with_the_keyboard_alone(visit: Any) -> None:
    page = visit()
    scene = page.locator("button.scene").nth(2)
    scene.focus()
    page.keyboard.press("Enter")
    page.locator("#chosen img").wait_for()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "start":
            break
    else:
        raise AssertionError("the Tab key does not lead to the button")
    page.keyboard.press("Enter")
    result = finished(page)
    word = result.locator("button.word").first
    word.focus()
    page.keyboard.press("Space")
    assert word.get_attribute("aria-pressed") == "true"
    assert result.locator("img.look:visible").count() >= 1


def test_every_picture_says_what_it_shows(visit: Any) -> None:
    page = visit()
    page.locator("button.scene").first.click()
    page.locator("#chosen img").wait_for()
    start(page)
    finished(page)
    without = page.locator("img").evaluate_all("all => all.filter(one => !one.alt.trim()).map(one => one.outerHTML)")
    assert without == []


def test_dark_and_light_follow_the_system(visit: Any) -> None:
    brightness = [
        visit(color_scheme=scheme).evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
        )
        for scheme in ("light", "dark")
    ]
    assert brightness[0] > 200
    assert brightness[1] < 60


def test_one_typeface_is_used(visit: Any) -> None:
    page = visit()
    all_faces = "all => all.map(one => getComputedStyle(one).fontFamily.split(',')[0])"
    assert len(set(page.locator(".gradio-container *").evaluate_all(all_faces))) == 1
