"""A pen that draws one object in unit coordinates, at any size."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFilter

RGB = tuple[int, int, int]
Point = tuple[float, float]

DARK: RGB = (45, 45, 52)
GLASS: RGB = (190, 222, 240)
STEEL: RGB = (168, 174, 182)
WOOD: RGB = (140, 92, 52)
LEAF: RGB = (64, 142, 62)
CREAM: RGB = (250, 246, 232)


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """Blend two colours; ``share`` is the part of the second one, from 0 to 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Pen:
    """Draws on a square transparent layer; x runs right and y down, both from 0 to 1.

    Parameters
    ----------
    pixels
        Side of the layer.
    colour
        The object's main colour. `light` and `dark` are derived from it.
    margin
        Share of the side left free all around, so that an outline fits.
    """

    def __init__(self, pixels: int, colour: RGB, margin: float = 0.0) -> None:
        self.pixels = pixels
        self._margin = margin
        self._scale = 1 - 2 * margin
        self.main = colour
        self.light = mix(colour, (255, 255, 255), 0.45)
        self.dark = mix(colour, (20, 20, 30), 0.38)
        self.layer = Image.new("RGBA", (pixels, pixels), (*colour, 0))
        self._draw = ImageDraw.Draw(self.layer)

    def _points(self, points: Sequence[Point]) -> list[Point]:
        return [(self._place(x), self._place(y)) for x, y in points]

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> list[float]:
        return [self._place(value) for value in (x0, y0, x1, y1)]

    def _place(self, value: float) -> float:
        return (self._margin + value * self._scale) * self.pixels

    def _width(self, width: float) -> int:
        return max(1, round(width * self._scale * self.pixels))

    def polygon(self, points: Sequence[Point], fill: RGB) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._points(points), fill=fill)

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        """Fill the ellipse inside a box."""
        self._draw.ellipse(self._box(x0, y0, x1, y1), fill=fill)

    def disc(self, x: float, y: float, radius: float, fill: RGB) -> None:
        """Fill a circle."""
        self.ellipse(x - radius, y - radius, x + radius, y + radius, fill)

    def ring(self, x: float, y: float, radius: float, width: float, fill: RGB) -> None:
        """Draw a circle's line; ``radius`` is the outer one."""
        self.arc(x - radius, y - radius, x + radius, y + radius, 0, 360, width, fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: RGB, radius: float = 0.0) -> None:
        """Fill a rectangle with rounded corners."""
        self._draw.rounded_rectangle(self._box(x0, y0, x1, y1), radius * self._scale * self.pixels, fill=fill)

    def line(self, points: Sequence[Point], width: float, fill: RGB) -> None:
        """Draw a line with round joints and ends."""
        self._draw.line(self._points(points), fill=fill, width=self._width(width), joint="curve")
        for x, y in (points[0], points[-1]):
            self.disc(x, y, width / 2, fill)

    def arc(
        self, x0: float, y0: float, x1: float, y1: float, start: float, end: float, width: float, fill: RGB
    ) -> None:
        """Draw part of an ellipse's line, from ``start`` to ``end`` degrees clockwise from the right."""
        self._draw.arc(self._box(x0, y0, x1, y1), start, end, fill=fill, width=self._width(width))

    def pie(self, x0: float, y0: float, x1: float, y1: float, start: float, end: float, fill: RGB) -> None:
        """Fill a sector of an ellipse, from ``start`` to ``end`` degrees clockwise from the right."""
        self._draw.pieslice(self._box(x0, y0, x1, y1), start, end, fill=fill)

    def outlined(self, width: float) -> Image.Image:
        """Return the drawing with a dark rim of ``width`` (a share of the side) around everything drawn."""
        reach = max(1, round(width * self.pixels))
        rim = self.layer.getchannel("A").filter(ImageFilter.MaxFilter(2 * reach + 1))
        result = Image.new("RGBA", self.layer.size, (*mix(self.main, (25, 25, 35), 0.72), 0))
        result.putalpha(rim)
        result.alpha_composite(self.layer)
        return result


def curve(start: Point, control: Point, end: Point, steps: int = 16) -> list[Point]:
    """Points of a quadratic Bezier curve."""
    points = []
    for step in range(steps + 1):
        t = step / steps
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        points.append((a * start[0] + b * control[0] + c * end[0], a * start[1] + b * control[1] + c * end[1]))
    return points
