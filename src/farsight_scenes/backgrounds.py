"""What stands behind the objects: one drawing function a place, and what may stand in front of them."""

from __future__ import annotations

import random

from .pen import DARK, RGB, STEEL, WOOD, Pen, mix

_WHITE: RGB = (255, 255, 255)


def kitchen(pen: Pen, dice: random.Random) -> None:
    """A tiled wall above a table."""
    wall = dice.choice([(222, 232, 226), (238, 226, 206), (214, 226, 236), (236, 216, 210)])
    table = dice.choice([(206, 168, 122), (188, 150, 112), (226, 204, 176), (176, 160, 148)])
    edge = dice.uniform(0.36, 0.5)
    pen.box(0, 0, 1, 1, wall)
    step = dice.choice([0.11, 0.14, 0.17])
    grout = mix(wall, _WHITE, 0.55)
    for line in range(1, 10):
        pen.box(0, line * step - 0.003, 1, line * step + 0.003, grout)
        pen.box(line * step - 0.003, 0, line * step + 0.003, 1, grout)
    pen.box(0, edge, 1, 1, table)
    pen.box(0, edge, 1, edge + 0.025, mix(table, DARK, 0.25))
    for _ in range(5):
        y = dice.uniform(edge + 0.06, 0.98)
        x = dice.uniform(-0.2, 0.8)
        pen.line([(x, y), (x + dice.uniform(0.2, 0.5), y)], 0.006, mix(table, DARK, 0.14))
    for _ in range(dice.randrange(3)):
        x, y, r = dice.random(), dice.uniform(edge + 0.1, 0.95), dice.uniform(0.07, 0.12)
        pen.ellipse(x - r, y - r * 0.5, x + r, y + r * 0.5, mix(table, _WHITE, 0.6))
        pen.ellipse(x - r * 0.6, y - r * 0.3, x + r * 0.6, y + r * 0.3, mix(table, _WHITE, 0.42))


def street(pen: Pen, dice: random.Random) -> None:
    """A row of houses, a pavement and a road."""
    pen.box(0, 0, 1, 1, dice.choice([(196, 220, 238), (216, 224, 230), (238, 218, 200)]))
    ground = dice.uniform(0.46, 0.56)
    x = -0.05
    while x < 1:
        width, top = dice.uniform(0.18, 0.32), dice.uniform(0.06, 0.26)
        house = dice.choice([(206, 178, 160), (190, 190, 198), (214, 200, 170), (176, 168, 178), (200, 170, 150)])
        pen.box(x, top, x + width, ground, house)
        pane = mix(house, (90, 110, 140), 0.35)
        for row in range(3):
            for column in range(3):
                left, y = x + width * (0.12 + 0.3 * column), top + 0.04 + 0.12 * row
                pen.box(left, y, left + width * 0.17, y + 0.07, pane)
        x += width
    pavement = (196, 192, 186)
    pen.box(0, ground, 1, ground + 0.14, pavement)
    for joint in range(9):
        pen.line([(joint * 0.125, ground + 0.14), (joint * 0.125 + 0.04, ground)], 0.005, mix(pavement, DARK, 0.18))
    road = dice.choice([(122, 124, 130), (138, 134, 130), (110, 114, 122)])
    pen.box(0, ground + 0.13, 1, 1, road)
    pen.box(0, ground + 0.13, 1, ground + 0.15, mix(pavement, DARK, 0.35))
    lane = dice.uniform(0.8, 0.88)
    shift = dice.uniform(0, 0.2)
    for dash in range(-1, 5):
        pen.box(dash * 0.25 + shift, lane, dash * 0.25 + shift + 0.13, lane + 0.022, (226, 222, 206))


def park(pen: Pen, dice: random.Random) -> None:
    """Sky, far trees, a lawn and a path."""
    pen.box(0, 0, 1, 1, dice.choice([(186, 220, 242), (206, 228, 238), (240, 224, 206)]))
    lawn = dice.choice([(146, 194, 112), (128, 182, 112), (168, 196, 108)])
    edge = dice.uniform(0.38, 0.5)
    for _ in range(dice.randrange(1, 4)):
        x, y = dice.random(), dice.uniform(0.06, 0.2)
        for shift in (-0.07, 0.0, 0.07):
            pen.ellipse(x + shift - 0.07, y - 0.03, x + shift + 0.07, y + 0.035, (244, 248, 250))
    for _ in range(dice.randrange(4, 8)):
        x, r = dice.random(), dice.uniform(0.06, 0.12)
        crown = mix(lawn, (40, 100, 70), dice.uniform(0.3, 0.6))
        pen.box(x - 0.012, edge - r * 1.2, x + 0.012, edge + 0.01, mix(WOOD, lawn, 0.3))
        pen.disc(x, edge - r * 1.4, r, crown)
    pen.ellipse(-0.4, edge - 0.04, 0.8, edge + 0.3, mix(lawn, _WHITE, 0.12))
    pen.box(0, edge, 1, 1, lawn)
    left = dice.uniform(0.1, 0.6)
    pen.polygon([(left, edge), (left + 0.06, edge), (left + 0.3, 1), (left - 0.1, 1)], (222, 206, 170))
    for _ in range(40):
        x, y = dice.random(), dice.uniform(edge + 0.03, 0.99)
        pen.line([(x, y), (x + 0.008, y - 0.022)], 0.006, mix(lawn, (30, 90, 40), 0.4))


def beach(pen: Pen, dice: random.Random) -> None:
    """Sky and sun, the sea with waves, sand."""
    sky = dice.choice([(176, 220, 244), (200, 228, 240), (248, 214, 186)])
    sea = dice.choice([(92, 168, 204), (80, 178, 190), (110, 160, 200)])
    sand = dice.choice([(238, 216, 168), (232, 206, 160), (240, 224, 190)])
    horizon = dice.uniform(0.22, 0.32)
    shore = dice.uniform(0.46, 0.58)
    pen.box(0, 0, 1, 1, sky)
    pen.disc(dice.uniform(0.1, 0.9), dice.uniform(0.08, 0.14), 0.06, (252, 232, 150))
    pen.box(0, horizon, 1, 1, sea)
    for _ in range(14):
        x, y = dice.random(), dice.uniform(horizon + 0.02, shore - 0.02)
        pen.line([(x, y), (x + dice.uniform(0.04, 0.1), y)], 0.007, mix(sea, _WHITE, 0.45))
    for bump in range(6):
        pen.ellipse(bump * 0.2 - 0.12, shore - 0.035, bump * 0.2 + 0.14, shore + 0.05, mix(sea, _WHITE, 0.7))
    pen.box(0, shore, 1, 1, sand)
    for _ in range(50):
        x, y = dice.random(), dice.uniform(shore + 0.02, 0.99)
        pen.disc(x, y, 0.004, mix(sand, WOOD, 0.3))


def cover(pen: Pen, place: str, dice: random.Random) -> None:
    """Fill the pen's square with something of the place that can hide part of an object."""
    if place == "kitchen":
        cloth = dice.choice([(196, 120, 110), (120, 150, 170), (150, 160, 120), (210, 180, 130)])
        pen.box(0.02, 0.02, 0.98, 0.98, cloth, 0.08)
        for band in range(1, 5):
            pen.box(0.02, band * 0.2 - 0.03, 0.98, band * 0.2 + 0.03, mix(cloth, _WHITE, 0.5))
    elif place == "street":
        pen.box(0.02, 0.02, 0.98, 0.98, (176, 172, 166), 0.04)
        pen.box(0.02, 0.02, 0.98, 0.14, mix(STEEL, _WHITE, 0.4), 0.04)
        pen.box(0.1, 0.3, 0.9, 0.38, (150, 146, 142))
    elif place == "park":
        bush = mix((86, 146, 84), (50, 110, 70), dice.random())
        pen.box(0.06, 0.1, 0.94, 1.0, bush, 0.2)
        for _ in range(14):
            x, y, r = dice.random(), dice.random(), dice.uniform(0.12, 0.22)
            pen.disc(min(max(x, r), 1 - r), min(max(y, r), 1 - r), r, mix(bush, _WHITE, dice.uniform(0, 0.14)))
    else:
        rock = dice.choice([(150, 140, 130), (170, 152, 132), (132, 134, 140)])
        pen.polygon([(0.04, 1), (0.0, 0.4), (0.2, 0.08), (0.62, 0.0), (0.94, 0.24), (1.0, 1)], rock)
        pen.polygon([(0.2, 0.08), (0.62, 0.0), (0.56, 0.36), (0.3, 0.44)], mix(rock, _WHITE, 0.2))


BACKGROUNDS = {"kitchen": kitchen, "street": street, "park": park, "beach": beach}
