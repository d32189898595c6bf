"""Plots are drawn the same every time and name their units."""

from __future__ import annotations

import base64
from io import BytesIO

import pytest
from PIL import Image

from farsight.report import charts


def drawn(value: float = 1.0) -> charts.Figure:
    with charts.figure(3, 2) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, value], color=charts.colour(0))
        charts.in_percent(axes)
    return figure


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert charts.image(drawn()) == charts.image(drawn())
    assert charts.image(drawn(), "svg") == charts.image(drawn(), "svg")
    assert charts.image(drawn()) != charts.image(drawn(0.5))


def test_a_png_has_the_size_that_was_asked_for() -> None:
    assert Image.open(BytesIO(charts.image(drawn()))).size == (480, 320)


def test_shares_are_labelled_in_percent() -> None:
    assert b"100 %" in charts.image(drawn(), "svg")


def test_drawing_leaves_the_global_style_alone() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    charts.image(drawn())
    assert dict(mpl.rcParams) == before


def test_a_picture_goes_into_a_link() -> None:
    assert charts.data_uri(b"abc") == "data:image/png;base64," + base64.b64encode(b"abc").decode()


@pytest.mark.parametrize("number", [0, 5, 6, 100])
def test_there_are_colours_for_any_number_of_methods(number: int) -> None:
    assert charts.colour(number) in charts.COLOURS
