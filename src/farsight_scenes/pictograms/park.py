"""Objects that belong in a park."""

from __future__ import annotations

import math

from ..pen import CREAM, DARK, LEAF, Pen, curve, mix


def dog(pen: Pen) -> None:
    """A dog standing, facing right, ear hanging and tail up."""
    pen.line(curve((0.16, 0.5), (0.02, 0.42), (0.05, 0.22)), 0.085, pen.main)
    for x, tone in ((0.24, pen.dark), (0.58, pen.dark), (0.14, pen.main), (0.48, pen.main)):
        pen.box(x, 0.6, x + 0.11, 0.95, tone, 0.04)
    pen.box(0.12, 0.42, 0.7, 0.7, pen.main, 0.13)
    pen.polygon([(0.5, 0.5), (0.58, 0.26), (0.76, 0.36), (0.68, 0.62)], pen.main)
    pen.box(0.56, 0.13, 0.82, 0.42, pen.main, 0.1)
    pen.box(0.7, 0.25, 0.98, 0.42, pen.main, 0.07)
    pen.box(0.55, 0.15, 0.66, 0.43, pen.dark, 0.05)
    pen.disc(0.94, 0.28, 0.05, DARK)
    pen.disc(0.745, 0.24, 0.032, DARK)
    pen.box(0.54, 0.47, 0.71, 0.53, (205, 60, 60), 0.02)


def cat(pen: Pen) -> None:
    """A cat sitting, seen from the front, ears pointed."""
    pen.line(curve((0.66, 0.88), (1.02, 0.86), (0.88, 0.5)), 0.1, pen.main)
    pen.ellipse(0.22, 0.42, 0.74, 0.99, pen.main)
    pen.box(0.24, 0.8, 0.72, 0.98, pen.main, 0.08)
    pen.polygon([(0.2, 0.34), (0.2, 0.03), (0.44, 0.16)], pen.main)
    pen.polygon([(0.76, 0.34), (0.76, 0.03), (0.52, 0.16)], pen.main)
    pen.polygon([(0.245, 0.22), (0.245, 0.11), (0.34, 0.16)], (236, 150, 150))
    pen.polygon([(0.715, 0.22), (0.715, 0.11), (0.62, 0.16)], (236, 150, 150))
    pen.ellipse(0.18, 0.12, 0.78, 0.58, pen.main)
    for x in (0.36, 0.6):
        pen.disc(x, 0.33, 0.065, (214, 232, 110))
        pen.ellipse(x - 0.025, 0.275, x + 0.025, 0.385, DARK)
    pen.polygon([(0.44, 0.42), (0.52, 0.42), (0.48, 0.47)], (226, 110, 120))
    pen.ellipse(0.38, 0.62, 0.58, 0.9, pen.light)


def bird(pen: Pen) -> None:
    """A small bird facing right, wing folded."""
    for x in (0.44, 0.56):
        pen.line([(x, 0.72), (x + 0.02, 0.94)], 0.04, (214, 130, 40))
    pen.polygon([(0.26, 0.5), (0.0, 0.36), (0.02, 0.56), (0.3, 0.68)], pen.dark)
    pen.polygon([(0.82, 0.24), (1.0, 0.34), (0.82, 0.42)], (240, 160, 40))
    pen.ellipse(0.16, 0.36, 0.8, 0.8, pen.main)
    pen.disc(0.7, 0.32, 0.2, pen.main)
    pen.polygon(
        curve((0.56, 0.48), (0.5, 0.8), (0.16, 0.66)) + curve((0.16, 0.66), (0.3, 0.44), (0.56, 0.48)),
        pen.dark,
    )
    pen.ellipse(0.58, 0.54, 0.76, 0.74, pen.light)
    pen.disc(0.76, 0.27, 0.05, CREAM)
    pen.disc(0.775, 0.27, 0.03, DARK)


def bench(pen: Pen) -> None:
    """A park bench from the front."""
    for x in (0.12, 0.8):
        pen.box(x, 0.2, x + 0.08, 0.94, DARK, 0.02)
    for y in (0.22, 0.36):
        pen.box(0.03, y, 0.97, y + 0.1, pen.main, 0.02)
    pen.polygon([(0.08, 0.54), (0.92, 0.54), (0.99, 0.68), (0.01, 0.68)], pen.main)
    pen.box(0.01, 0.66, 0.99, 0.73, pen.dark, 0.02)


def kite(pen: Pen) -> None:
    """A diamond kite with a tail of bows."""
    tail = curve((0.46, 0.66), (0.62, 0.82), (0.44, 0.96))
    pen.line(tail, 0.035, DARK)
    for x, y in (tail[6], tail[13]):
        pen.polygon([(x - 0.11, y - 0.06), (x - 0.11, y + 0.06), (x + 0.11, y - 0.06), (x + 0.11, y + 0.06)], pen.main)
    pen.polygon([(0.5, 0.02), (0.86, 0.3), (0.46, 0.7), (0.14, 0.3)], pen.main)
    pen.polygon([(0.5, 0.02), (0.86, 0.3), (0.49, 0.3)], pen.light)
    pen.polygon([(0.14, 0.3), (0.49, 0.3), (0.46, 0.7)], pen.light)
    pen.line([(0.5, 0.03), (0.46, 0.69)], 0.03, pen.dark)
    pen.line([(0.15, 0.3), (0.85, 0.3)], 0.03, pen.dark)


def ball(pen: Pen) -> None:
    """A beach-style ball: panels of colour and cream meeting at a cap."""
    box = (0.08, 0.08, 0.92, 0.92)
    pen.disc(0.5, 0.5, 0.42, pen.main)
    for start in (20, 140, 260):
        pen.pie(*box, start, start + 60, CREAM)
    pen.disc(0.5, 0.5, 0.11, pen.dark)


def flower(pen: Pen) -> None:
    """A flower with six petals on a stem with two leaves."""
    pen.line([(0.5, 0.4), (0.5, 0.96)], 0.07, LEAF)
    for side in (-1, 1):
        tip = (0.5 + side * 0.32, 0.66)
        pen.polygon(
            curve((0.5, 0.88), (0.5 + side * 0.08, 0.62), tip) + curve(tip, (0.5 + side * 0.3, 0.9), (0.5, 0.88)),
            LEAF,
        )
    for petal in range(6):
        angle = math.pi * (petal / 3 + 1 / 6)
        pen.disc(0.5 + 0.19 * math.cos(angle), 0.32 + 0.19 * math.sin(angle), 0.13, pen.main)
    yellowish = pen.main[0] > 200 and pen.main[1] > 150 and pen.main[2] < 120
    pen.disc(0.5, 0.32, 0.11, mix((140, 80, 40), DARK, 0.1) if yellowish else (250, 205, 70))
