"""What a run says of each method, in a sentence: better, worse, undecided, or that nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from farsight.evaluate.scores import PartScores
from farsight.metrics.paired import Difference

LOWER_IS_BETTER = frozenset(
    {"chair_s", "chair_i", "first_3", "snowball", "repetition_4", "chair", "hal", "cog", "flip_rate", "weak_flip_rate"}
)
HIGHER_IS_BETTER = frozenset(
    {"recall", "accuracy", "balanced_accuracy", "precision", "f1", "cover", "accuracy_clean", "accuracy_told"}
)
HEADLINES = {
    "caption": ("chair_i", "CHAIR_I"),
    "question": ("accuracy", "accuracy"),
    "exact": ("accuracy", "accuracy"),
    "amber_description": ("chair", "CHAIR"),
    "amber_answer": ("f1", "F1"),
    "snowball": ("flip_rate", "flip rate"),
}
"""The figure of each kind of part by which a method is better or worse, and what it is called."""
FOUND = {"caption": ("recall", "recall"), "amber_description": ("cover", "Cover")}
"""What falls if a method is better only by saying less, and what it is called."""
FAR = 100
"""How many times as many items are out of reach."""


def direction(name: str) -> int:
    """Say whether more of a figure is better (1), worse (-1), or neither (0), as of words."""
    return (name in HIGHER_IS_BETTER) - (name in LOWER_IS_BETTER)


def benefit(name: str, found: Difference) -> int:
    """Say what a difference is that its interval tells from 0: a benefit (1) or harm (-1); else 0."""
    return direction(name) * ((found.low > 0) - (found.high < 0))


def is_nothing(found: Difference) -> bool:
    """Whether a difference is 0 on every item."""
    return found.value == found.low == found.high == 0


WORDS = ("better", "worse", "undecided", "nothing changes")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one part of a run says of one method."""

    method: str
    word: str
    """One of `WORDS`."""
    why: str
    """The main figure's difference, and what goes the other way or would settle it; empty where nothing changes."""


def verdicts(part: PartScores) -> list[Verdict]:
    """Judge each method but the first by the main figure of a part."""
    return [_judged(part.kind, label, found) for label, found in part.differences.items()]


def told(part: PartScores) -> list[str]:
    """Say in lines what a part shows: its main figure with the first method, and the others by their verdicts."""
    name, called = HEADLINES[part.kind]
    baseline, figures = next(iter(part.figures.items()))
    better = "lower" if direction(name) < 0 else "higher"
    lines = [f"{part.part}: {called} {100 * (figures[name] or 0):.1f} with {baseline} ({better} is better)."]
    judged = verdicts(part)
    for word in WORDS:
        if found := [f"{one.method} {one.why}".strip() for one in judged if one.word == word]:
            lines.append(f"{word[0].upper()}{word[1:]}: {'; '.join(found)}.")
    return lines


def _judged(kind: str, label: str, found: Mapping[str, Difference]) -> Verdict:
    name, _ = HEADLINES[kind]
    main = found[name]
    if all(is_nothing(one) for one in found.values()):
        return Verdict(method=label, word="nothing changes", why="")
    if side := benefit(name, main):
        word = "better" if side > 0 else "worse"
        return Verdict(method=label, word=word, why=main.shown() + _price(kind, found, side))
    why = f"has the same {HEADLINES[kind][1]}" if is_nothing(main) else main.shown() + _settled(main)
    return Verdict(method=label, word="undecided", why=why)


def _price(kind: str, found: Mapping[str, Difference], side: int) -> str:
    """What goes the other way."""
    name, called = FOUND.get(kind, ("", ""))
    if not name or benefit(name, found[name]) != -side:
        return ""
    return f", but finds {'less' if side > 0 else 'more'}: {called} {found[name].shown()}"


def _settled(main: Difference) -> str:
    """Estimate how many items would tell a difference from 0 that stays what it is: intervals shrink as 1 / sqrt(n)."""
    half = (main.high - main.low) / 2
    needed = ceil(main.items * (half / main.value) ** 2) if main.value else None
    if needed is None or needed > FAR * main.items:
        return " (more pictures would hardly settle it)"
    return f" (about {needed:,} pictures would settle it)"
