"""Objects that belong on a beach."""

from __future__ import annotations

import math

from ..pen import CREAM, DARK, STEEL, WOOD, Pen, mix


def boat(pen: Pen) -> None:
    """A sailing boat with two sails."""
    pen.box(0.47, 0.03, 0.53, 0.7, mix(WOOD, DARK, 0.2))
    pen.polygon([(0.56, 0.06), (0.92, 0.6), (0.56, 0.6)], CREAM)
    pen.polygon([(0.44, 0.16), (0.44, 0.6), (0.14, 0.6)], mix(CREAM, pen.main, 0.3))
    pen.polygon([(0.03, 0.66), (0.97, 0.66), (0.82, 0.94), (0.18, 0.94)], pen.main)
    pen.polygon([(0.03, 0.66), (0.97, 0.66), (0.935, 0.73), (0.065, 0.73)], pen.dark)


def umbrella(pen: Pen) -> None:
    """An open sunshade with broad stripes."""
    pen.box(0.465, 0.1, 0.535, 0.97, mix(WOOD, DARK, 0.2), 0.02)
    box = (0.02, 0.08, 0.98, 1.0)
    pen.pie(*box, 180, 360, pen.main)
    pen.polygon([(0.18, 0.54), (0.36, 0.54), (0.49, 0.08), (0.4, 0.09), (0.26, 0.26)], CREAM)
    pen.polygon([(0.64, 0.54), (0.82, 0.54), (0.74, 0.26), (0.6, 0.09), (0.51, 0.08)], CREAM)
    pen.disc(0.5, 0.07, 0.05, pen.dark)


def surfboard(pen: Pen) -> None:
    """A surfboard standing upright, a stripe along it."""
    pen.ellipse(0.3, 0.16, 0.7, 1.0, pen.main)
    pen.polygon([(0.5, 0.0), (0.61, 0.16), (0.69, 0.46), (0.31, 0.46), (0.39, 0.16)], pen.main)
    pen.box(0.46, 0.06, 0.54, 0.96, CREAM, 0.03)
    pen.polygon([(0.315, 0.66), (0.685, 0.52), (0.69, 0.64), (0.325, 0.78)], pen.dark)


def crab(pen: Pen) -> None:
    """A crab from the front, claws raised."""
    for side in (-1, 1):
        for knee, foot in ((0.36, 0.9), (0.44, 0.78), (0.47, 0.66)):
            pen.line(
                [(0.5 + side * 0.24, 0.62), (0.5 + side * knee, foot - 0.12), (0.5 + side * knee, foot)],
                0.055,
                pen.dark,
            )
        pen.line([(0.5 + side * 0.24, 0.52), (0.5 + side * 0.38, 0.42), (0.5 + side * 0.36, 0.28)], 0.08, pen.main)
        x = 0.5 + side * 0.35
        pen.pie(x - 0.15, 0.04, x + 0.15, 0.34, -50, 230, pen.main)
        pen.line([(0.5 + side * 0.1, 0.5), (0.5 + side * 0.1, 0.34)], 0.04, pen.dark)
    pen.ellipse(0.18, 0.42, 0.82, 0.86, pen.main)
    for side in (-1, 1):
        pen.disc(0.5 + side * 0.1, 0.34, 0.065, CREAM)
        pen.disc(0.5 + side * 0.1, 0.34, 0.035, DARK)
    pen.arc(0.36, 0.52, 0.64, 0.74, 20, 160, 0.04, pen.dark)


def bucket(pen: Pen) -> None:
    """A pail with its handle up."""
    pen.arc(0.18, 0.02, 0.82, 0.74, 180, 360, 0.055, STEEL)
    pen.polygon([(0.14, 0.36), (0.86, 0.36), (0.74, 0.95), (0.26, 0.95)], pen.main)
    pen.polygon([(0.177, 0.54), (0.823, 0.54), (0.79, 0.7), (0.21, 0.7)], CREAM)
    pen.ellipse(0.12, 0.27, 0.88, 0.45, pen.dark)
    pen.ellipse(0.18, 0.305, 0.82, 0.425, mix(pen.dark, DARK, 0.5))


def starfish(pen: Pen) -> None:
    """A starfish with five arms and spots."""
    points = []
    for corner in range(10):
        angle = math.pi * (corner / 5 - 0.5)
        radius = 0.5 if corner % 2 == 0 else 0.215
        points.append((0.5 + radius * math.cos(angle), 0.53 + radius * math.sin(angle)))
    pen.polygon(points, pen.main)
    for arm in range(5):
        angle = math.pi * (arm * 0.4 - 0.5)
        for radius, dot in ((0.17, 0.045), (0.3, 0.033)):
            pen.disc(0.5 + radius * math.cos(angle), 0.53 + radius * math.sin(angle), dot, pen.light)
    pen.disc(0.5, 0.53, 0.06, pen.light)


def turtle(pen: Pen) -> None:
    """A turtle from the side, head to the right."""
    skin = mix((150, 176, 96), pen.light, 0.25)
    pen.polygon([(0.02, 0.72), (0.16, 0.6), (0.2, 0.72)], skin)
    for x in (0.2, 0.56):
        pen.box(x, 0.66, x + 0.15, 0.9, skin, 0.05)
    pen.box(0.64, 0.5, 0.86, 0.72, skin, 0.06)
    pen.ellipse(0.74, 0.34, 0.99, 0.62, skin)
    pen.disc(0.89, 0.44, 0.032, DARK)
    pen.pie(0.08, 0.18, 0.78, 1.18, 180, 360, pen.main)
    pen.box(0.07, 0.65, 0.79, 0.74, pen.dark, 0.04)
    pen.polygon([(0.34, 0.36), (0.52, 0.36), (0.58, 0.5), (0.43, 0.62), (0.28, 0.5)], pen.dark)
    pen.polygon([(0.16, 0.52), (0.24, 0.52), (0.32, 0.63), (0.13, 0.63)], pen.dark)
    pen.polygon([(0.62, 0.52), (0.7, 0.52), (0.73, 0.63), (0.54, 0.63)], pen.dark)
