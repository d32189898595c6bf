"""The audit's page works alone, says what the numbers say, and shows text as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from farsight.metrics import chair
from farsight.metrics.comparison import compare
from farsight.metrics.snowball import audit
from farsight.report import charts
from farsight.report.audit import audit_page, draw_curves, draw_ranks, overview, summary
from farsight.report.page import Section, Span, Text, page

OBJECTS = {n: ["dog"] for n in range(12)}
SCORES = {
    "greedy": chair.score(dict.fromkeys(OBJECTS, "A dog and a <b>cat</b>, two cars & a bus-stop, a kite."), OBJECTS),
    "other": chair.score({n: "A dog." if n % 2 else "A dog, a cat, a person" for n in OBJECTS}, OBJECTS),
}
AUDITS = {name: audit(score, resamples=50) for name, score in SCORES.items()}
DIFFERENCES = {"other": compare(SCORES["greedy"], SCORES["other"], resamples=50)}


@pytest.fixture(scope="module")
def html() -> str:
    return audit_page(AUDITS, SCORES, DIFFERENCES)


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_nothing_comes_from_anywhere_else(html: str) -> None:
    for tag, attributes in Elements(html).found:
        assert tag not in {"script", "link", "iframe", "object", "base", "form"}
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    assert not re.search(r"@import|url\(", html)


def test_every_picture_says_what_it_shows(html: str) -> None:
    pictures = [attributes for tag, attributes in Elements(html).found if tag == "img"]
    assert len(pictures) == 2
    assert all(len(picture["alt"] or "") > 40 for picture in pictures)


def test_captions_are_shown_as_text_with_their_objects_marked(html: str) -> None:
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert '<span class="true" title="true">dog</span>' in html
    assert '<span class="false" title="false">cars</span>' in html


def test_the_figures_are_in_it(html: str) -> None:
    for name, found in AUDITS.items():
        assert summary(name, found).split(";")[0].replace("'", "&#39;") in html
    assert "Compared with greedy" in html


def test_a_single_file_is_compared_with_nothing() -> None:
    html = audit_page({"greedy": AUDITS["greedy"]}, {"greedy": SCORES["greedy"]}, {})
    assert "Compared with" not in html


def test_the_summary_says_when_nothing_can_be_matched() -> None:
    nothing = audit(chair.score({1: "A dog", 2: "A dog"}, OBJECTS), resamples=20)
    assert "too few captions" in summary("x", nothing)


ALL = "100.0 [100.0, 100.0]"


@pytest.mark.parametrize(
    ("caption", "said", "cells"),
    [
        ("A cat", "false in 100.0 % of cases up to the first false object and none", [ALL, "-"]),
        ("A cat, a kite", "up to the first false object and in 100.0 % after it", [ALL, ALL]),
        ("A dog", "false in 0.0 % of cases up to the first false object and none", ["0.0 [0.0, 0.0]", "-"]),
        ("Nice", "No caption mentions an object;", ["-", "-"]),
    ],
)  # fmt: skip
def test_the_text_and_the_table_agree_where_there_is_nothing_that_could_be_false(
    caption: str, said: str, cells: list[str]
) -> None:
    scores = {"x": chair.score(dict.fromkeys((1, 2), caption), OBJECTS)}
    found = audit(scores["x"], resamples=20)
    table = overview({"x": found}, scores)
    assert said in summary("x", found)
    assert table.rows[0][4:6] == cells
    for rate, cell in ((found.before, cells[0]), (found.after, cells[1])):
        assert (rate.record()["rate"] is None) == (cell == "-")


def test_a_fifth_without_mentions_has_no_rate() -> None:
    scores = {"x": chair.score(dict.fromkeys((1, 2), "A cat sits on the grass here"), OBJECTS)}
    table = overview({"x": audit(scores["x"], resamples=20)}, scores)
    assert table.rows[0][7].split() == ["100.0", "-", "-", "-", "-"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_curves_are_drawn_for_any_number_of_files(count: int) -> None:
    many = {f"file {number}": AUDITS["greedy"] for number in range(count)}
    assert charts.image(draw_curves(many)).startswith(b"\x89PNG")
    figure = draw_ranks(many)
    assert sum(axes.get_visible() for axes in figure.axes) == count
    assert charts.image(figure).startswith(b"\x89PNG")


def test_a_page_escapes_whatever_it_is_given() -> None:
    evil = "<script>alert(1)</script>"
    made = page(evil, [evil], [Section(title=evil, words=evil, texts=[Text(title=evil, spans=[Span(evil, "false")])])])
    assert "<script" not in made
