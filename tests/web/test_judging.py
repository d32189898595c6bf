"""The judging page: blind, one row on the disk for each verdict, and no path from outside."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

testclient: Any = pytest.importorskip("starlette.testclient", reason="make test-web installs it")

METHODS = ("plain-decoding", "first-logit-boosting")


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    from farsight.judging.answers import read_answers
    from farsight.judging.desk import Desk
    from farsight.judging.judgements import Judgements
    from farsight.judging.merges import Merges
    from farsight.metrics.vocabulary import Vocabulary

    rows = []
    for number in range(3):
        Image.new("RGB", (3000, 40), (80 * number, 0, 0)).save(tmp_path / f"{number}.png")
        for method, text in zip(METHODS, ("A dog, a <b>cat</b>.", "A sofa, a dog."), strict=True):
            rows.append({"image": f"{number}.png", "method": method, "text": text})
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Desk(
        answers=read_answers([tmp_path / "said.jsonl"]),
        names=Vocabulary(name="words", objects={"dog": [], "<b>cat</b>": ["cat"], "sofa": []}),
        judgements=Judgements(tmp_path / "judgements.jsonl"),
        merges=Merges(tmp_path / "synonyms.txt"),
        judge="ann",
    )


def client_of(desk: Any, place: str = "") -> Any:
    """A browser of the page, which is at the root of a server or mounted at ``place``."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from farsight.web.guard import MESSAGE_BYTES, Guard
    from farsight.web.judging import judging_app

    app = Starlette(routes=[Mount(place, judging_app(desk))])
    guarded = Guard(app, lambda _: False, MESSAGE_BYTES, {"127.0.0.1"})
    return testclient.TestClient(guarded, base_url="http://127.0.0.1")


@pytest.fixture
def client(desk: Any) -> Any:
    return client_of(desk)


def test_a_verdict_is_on_the_disk_when_it_is_answered(client: Any, desk: Any) -> None:
    said = client.post("/judge", json={"picture": 1, "object": "dog", "verdict": "there"})
    assert said.json() == {"left": 3}
    (row,) = [json.loads(line) for line in desk.judgements.path.read_text().splitlines()]
    assert row == {"image_id": desk.pictures[0].image_id, "object": "dog", "verdict": "there", "judge": "ann"}
    page = client.get("/picture/1").text
    assert re.search(r'data-object="dog" data-said="there"', page)


def test_it_goes_from_picture_to_picture_to_the_figures(client: Any, desk: Any) -> None:
    assert str(client.get("/").url).endswith("/picture/1")
    assert str(client.get("/after/3").url).endswith("/picture/1")
    for number, following in ((1, "/picture/2"), (2, "/picture/3"), (3, "/figures")):
        for name in desk.objects(desk.pictures[number - 1]):
            assert client.post("/judge", json={"picture": number, "object": name, "verdict": "there"}).is_success
        assert str(client.get(f"/after/{number}").url).endswith(following)
    assert str(client.get("/").url).endswith("/figures")


def test_only_the_figures_name_methods(client: Any) -> None:
    for method in METHODS:
        assert method not in client.get("/picture/1").text
        assert method in client.get("/figures").text


def test_figures_follow_what_is_judged(client: Any) -> None:
    assert "0 of 9 objects are judged" in client.get("/figures").text
    for number in (1, 2, 3):
        client.post("/judge", json={"picture": number, "object": "sofa", "verdict": "not there"})
        client.post("/judge", json={"picture": number, "object": "dog", "verdict": "there"})
    page = client.get("/figures").text
    assert "6 of 9 objects are judged" in page
    assert re.search(r"50\.0 %.*\[50\.0, 50\.0\]", page)
    assert '<span class="worse">+50.0</span>' in page


def test_what_one_method_said_is_compared_with_nothing(desk: Any) -> None:
    from dataclasses import replace

    pictures = tuple(replace(one, answers={METHODS[0]: one.answers[METHODS[0]]}) for one in desk.answers.pictures)
    alone = replace(desk, answers=replace(desk.answers, pictures=pictures, methods=METHODS[:1]))
    page = client_of(alone).get("/figures").text
    assert "come by lot" in page
    assert "minus" not in page


def test_the_best_of_many_is_said_to_be_lucky_and_what_comes_next(desk: Any) -> None:
    from dataclasses import replace

    assert "was lucky too" not in client_of(desk).get("/figures").text
    pictures = tuple(
        replace(one, answers={**one.answers, "beam": one.answers[METHODS[0]]}) for one in desk.answers.pictures
    )
    three = replace(desk, answers=replace(desk.answers, pictures=pictures, methods=(*METHODS, "beam")))
    assert "The best of 3 methods was lucky too" in client_of(three).get("/figures").text


def test_words_are_merged_and_separated(client: Any, desk: Any) -> None:
    assert client.post("/merge", json={"word": "sofa", "into": "dog"}).is_success
    assert desk.merges.read() == {"sofa": "dog"}
    assert 'data-object="sofa"' not in client.get("/picture/1").text
    assert "sofa is dog" in client.get("/figures").text
    assert client.post("/separate", json={"word": "sofa"}).is_success
    assert 'data-object="sofa"' in client.get("/picture/1").text


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("/judge", {"picture": 9, "object": "dog", "verdict": "there"}),
        ("/judge", {"picture": "../1", "object": "dog", "verdict": "there"}),
        ("/judge", {"picture": 1, "object": "../../etc/passwd", "verdict": "there"}),
        ("/judge", {"picture": 1, "object": "dog", "verdict": "perhaps"}),
        ("/judge", {"picture": [1], "object": {"a": 1}, "verdict": None}),
        ("/judge", [1, 2]),
        ("/merge", {"word": "sofa", "into": "../x"}),
        ("/merge", {"word": "sofa"}),
        ("/separate", {"word": "sofa"}),
    ],
    ids=["number", "path", "object", "verdict", "kinds", "list", "word", "nothing", "separate"],
)
def test_what_the_page_does_not_know_is_refused_and_writes_nothing(
    client: Any, desk: Any, where: str, what: Any
) -> None:
    refused = client.post(where, json=what)
    assert refused.status_code == 400
    assert refused.json()["error"]
    assert not desk.judgements.path.exists()
    assert not desk.merges.path.exists()


def test_pictures_are_numbers_and_come_scaled_down(client: Any) -> None:
    from io import BytesIO

    given = client.get("/image/1")
    assert given.headers["content-type"] == "image/jpeg"
    assert Image.open(BytesIO(given.content)).size == (1600, 21)
    for path in ("/image/0", "/image/4", "/image/-1", "/image/1.png", "/image/..%2f..%2fetc%2fpasswd"):
        assert client.get(path).status_code == 404


def test_a_picture_that_cannot_be_read_is_no_end(client: Any, desk: Any) -> None:
    desk.pictures[0].path.write_bytes(b"no picture")
    assert client.get("/image/1").status_code == 404
    assert client.get("/picture/1").status_code == 200


def test_words_of_answers_are_text_and_no_markup(client: Any) -> None:
    assert "<b>cat" not in client.get("/picture/1").text


def test_other_pages_and_other_names_are_refused(client: Any, desk: Any) -> None:
    asked = {"picture": 1, "object": "dog", "verdict": "there"}
    assert client.post("/judge", json=asked, headers={"Origin": "http://elsewhere.example"}).status_code == 403
    assert client.get("/picture/1", headers={"Host": "elsewhere.example"}).status_code == 403
    assert not desk.judgements.path.exists()


def test_below_a_path_of_another_page_it_stays_there(desk: Any) -> None:
    client = client_of(desk, "/judging")
    assert client.get("/judging/").url.path == "/judging/picture/1"
    for page in (client.get("/judging/picture/1").text, client.get("/judging/figures").text):
        assert '<base href="/judging/">' in page
        assert not re.search(r'(?:href|src)="(?!/judging/"|data:)/', page)
    assert client.get("/judging/after/1").url.path == "/judging/picture/2"
    assert client.get("/judging/picture/9").url.path == "/judging/picture/1"
    said = client.post("/judging/judge", json={"picture": 1, "object": "dog", "verdict": "there"})
    assert said.json() == {"left": 3}


def test_a_disk_that_takes_nothing_is_told_and_nothing_seems_judged(client: Any, desk: Any) -> None:
    desk.judgements.path.mkdir()
    said = client.post("/judge", json={"picture": 1, "object": "dog", "verdict": "there"})
    assert said.status_code == 500
    assert "no judgement can be written" in said.json()["error"]


def test_the_frames_of_a_video_are_one_picture(tmp_path: Path) -> None:
    from farsight.judging.answers import Picture
    from farsight.web.judging import _jpeg

    for number in range(20):
        Image.new("RGB", (64, 64), (12 * number, 0, 0)).save(tmp_path / f"{number:02}.png")
    shown = _jpeg(Picture(image_id="1", path=tmp_path, answers={}))
    from io import BytesIO

    assert Image.open(BytesIO(shown)).size == (8 * 320, 320)
