"""Objects that belong in a street."""

from __future__ import annotations

from ..pen import CREAM, DARK, GLASS, STEEL, Pen, mix


def _wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.disc(x, y, radius, DARK)
    pen.disc(x, y, radius * 0.45, STEEL)


def car(pen: Pen) -> None:
    """A car from the side, facing right."""
    pen.polygon([(0.16, 0.5), (0.3, 0.24), (0.66, 0.24), (0.84, 0.5)], pen.main)
    pen.box(0.03, 0.46, 0.97, 0.74, pen.main, 0.09)
    pen.polygon([(0.26, 0.47), (0.35, 0.3), (0.47, 0.3), (0.47, 0.47)], GLASS)
    pen.polygon([(0.52, 0.47), (0.52, 0.3), (0.63, 0.3), (0.75, 0.47)], GLASS)
    pen.box(0.03, 0.63, 0.97, 0.68, pen.dark)
    pen.disc(0.92, 0.55, 0.04, (255, 232, 140))
    _wheel(pen, 0.25, 0.74, 0.125)
    _wheel(pen, 0.75, 0.74, 0.125)


def bus(pen: Pen) -> None:
    """A long bus with a row of windows."""
    pen.box(0.02, 0.16, 0.98, 0.8, pen.main, 0.07)
    for x in (0.08, 0.26, 0.44, 0.62):
        pen.box(x, 0.25, x + 0.14, 0.46, GLASS, 0.02)
    pen.box(0.8, 0.25, 0.94, 0.72, GLASS, 0.02)
    pen.box(0.86, 0.25, 0.88, 0.72, pen.dark)
    pen.box(0.02, 0.55, 0.78, 0.61, pen.light)
    _wheel(pen, 0.24, 0.8, 0.115)
    _wheel(pen, 0.68, 0.8, 0.115)


def truck(pen: Pen) -> None:
    """A lorry: a tall box behind a small cab, facing right."""
    pen.box(0.02, 0.18, 0.62, 0.74, pen.main, 0.02)
    for x in (0.17, 0.32, 0.47):
        pen.box(x - 0.012, 0.24, x + 0.012, 0.66, pen.dark)
    pen.polygon([(0.65, 0.74), (0.65, 0.36), (0.84, 0.36), (0.97, 0.56), (0.97, 0.74)], mix(pen.main, DARK, 0.3))
    pen.polygon([(0.71, 0.54), (0.71, 0.42), (0.81, 0.42), (0.89, 0.54)], GLASS)
    pen.box(0.02, 0.7, 0.98, 0.77, mix(DARK, STEEL, 0.3))
    for x in (0.18, 0.44, 0.8):
        _wheel(pen, x, 0.78, 0.11)


def bicycle(pen: Pen) -> None:
    """A bicycle from the side."""
    for x in (0.24, 0.76):
        pen.ring(x, 0.66, 0.225, 0.055, DARK)
        pen.disc(x, 0.66, 0.04, DARK)
    frame = [(0.24, 0.66), (0.39, 0.36), (0.67, 0.36), (0.49, 0.66), (0.24, 0.66)]
    pen.line(frame, 0.065, pen.main)
    pen.line([(0.49, 0.66), (0.37, 0.3)], 0.065, pen.main)
    pen.line([(0.76, 0.66), (0.66, 0.28), (0.66, 0.2), (0.8, 0.17)], 0.065, pen.main)
    pen.line([(0.28, 0.26), (0.45, 0.26)], 0.09, DARK)
    pen.disc(0.49, 0.66, 0.06, pen.dark)


def traffic_light(pen: Pen) -> None:
    """Three lamps in a box on a pole."""
    pen.box(0.45, 0.7, 0.55, 0.98, mix(DARK, STEEL, 0.4))
    pen.box(0.28, 0.02, 0.72, 0.78, pen.main, 0.08)
    lamps = ((0.17, (225, 52, 46)), (0.4, (250, 200, 50)), (0.63, (60, 190, 90)))
    for y, lamp in lamps:
        pen.disc(0.5, y, 0.115, DARK)
        pen.disc(0.5, y, 0.09, lamp)


def hydrant(pen: Pen) -> None:
    """A fire hydrant with two side outlets."""
    pen.box(0.14, 0.42, 0.86, 0.6, pen.dark, 0.04)
    pen.box(0.32, 0.28, 0.68, 0.9, pen.main)
    pen.pie(0.3, 0.1, 0.7, 0.5, 180, 360, pen.main)
    pen.box(0.44, 0.03, 0.56, 0.16, pen.dark, 0.02)
    pen.box(0.26, 0.27, 0.74, 0.35, pen.dark, 0.02)
    pen.box(0.22, 0.84, 0.78, 0.96, pen.dark, 0.03)
    pen.disc(0.5, 0.53, 0.13, pen.light)
    pen.disc(0.5, 0.53, 0.06, pen.dark)


def cone(pen: Pen) -> None:
    """A traffic cone with two bright bands."""
    pen.polygon([(0.44, 0.06), (0.56, 0.06), (0.8, 0.84), (0.2, 0.84)], pen.main)
    pen.polygon([(0.395, 0.22), (0.605, 0.22), (0.66, 0.4), (0.34, 0.4)], CREAM)
    pen.polygon([(0.295, 0.55), (0.705, 0.55), (0.75, 0.7), (0.25, 0.7)], CREAM)
    pen.box(0.06, 0.82, 0.94, 0.94, pen.dark, 0.03)
