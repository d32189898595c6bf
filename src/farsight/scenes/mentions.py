"""Which objects a text names: exact matching on the closed vocabulary of the world."""

from __future__ import annotations

import re

from .world import CATEGORIES

_NAMES = "|".join(sorted(map(re.escape, CATEGORIES), key=len, reverse=True))
_PATTERN = re.compile(rf"\b({_NAMES})(?:e?s)?\b", re.IGNORECASE)


def mentions(text: str) -> tuple[str, ...]:
    """Return the categories named in a text, each once, in order of first mention."""
    found = (match.group(1).lower() for match in _PATTERN.finditer(text))
    return tuple(dict.fromkeys(found))
