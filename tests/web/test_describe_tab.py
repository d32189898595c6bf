"""What the first tab does before anybody has pressed a button."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from without_scenes import without_scenes as without_scenes

pytest.importorskip("gradio", reason="make test-web installs it")


def test_a_visitor_who_chooses_before_the_page_has_begun_keeps_the_choice(tmp_path: Path) -> None:
    from farsight.web.describe_tab import DescribeTab
    from farsight.web.gallery import gallery
    from farsight.web.limits import Limits
    from farsight.web.models import Models
    from farsight.web.sessions import Sessions
    from farsight.web.uploads import UploadFolder

    limits, sessions = Limits(), Sessions(5, 100)
    tab = DescribeTab(models=Models(), sessions=sessions, uploads=UploadFolder(tmp_path, limits), limits=limits)
    fast, slow = (SimpleNamespace(session_hash=name) for name in ("fast", "slow"))
    event: Any = SimpleNamespace(index=4)
    tab.take(fast, event)  # type: ignore[arg-type]
    for visitor in (fast, slow):
        tab.arrive(visitor)  # type: ignore[arg-type]
    assert sessions.of("fast").shown is gallery()[4]
    assert sessions.of("slow").shown is gallery()[0]


def test_a_refusal_that_is_faster_than_the_page_stays_and_there_is_a_scene_to_describe(tmp_path: Path) -> None:
    import gradio as gr

    from farsight.web.describe_tab import DescribeTab
    from farsight.web.gallery import gallery
    from farsight.web.limits import Limits
    from farsight.web.models import Models
    from farsight.web.sessions import Sessions
    from farsight.web.uploads import UploadFolder

    limits, sessions = Limits(), Sessions(5, 100)
    tab = DescribeTab(models=Models(), sessions=sessions, uploads=UploadFolder(tmp_path, limits), limits=limits)
    hasty, patient = (SimpleNamespace(session_hash=name) for name in ("hasty", "patient"))
    assert "status error" in tab.upload("no such file", hasty)[3]  # type: ignore[arg-type]
    assert tab.arrive(hasty) == gr.skip()  # type: ignore[arg-type]
    assert sessions.of("hasty").shown is gallery()[0]
    assert "Ready" in tab.arrive(patient)  # type: ignore[arg-type]


@pytest.mark.parametrize(("model", "told"), [("embedded", True), ("some/model", False)])
def test_an_uploaded_picture_is_nothing_to_the_embedded_model_and_that_is_said(
    tmp_path: Path, model: str, told: bool
) -> None:
    from PIL import Image

    from farsight.web.describe_tab import DescribeTab
    from farsight.web.limits import Limits
    from farsight.web.models import Models
    from farsight.web.sessions import Sessions
    from farsight.web.uploads import UploadFolder

    limits = Limits()
    uploads = UploadFolder(tmp_path, limits)
    tab = DescribeTab(models=Models(name=model), sessions=Sessions(5, 100), uploads=uploads, limits=limits)
    (tmp_path / "here").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "here" / "red.png")
    said = tab.upload(str(tmp_path / "here" / "red.png"), SimpleNamespace(session_hash="one"))[3]  # type: ignore[arg-type]
    assert "Ready to describe." in said
    assert ("nothing of photographs" in said) == told


@pytest.mark.usefixtures("without_scenes")
def test_without_drawn_scenes_the_page_waits_for_a_picture(tmp_path: Path) -> None:
    from farsight.web.app import Page
    from farsight.web.describe_tab import DescribeTab
    from farsight.web.gallery import gallery
    from farsight.web.limits import Limits
    from farsight.web.models import Models
    from farsight.web.sessions import Sessions
    from farsight.web.uploads import UploadFolder

    gallery.cache_clear()
    limits, sessions = Limits(), Sessions(5, 100)
    models, uploads = Models(name=str(tmp_path)), UploadFolder(tmp_path, limits)
    page = Page(models=models, uploads=uploads, runs={}, limits=limits).blocks()
    [chosen] = [block for block in page.blocks.values() if getattr(block, "elem_id", None) == "chosen"]
    assert "No picture yet" in chosen.value
    tab = DescribeTab(models=models, sessions=sessions, uploads=uploads, limits=limits)
    told = tab.arrive(SimpleNamespace(session_hash="visitor"))  # type: ignore[arg-type]
    assert "Ready to describe" in told
    gallery.cache_clear()
