"""What a lower CHAIR_I must not cost: recall, words, fluency, answers to questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farsight.errors import SettingError
from farsight.files import parse_literal
from farsight.metrics.paired import Difference
from farsight.tune.counts import SHARES


@dataclass(frozen=True, kw_only=True)
class Guard:
    """How far a figure may be from plain decoding's.

    A winner breaks it if its figure, on the pictures that did not choose it, is further away; its interval is shown
    beside it. An interval as the condition would let nothing pass that is tried on a hundred pictures.

    Parameters
    ----------
    name
        What the user calls it.
    figure
        One of `farsight.tune.counts.FIGURES`.
    margin
        In points of a share, or in percent of plain decoding's figure for a number.
    worse
        Which way it may not go: -1 down, +1 up, 0 neither.
    """

    name: str
    figure: str
    margin: float
    worse: int

    def holds(self, found: Mapping[str, Difference]) -> bool:
        """Whether the figure is within the margin; so it is if there is none."""
        if self.figure not in found:
            return True
        one = found[self.figure]
        margin = self.margin / 100 * (1 if self.figure in SHARES else one.baseline)
        return not ((self.worse <= 0 and one.value < -margin) or (self.worse >= 0 and one.value > margin))

    def clearly_broken(self, found: Mapping[str, Difference]) -> bool:
        """Whether the figure is beyond the margin, and not the same as plain decoding's but for chance."""
        return not self.holds(found) and not found[self.figure].low <= 0 <= found[self.figure].high

    def told(self) -> str:
        """Say what it asks for."""
        return f"within {self._margin}" if self.worse == 0 else f"at most {self._margin} {self._way}"

    def told_broken(self) -> str:
        """Say what a figure is that is beyond it."""
        return f"not {self.told()}" if self.worse == 0 else f"more than {self._margin} {self._way}"

    @property
    def _margin(self) -> str:
        unit = "%" if self.figure not in SHARES else "point" if self.margin == 1 else "points"
        return f"{self.margin:g} {unit}"

    @property
    def _way(self) -> str:
        return "lower" if self.worse < 0 else "higher"


GUARDS = (
    Guard(name="recall", figure="recall", margin=1, worse=-1),
    Guard(name="words", figure="words", margin=10, worse=0),
    Guard(name="repetition", figure="repetition", margin=1, worse=1),
    Guard(name="answers", figure="answers", margin=1, worse=-1),
)
"""By default: recall, repeated four-word runs and right answers within a point, words within 10 %."""
OFF = "off"


def parse_guards(text: str | None, usual: Sequence[Guard] = GUARDS) -> tuple[Guard, ...]:
    """Change the margins of guards as a person writes them: ``recall=2, words=off``.

    Raises
    ------
    SettingError
        If there is no such guard, one is given twice, or a margin is no number from 0 to 1000.
    """
    margins: dict[str, float | None] = {guard.name: guard.margin for guard in usual}
    given = set[str]()
    for part in (text or "").split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if name not in margins:
            raise SettingError(f"--guard '{part.strip()}': there is no such guard; there are {', '.join(margins)}")
        if name in given:
            raise SettingError(f"--guard '{part.strip()}': {name} is given twice; leave one of them out")
        given.add(name)
        if value == OFF:
            margins[name] = None
            continue
        margin = parse_literal(value) if equals else None
        if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin <= 1000:
            raise SettingError(f"--guard '{part.strip()}': write it like {name}=2, or {name}={OFF}")
        margins[name] = float(margin)
    return tuple(
        Guard(name=guard.name, figure=guard.figure, margin=margin, worse=guard.worse)
        for guard in usual
        if (margin := margins[guard.name]) is not None
    )
