"""What has to be known to say whether an answer makes things up."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Protocol, runtime_checkable

from farsight.metrics.vocabulary import Mention


class Truth(Protocol):
    """What an answer names, and what is known of the picture."""

    def mentions(self, answer: str) -> list[str]:
        """Objects that an answer names, in the order of the text, with repeats."""

    def verdict(self, image_id: str, object_: str) -> bool | None:
        """Whether an object is in a picture; None if that is not known: nobody said so, or they were unsure."""

    def unsure(self, image_id: str, object_: str) -> bool:
        """Whether somebody was asked about an object of which nothing is known, and could not say."""

    def present(self, image_id: str, named: Set[str]) -> Set[str]:
        """Objects that are known to be in a picture: what recall is counted against.

        ``named`` is all that the methods which are compared name there, so that a truth that has to look for objects
        looks for the same ones whoever is counted first.
        """


def against(truth: Truth, image_id: str, said: Sequence[str], named: Set[str]) -> dict[str, int]:
    """Count what an answer names against what is known of its picture.

    Parameters
    ----------
    truth
        What is known.
    image_id
        The picture.
    said
        The objects that the answer names, with repeats. Of which nothing is known is neither true nor false.
    named
        See `Truth.present`.
    """
    verdicts, present = [truth.verdict(image_id, name) for name in said], truth.present(image_id, named)
    return {
        "false": verdicts.count(False),
        "known": len(verdicts) - verdicts.count(None),
        "found": len(present & set(said)),
        "present": len(present),
        "mentions": len(said),
        "true": verdicts.count(True),
    }


@runtime_checkable
class Located(Truth, Protocol):
    """A `Truth` that knows where in an answer objects are named, so that they can be marked."""

    def located(self, answer: str) -> list[Mention]:
        """Objects that an answer names, and where, in the order of the text."""
