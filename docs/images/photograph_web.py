"""Photograph the pages for docs/web.md and docs/judge.md, in an environment of make test-web.

python docs/images/photograph_web.py RUN
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from farsight.cli.judge import desk_of
from farsight.evaluate.finished import read_run
from farsight.web.judging_server import judging_server
from farsight.web.models import Models
from farsight.web.server import run_names, serving

HERE = Path(__file__).parent / "web"
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SHOTS = {
    "desktop": {"light": ("describe", "run", "audit"), "dark": ("describe",)},
    "phone": {"light": ("run", "audit"), "dark": ("describe",)},
}
SCENE = 6
MOST_BYTES = 290_000


def main(run: Path) -> None:
    HERE.mkdir(exist_ok=True)
    with serving(Models(), host="127.0.0.1", port=0, runs=run_names([run])) as server:
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.1)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for size, viewport in SIZES.items():
                for scheme, tabs in SHOTS[size].items():
                    page = browser.new_page(viewport=viewport, color_scheme=scheme, device_scale_factor=1)
                    page.set_default_timeout(300_000)
                    page.goto(server.address)
                    if "describe" in tabs:
                        describe(page)
                        save(page, f"describe_{size}_{scheme}", 1500 if size == "desktop" else 2600)
                    if "run" in tabs:
                        page.get_by_role("tab", name="Run").click()
                        page.locator("#run-figures table").first.wait_for()
                        save(page, f"run_{size}_{scheme}", 1500 if size == "desktop" else 2200)
                    if "audit" in tabs:
                        audit(page, run)
                        save(page, f"audit_{size}_{scheme}", 1300 if size == "desktop" else 1500)
                    page.close()
            judge(browser, run)
            browser.close()
        server.stop()
        thread.join(30)


def describe(page: Any) -> None:
    page.locator("button.scene").nth(SCENE).click()
    page.locator("#chosen img").wait_for()
    page.locator("#sigma input[type=number]").fill("0.05")
    page.locator("#sigma input[type=number]").press("Enter")
    page.locator("#start").click()
    page.locator("#status", has_text="Done.").wait_for()
    false = page.locator("button.word.false")
    (false if false.count() else page.locator("button.word")).first.click()


def audit(page: Any, run: Path) -> None:
    found = read_run(run)
    label = found.methods[0]
    rows = [{"image_id": one.image_id, "caption": one.captions[label].text} for one in found.items["free"]]
    captions = "".join(json.dumps(row) + "\n" for row in rows).encode()
    objects = (run / "pictures" / "objects.jsonl").read_bytes()
    page.get_by_role("tab", name="Audit").click()
    for where, name, content in (("#captions", "greedy.jsonl", captions), ("#objects", "objects.jsonl", objects)):
        page.locator(f"{where} input[type=file]").set_input_files(
            {"name": name, "mimeType": "text/plain", "buffer": content}
        )
        page.locator(where, has_text=name.split(".")[0]).wait_for()
    page.get_by_role("radio", name="drawn scenes").check()
    page.locator("#audit").click()
    page.locator("#audit-found section").wait_for()


def judge(browser: Any, run: Path) -> None:
    """The picture in which most is named, half judged; the run keeps nothing of it."""
    with tempfile.TemporaryDirectory() as folder:
        desk = desk_of([run], judgements=[Path(folder) / "judgements.jsonl"])
        number = max(range(len(desk.pictures)), key=lambda one: len(desk.objects(desk.pictures[one])))
        with judging_server(desk, host="127.0.0.1", port=0) as server:
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            while not server.started:
                time.sleep(0.1)
            page = browser.new_page(viewport=SIZES["desktop"])
            page.goto(f"{server.address}/picture/{number + 1}")
            page.locator("figure img").evaluate("one => one.decode()")
            for judged, key in enumerate("1213", start=1):
                page.keyboard.press(key)
                page.locator(".object:not([data-said=''])").nth(judged - 1).wait_for()
            save(page, "judge_desktop_light", 900)
            page.close()
            server.stop()
            thread.join(30)


def save(page: Any, name: str, tallest: int) -> None:
    """Save the page from its top, in fewer colours if the file is too large otherwise."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement?.blur()")
    page.wait_for_timeout(500)
    picture = Image.open(BytesIO(page.screenshot(full_page=True))).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, tallest)))
    path = HERE / f"{name}.png"
    picture.save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        picture.quantize(256, kmeans=2).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
