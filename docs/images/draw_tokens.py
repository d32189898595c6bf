"""Draw the three equal forms of registers without a horizon: ``python docs/images/draw_tokens.py``.

Every shade is computed, and that the three are equal is asserted: registers in all future slots, of which the picture
has room for the first; one gate per row; tokens with a zero key and a zero value in front.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from farsight.register_tokens import sigma_of
from farsight.registers import register_gate

TOKENS, REGISTERS, SHOWN, SCALE = 7, 3, 6, 2
WHITE, INK, GREY, LINE = (255, 255, 255), (32, 36, 44), (110, 116, 128), (222, 225, 230)
BLUE, ORANGE = (37, 99, 175), (226, 125, 36)
CELL, TOP, LEFT, GAP = 28, 92, 30, 44


def mix(color: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 + (c - 255) * min(max(share, 0.0), 1.0)) for c in color)
    return red, green, blue


def main() -> None:
    sigma = sigma_of(REGISTERS)
    scores = torch.randn(TOKENS, TOKENS, generator=torch.Generator().manual_seed(4)).double() * 0.9
    causal = torch.ones(TOKENS, TOKENS).tril().bool()
    scores = scores.masked_fill(~causal, -torch.inf)
    slots = TOKENS + 2000  # a horizon that is as good as none
    ahead = torch.arange(slots) - torch.arange(TOKENS)[:, None]
    in_mask = torch.nn.functional.pad(scores, (0, slots - TOKENS), value=-torch.inf)
    in_mask = torch.softmax(torch.where(ahead > 0, -ahead * sigma, in_mask), -1)
    gate = register_gate(scores.logsumexp(-1), torch.tensor(float(REGISTERS)).double().log())
    gated = torch.softmax(scores, -1) * gate[:, None]
    behind = torch.softmax(torch.cat((torch.zeros(TOKENS, REGISTERS).double(), scores), 1), -1)
    assert torch.allclose(in_mask[:, :TOKENS] * causal, gated)
    assert torch.allclose(behind[:, REGISTERS:], gated)

    widths = [(TOKENS + SHOWN) * CELL, (TOKENS + 2) * CELL, (TOKENS + REGISTERS) * CELL]
    lefts = [LEFT, LEFT + widths[0] + GAP, LEFT + widths[0] + widths[1] + 2 * GAP]
    size = (lefts[2] + widths[2] + LEFT, TOP + TOKENS * CELL + 74)
    picture = Image.new("RGB", (size[0] * SCALE, size[1] * SCALE), WHITE)
    draw = ImageDraw.Draw(picture)
    fonts = {points: ImageFont.load_default(points * SCALE) for points in (12, 15)}

    def text(x: float, y: float, words: str, points: int = 12, color: tuple[int, int, int] = GREY) -> None:
        draw.text((x * SCALE, y * SCALE), words, font=fonts[points], fill=color)

    def cell(left: float, row: int, column: float, color: tuple[int, int, int], share: float) -> None:
        x, y = left + column * CELL, TOP + row * CELL
        edges = [x * SCALE, y * SCALE, (x + CELL) * SCALE, (y + CELL) * SCALE]
        draw.rectangle(edges, fill=mix(color, 1.6 * share), outline=LINE, width=SCALE)

    titles = [
        ("1  Registers in the mask", f"sigma = {sigma:.3f}, without end", "any sigma; Transformers"),
        ("2  One gate per row", f"Z / (Z + {REGISTERS})", "any sigma; Transformers, vLLM plugin"),
        ("3  Tokens in front", f"{REGISTERS} with a zero embedding", "whole numbers; any engine"),
    ]
    for left, (title, note, below) in zip(lefts, titles, strict=True):
        text(left, 24, title, 15, INK)
        text(left, 52, note)
        text(left, TOP + TOKENS * CELL + 14, below, 12, INK)
    text(
        lefts[0],
        TOP + TOKENS * CELL + 38,
        "orange: takes part in the softmax and adds nothing; blue: what is left, in all three the same",
    )
    for row in range(TOKENS):
        for column in range(TOKENS + SHOWN):
            color = ORANGE if column > row else BLUE
            cell(lefts[0], row, column, color, float(in_mask[row, column]))
        for column in range(TOKENS):
            cell(lefts[1], row, column, BLUE, float(gated[row, column]))
        cell(lefts[1], row, TOKENS + 1, ORANGE, float(1 - gate[row]))
        for column in range(TOKENS + REGISTERS):
            color = ORANGE if column < REGISTERS else BLUE
            cell(lefts[2], row, column, color, float(behind[row, column]))
    picture.save(Path(__file__).with_name("register_tokens.png"), optimize=True)


if __name__ == "__main__":
    main()
