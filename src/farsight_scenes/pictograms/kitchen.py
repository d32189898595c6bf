"""Objects that belong in a kitchen."""

from __future__ import annotations

from ..pen import CREAM, DARK, LEAF, WOOD, Pen, curve, mix


def cup(pen: Pen) -> None:
    """A mug with its handle on the right."""
    pen.arc(0.52, 0.36, 0.92, 0.76, 0, 360, 0.09, pen.main)
    pen.box(0.14, 0.24, 0.72, 0.88, pen.main, 0.1)
    pen.box(0.14, 0.24, 0.72, 0.5, pen.main)
    pen.ellipse(0.14, 0.14, 0.72, 0.34, pen.light)
    pen.ellipse(0.2, 0.18, 0.66, 0.31, mix(WOOD, DARK, 0.4))
    pen.box(0.22, 0.42, 0.29, 0.76, pen.light, 0.03)


def teapot(pen: Pen) -> None:
    """A round pot with spout, lid and handle."""
    pen.arc(0.03, 0.4, 0.4, 0.8, 60, 300, 0.08, pen.dark)
    pen.polygon([(0.66, 0.72), (0.7, 0.5), (0.84, 0.46), (0.9, 0.28), (0.99, 0.32), (0.93, 0.58)], pen.main)
    pen.ellipse(0.2, 0.34, 0.78, 0.88, pen.main)
    pen.box(0.34, 0.84, 0.64, 0.92, pen.dark, 0.03)
    pen.pie(0.3, 0.24, 0.68, 0.56, 180, 360, pen.dark)
    pen.disc(0.49, 0.2, 0.065, pen.main)
    pen.ellipse(0.28, 0.46, 0.42, 0.66, pen.light)


def bottle(pen: Pen) -> None:
    """A bottle with a cap and a label."""
    pen.box(0.41, 0.1, 0.59, 0.45, pen.main)
    pen.polygon([(0.41, 0.28), (0.59, 0.28), (0.72, 0.46), (0.28, 0.46)], pen.main)
    pen.box(0.28, 0.42, 0.72, 0.97, pen.main, 0.07)
    pen.box(0.28, 0.55, 0.72, 0.8, CREAM)
    pen.box(0.36, 0.62, 0.64, 0.66, pen.dark)
    pen.box(0.36, 0.7, 0.56, 0.74, pen.dark)
    pen.box(0.385, 0.03, 0.615, 0.13, mix(pen.dark, DARK, 0.5), 0.02)


def apple(pen: Pen) -> None:
    """An apple with its stem and a leaf."""
    pen.ellipse(0.1, 0.28, 0.6, 0.9, pen.main)
    pen.ellipse(0.4, 0.28, 0.9, 0.9, pen.main)
    pen.ellipse(0.25, 0.5, 0.75, 0.96, pen.main)
    pen.line(curve((0.5, 0.38), (0.49, 0.2), (0.44, 0.1)), 0.06, mix(WOOD, DARK, 0.3))
    pen.polygon(curve((0.5, 0.25), (0.55, 0.04), (0.8, 0.06)) + curve((0.8, 0.06), (0.78, 0.26), (0.5, 0.25)), LEAF)
    pen.ellipse(0.2, 0.4, 0.34, 0.6, pen.light)


def banana(pen: Pen) -> None:
    """One curved banana, tips dark."""
    pen.polygon(
        curve((0.05, 0.36), (0.2, 1.05), (0.74, 0.82)) + curve((0.74, 0.82), (1.0, 0.68), (0.94, 0.24))
        + curve((0.82, 0.22), (0.78, 0.5), (0.58, 0.54)) + curve((0.58, 0.54), (0.3, 0.56), (0.14, 0.32)),
        pen.main,
    )  # fmt: skip
    pen.line(
        curve((0.14, 0.46), (0.3, 0.8), (0.64, 0.7)) + curve((0.64, 0.7), (0.86, 0.62), (0.87, 0.34)),
        0.035,
        pen.dark,
    )
    pen.polygon([(0.81, 0.25), (0.83, 0.08), (0.92, 0.08), (0.94, 0.27)], mix(WOOD, DARK, 0.3))
    pen.polygon([(0.05, 0.38), (0.06, 0.3), (0.13, 0.29), (0.15, 0.35)], mix(WOOD, DARK, 0.5))


def clock(pen: Pen) -> None:
    """A round clock, ten past ten."""
    pen.disc(0.5, 0.5, 0.45, pen.main)
    pen.disc(0.5, 0.5, 0.34, CREAM)
    for x, y in ((0.5, 0.22), (0.5, 0.78), (0.22, 0.5), (0.78, 0.5)):
        pen.disc(x, y, 0.03, DARK)
    pen.line([(0.5, 0.5), (0.35, 0.4)], 0.06, DARK)
    pen.line([(0.5, 0.5), (0.69, 0.34)], 0.05, DARK)
    pen.disc(0.5, 0.5, 0.045, DARK)


def fork(pen: Pen) -> None:
    """A fork standing upright, three tines."""
    for x in (0.29, 0.5, 0.71):
        pen.line([(x, 0.08), (x, 0.4)], 0.1, pen.main)
    pen.pie(0.24, 0.18, 0.76, 0.58, 0, 180, pen.main)
    pen.line([(0.5, 0.5), (0.5, 0.92)], 0.13, pen.main)
    pen.line([(0.5, 0.66), (0.5, 0.9)], 0.05, pen.light)
