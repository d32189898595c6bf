"""Which objects a text names: exact matching on the closed vocabulary of the world."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from farsight.files import read_toml


def vocabulary_path() -> Path:
    """Return the file that says which words name which object, for CHAIR."""
    return Path(str(files(__package__).joinpath("vocabulary.toml")))


def _words() -> dict[str, str]:
    objects = read_toml(vocabulary_path())["objects"]
    return {word: name for name, synonyms in objects.items() for word in (name, *synonyms)}


_MEANING = _words()
_NAMES = "|".join(sorted(map(re.escape, _MEANING), key=len, reverse=True))
_PATTERN = re.compile(rf"\b({_NAMES})(?:e?s)?\b", re.IGNORECASE)


def mentions(text: str) -> tuple[str, ...]:
    """Return the categories named in a text, each once, in order of first mention."""
    found = (_MEANING[match.group(1).lower()] for match in _PATTERN.finditer(text))
    return tuple(dict.fromkeys(found))
