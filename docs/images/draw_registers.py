"""Draw the picture of the method for the README: ``python docs/images/draw_registers.py``.

Every shade and bar is computed: scores of one head for eight tokens, registers with the sigma of the picture, the
softmax over both, and the gate in closed form.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from farsight.registers import log_register_mass, register_gate

TOKENS, SIGMA, SCALE = 8, 0.35, 2
WHITE, INK, GREY, LINE = (255, 255, 255), (32, 36, 44), (110, 116, 128), (222, 225, 230)
BLUE, ORANGE = (37, 99, 175), (226, 125, 36)
CELL, TOP, LEFT, GAP = 30, 92, 36, 74


def mix(color: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    return tuple(round(255 + (c - 255) * min(max(share, 0.0), 1.0)) for c in color)  # type: ignore[return-value]


def main() -> None:
    scores = torch.randn(TOKENS, TOKENS, generator=torch.Generator().manual_seed(4)).double() * 0.9
    rows, columns = torch.arange(TOKENS)[:, None], torch.arange(TOKENS)
    allowed = columns <= rows
    registers = -(columns - rows) * SIGMA
    weights = torch.softmax(torch.where(allowed, scores, registers.double()), -1) * allowed
    lse = torch.logsumexp(scores.masked_fill(~allowed, -torch.inf), -1)
    gate = register_gate(lse, log_register_mass((TOKENS - 1 - rows[:, 0]).double(), SIGMA))
    assert torch.allclose(gate, weights.sum(-1))

    width = LEFT * 2 + 3 * TOKENS * CELL + 2 * GAP + 30
    picture = Image.new("RGB", (width * SCALE, (TOP + TOKENS * CELL + 62) * SCALE), WHITE)
    draw = ImageDraw.Draw(picture)
    fonts = {size: ImageFont.load_default(size * SCALE) for size in (12, 13, 16)}

    def text(
        x: float, y: float, words: str, size: int = 13, color: tuple[int, int, int] = INK, anchor: str = "lt"
    ) -> None:
        draw.text((x * SCALE, y * SCALE), words, font=fonts[size], fill=color, anchor=anchor)

    def box(x: float, y: float, w: float, h: float, fill: tuple[int, int, int], line: bool = True) -> None:
        edges = [x * SCALE, y * SCALE, (x + w) * SCALE, (y + h) * SCALE]
        draw.rectangle(edges, fill=fill, outline=LINE if line else None, width=SCALE)

    panels = [LEFT + i * (TOKENS * CELL + GAP) for i in range(3)]
    titles = [
        ("1  Registers in the future slots", "orange: score -(j - i) sigma, never read"),
        ("2  Softmax over both, then erase", "a row keeps less than 1"),
        ("3  The same: one gate per row", "Z / (Z + R) on unchanged attention"),
    ]
    for x, (title, note) in zip(panels, titles, strict=True):
        text(x, 26, title, 16)
        text(x, 52, note, 13, GREY)
    for i in range(TOKENS):
        for j in range(TOKENS):
            x, y = j * CELL, TOP + i * CELL
            if j <= i:
                share = float(torch.sigmoid(scores[i, j] * 1.2))
                box(panels[0] + x, y, CELL, CELL, mix(BLUE, 0.15 + 0.75 * share))
                box(panels[1] + x, y, CELL, CELL, mix(BLUE, 0.06 + 1.1 * float(weights[i, j])))
            else:
                box(panels[0] + x, y, CELL, CELL, mix(ORANGE, float(torch.exp(registers[i, j] * 0.9))))
                box(panels[1] + x, y, CELL, CELL, WHITE)
        y = TOP + i * CELL
        long = TOKENS * CELL * float(gate[i])
        box(panels[2], y + 5, TOKENS * CELL, CELL - 10, mix(ORANGE, 0.25), line=False)
        box(panels[2], y + 5, long, CELL - 10, mix(BLUE, 0.8), line=False)
        text(panels[2] + TOKENS * CELL + 8, y + CELL / 2, f"{float(gate[i]):.2f}", 12, INK, "lm")
    bottom = TOP + TOKENS * CELL + 14
    text(panels[0], bottom, "row i: the token that asks; column j: the token it reads", 12, GREY)
    text(panels[1], bottom, "darker: more attention", 12, GREY)
    text(panels[2], bottom, "blue: kept by real tokens; orange: absorbed,", 12, GREY)
    text(panels[2], bottom + 18, "most where most of the text is yet to come", 12, GREY)
    picture.save(Path(__file__).with_name("registers.png"), optimize=True)


if __name__ == "__main__":
    main()
