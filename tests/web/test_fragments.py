"""Tables on the page are those of the reports, with and without marks; Gradio is not needed for them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from farsight.report.page import Section, Table, page
from farsight.web.fragments import fragment

ROWS = [["beam", "+1.0", "-2.0"], ["opera", "same", "same"]]


def on_a_report(table: Table) -> str:
    return page("Title", [], [Section(title="Figures", tables=[table])])


def on_the_page(table: Table) -> str:
    return fragment("section", summary=[], sections=[("Figures", "", [table], [])])


BOTH = pytest.mark.parametrize("drawn", [on_a_report, on_the_page])


@BOTH
def test_a_table_without_marks_has_its_cells_and_no_colour(drawn: Callable[[Table], str]) -> None:
    html = drawn(Table(columns=["", "recall", "words"], rows=ROWS))
    shown = re.findall(r"<t[dh][^>]*>([^<]+)</t[dh]>", html.partition("<tbody>")[2])
    assert shown == [cell for row in ROWS for cell in row]
    assert "<td class" not in html


@BOTH
def test_marks_are_those_of_their_own_cells(drawn: Callable[[Table], str]) -> None:
    marks = [["", "better", "worse"], ["", "", ""]]
    html = drawn(Table(columns=["", "recall", "words"], rows=ROWS, marks=marks))
    assert re.findall(r'<td class="(\w+)"[^>]*>([^<]+)</td>', html) == [("better", "+1.0"), ("worse", "-2.0")]


def test_on_a_report_text_may_take_lines_and_a_figure_is_broken_only_before_its_interval() -> None:
    rows = [["beam", "it is [much] slower", "+1.0 [-0.5, +2.5]"]]
    html = on_a_report(Table(columns=["method", "because", "recall"], rows=rows, prose=[1]))
    assert '<th class="prose" scope="col">because</th>' in html
    assert '<td class="prose" data-heading="because">it is [much] slower</td>' in html
    assert '<td class="interval" data-heading="recall">+1.0 <span>[-0.5, +2.5]</span></td>' in html
