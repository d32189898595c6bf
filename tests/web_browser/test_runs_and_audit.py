"""The second and the third tab."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from browsing import DESKTOP, PHONE, choose, no_wider_than_the_screen, rows, upload

pytest.importorskip("gradio", reason="make test-web installs it")

BOTH = pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])


@BOTH
def test_a_run_is_shown_and_filtered_by_a_false_object(visit: Any, run_folder: Path, viewport: dict[str, int]) -> None:
    results = json.loads((run_folder / "results.json").read_text())["parts"]["free"]
    said: dict[str, dict[str, Any]] = {}
    for line in (run_folder / "details.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["part"] == "free":
            said.setdefault(row["image_id"], {})[row["method"]] = row
    differ = {image: both for image, both in said.items() if both["greedy"]["caption"] != both["beam"]["caption"]}
    false = {
        image: {one["object"] for row in both.values() for one in row["hallucinated"]} for image, both in differ.items()
    }
    wanted = next(name for names in false.values() for name in sorted(names))
    page = visit(viewport)
    page.get_by_role("tab", name="Run").click()
    table = page.locator("#run-figures table")
    assert f"{100 * results['figures']['greedy']['chair_s']:.1f}" in table.nth(0).inner_text()
    found = results["differences"]["beam"]["chair_i"]
    assert f"[{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]" in table.nth(1).inner_text()
    assert page.locator("#run-figures img.plot").evaluate("one => one.naturalWidth") > 100
    items = page.locator("#items .item")
    assert items.count() == len(differ)
    options = page.locator("#false-object input").first
    options.click()
    page.get_by_role("option", name=f"{wanted} (").click()
    page.locator("#items", has_text=f"names a {wanted} that is not there").wait_for()
    shown = page.locator("#items figcaption").all_text_contents()
    assert set(shown) == {image for image, names in false.items() if wanted in names}
    assert page.locator("#items .word.false", has_text=wanted).count() >= len(shown)
    choose(page, "#part", "pope_random")
    page.locator("#run-figures", has_text="accuracy").wait_for()
    no_wider_than_the_screen(page)


@BOTH
def test_uploaded_captions_are_audited(visit: Any, site: Any, viewport: dict[str, int]) -> None:
    dice = random.Random(0)
    names = ["dog", "cat", "car", "bus", "cup", "fork", "boat", "kite"]
    captions, objects = [], []
    for number in range(60):
        said = dice.sample(names, 5)
        captions.append({"image_id": number, "caption": " ".join(f"There is a {name}." for name in said)})
        objects.append({"image_id": number, "objects": said[: dice.choice((2, 3, 5))]})
    share = sum(len(row["objects"]) < 5 for row in objects) / len(objects)
    page = visit(viewport)
    page.get_by_role("tab", name="Audit").click()
    upload(page, "#captions", {"name": "mine.jsonl", "mimeType": "text/plain", "buffer": rows(*captions)})
    upload(page, "#objects", {"name": "objects.jsonl", "mimeType": "text/plain", "buffer": rows(*objects)})
    page.locator("#captions", has_text="mine").wait_for()
    page.locator("#objects", has_text="objects").wait_for()
    page.locator("#audit").click()
    found = page.locator("#audit-found section")
    found.wait_for()
    assert f"mine: {100 * share:.1f} % of 60 captions name a false object" in found.inner_text()
    assert found.locator("table").count() == 1
    assert found.locator("img.plot").evaluate_all("all => all.map(one => one.naturalWidth > 100)") == [True, True]
    assert site.server.uploads.files() == []
    no_wider_than_the_screen(page)


def test_better_is_green_and_worse_is_orange_as_the_page_says(visit: Any) -> None:
    page = visit(color_scheme="light")
    page.get_by_role("tab", name="Run").click()
    cell = page.locator("#run-figures table").nth(1).locator("td").first
    cell.wait_for()
    marked = "(one, kind) => (one.className = kind, getComputedStyle(one).color.match(/\\d+/g).map(Number))"
    better, worse = (cell.evaluate(marked, kind) for kind in ("better", "worse"))
    assert better[1] == max(better)
    assert worse[0] == max(worse)
    assert "green is better, orange worse" in page.locator("#run-figures").inner_text()


def test_a_bad_row_is_named_by_file_and_line(visit: Any, site: Any) -> None:
    page = visit()
    page.get_by_role("tab", name="Audit").click()
    present = rows(*({"image_id": number, "objects": ["dog"]} for number in (1, 2)))
    bad = rows({"image_id": 1, "caption": "A dog."}) + b"{oops\n"
    upload(page, "#captions", {"name": "mine.jsonl", "mimeType": "text/plain", "buffer": bad})
    upload(
        page,
        "#objects",
        {"name": "objects.jsonl", "mimeType": "text/plain", "buffer": present},
    )
    page.locator("#captions", has_text="mine").wait_for()
    page.locator("#objects", has_text="objects").wait_for()
    page.locator("#audit").click()
    alert = page.locator("#audit-status [role=alert]")
    alert.wait_for()
    assert "mine.jsonl:2" in alert.text_content()
    assert "/tmp" not in alert.text_content()
    for zone in ("#captions", "#objects"):  # the good one need not be uploaded again
        assert page.locator(zone, has_text=zone[1:].replace("captions", "mine")).count() == 1
    page.locator("#captions button[aria-label*='lear']").first.click()
    good = rows({"image_id": 1, "caption": "A dog."}, {"image_id": 2, "caption": "A cat."})
    upload(page, "#captions", {"name": "corrected.jsonl", "mimeType": "text/plain", "buffer": good})
    page.locator("#captions", has_text="corrected").wait_for()
    page.locator("#audit").click()
    page.locator("#audit-status", has_text="Done.").wait_for()
    site.server.uploads.remove(*site.server.uploads.files())
