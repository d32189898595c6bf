"""Forms under which an English noun is found in a caption."""

from __future__ import annotations

from functools import lru_cache

_IRREGULAR = {
    "child": "children",
    "foot": "feet",
    "goose": "geese",
    "mouse": "mice",
    "person": "people",
    "tooth": "teeth",
}
_ENDS_IN_VES = {"calf", "half", "hoof", "knife", "leaf", "loaf", "scarf", "shelf", "thief", "wolf"}


@lru_cache(maxsize=4096)
def forms(word: str) -> frozenset[str]:
    """Give a noun's singular and its plurals.

    ``word + "s"`` always counts, right or wrong ("mans", "babys"): models misspell, and the standard CHAIR script reads
    these too.
    """
    found = {word, word + "s"}
    if word.endswith(("s", "x", "z", "ch", "sh", "o")):
        found.add(word + "es")
    if word.endswith("y") and word[-2:-1] not in tuple("aeiou"):
        found.add(word[:-1] + "ies")
    if word.endswith("man"):
        found.add(word[:-2] + "en")
    for singular in _ENDS_IN_VES:
        if word.endswith(singular):
            found.add(word.removesuffix("e").removesuffix("f") + "ves")
    if word == "ox":
        found.add("oxen")
    for singular, plural in _IRREGULAR.items():
        if word.endswith(singular):
            found.add(word.removesuffix(singular) + plural)
    return frozenset(found)
