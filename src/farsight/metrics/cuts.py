"""Captions cut to equal length: what is left of a difference when neither method says more?

A method that stops earlier names fewer false objects, and fewer true ones. So captions are compared after as many
words, or after as many distinct objects. A cut caption is scored, shown and measured as if the model had stopped there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from farsight.errors import SettingError
from farsight.metrics.vocabulary import Vocabulary
from farsight.metrics.words import words


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where captions end at the latest.

    Parameters
    ----------
    words
        After so many words, punctuation not counted.
    objects
        After the first mention of the last of so many distinct objects, whether they are in the picture or not.
    """

    words: int | None = None
    objects: int | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        for name, most in asdict(self).items():
            if most is not None and most < 1:
                raise SettingError(f"a cut after {most} {name} leaves nothing; give at least 1")

    def __str__(self) -> str:
        """Say where, such as "after 40 words"."""
        parts = ((self.words, "words"), (self.objects, "distinct objects"))
        return " and ".join(f"after {most} {name}" for most, name in parts if most is not None) or "nowhere"

    def record(self) -> dict[str, int | None]:
        """Give the settings for a JSON file."""
        return asdict(self)

    def text(self, caption: str, vocabulary: Vocabulary) -> str:
        """Cut a caption; one with no more words, or with fewer objects, stays as it is, to its last full stop."""
        if self.words is not None:
            spoken = [word for word in words(caption) if word.text[0].isalnum()]
            if len(spoken) > self.words:
                caption = caption[: spoken[self.words - 1].end]
        return caption if self.objects is None else _after_objects(caption, self.objects, vocabulary)


def _after_objects(caption: str, most: int, vocabulary: Vocabulary) -> str:
    """Cut where the last object is first named; and again, if a word now counts that the rest had explained away."""
    while True:
        ends: dict[str, int] = {}
        for mention in vocabulary.mentions(caption):
            ends.setdefault(mention.object, mention.end)
        if len(ends) < most or (end := [*ends.values()][most - 1]) == len(caption):
            return caption
        caption = caption[:end]
