"""What is in pictures by annotations: a list of objects for each, and a vocabulary of what names them, as in CHAIR."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from farsight.metrics.vocabulary import Mention, Vocabulary


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """Pictures whose objects are known, as a `farsight.judging.truth.Truth`: what a picture's list lacks is not in it.

    Parameters
    ----------
    objects
        What is in each picture, by ``image_id``, in the words of the vocabulary.
    vocabulary
        The words that name objects.
    """

    objects: Mapping[str, frozenset[str]]
    vocabulary: Vocabulary

    def located(self, answer: str) -> list[Mention]:
        """Objects that an answer names, and where."""
        return self.vocabulary.mentions(answer)

    def mentions(self, answer: str) -> list[str]:
        """Objects that an answer names, in the order of the text, with repeats."""
        return [mention.object for mention in self.located(answer)]

    def verdict(self, image_id: str, object_: str) -> bool | None:
        """Whether an object is in a picture; None of a picture that is not annotated."""
        return object_ in self.objects[image_id] if image_id in self.objects else None

    def unsure(self, image_id: str, object_: str) -> bool:
        """Nothing: what a list lacks is not there."""
        return False

    def present(self, image_id: str, named: Set[str] = frozenset()) -> frozenset[str]:
        """The objects in a picture, whatever was named; none of one that is not annotated."""
        return self.objects.get(image_id, frozenset())
